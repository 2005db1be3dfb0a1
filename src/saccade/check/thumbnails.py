"""One look at every picture: a small grey thumbnail, and figures on the whole of it.

    looks = look(source, index, progress=progress)
    looks.thumbs[7]  # (32, 32) uint8, stretched to a square

Each picture is decoded once, side by side in workers, at its own size or, where that is larger,
at 256 px; everything that the checks compare comes from that one decoding.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from saccade.check.tints import LUMA, TINT_PX, Tints, tint_of
from saccade.data import Index, Payload, Pixels, Preprocessing, Source
from saccade.data.work import Done, Task, Work, chunks, do_here
from saccade.data.workers import Workers
from saccade.progress import Progress

THUMB_PX: Final = 32
_LOOK_PX: Final = 256  # blur and borders still show, and a large JPEG decodes at a reduced scale
_EDGES: Final = (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1])  # top, bottom, left, right
_WORTH_WORKERS: Final = 400  # pictures; fewer take less time than workers take to start

_Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Looks:
    """What was seen, row-aligned with the index; rows without a picture hold zeros."""

    thumbs: Pixels  # (N, 32, 32)
    tints: Tints  # (N, 8, 8, 2)
    digest: npt.NDArray[np.object_]  # (N,) equal for equal pixels of equal size; "" unread
    num_bytes: _Floats  # (N,) of the file; 0 for an array
    sharpness: _Floats  # (N,) variance of the Laplacian
    brightness: _Floats  # (N,) mean luma, 0 to 255
    contrast: _Floats  # (N,) standard deviation of luma
    colour: _Floats  # (N, 4) mean red, green and blue, and of the largest less the smallest
    border: _Floats  # (N, 16) of each edge's pixels: mean red, green, blue; deviation of luma
    reason: npt.NDArray[np.object_]  # (N,) why it could not be decoded; "" where it was

    @property
    def seen(self) -> npt.NDArray[np.bool_]:
        """Which rows were decoded, as a boolean mask of shape (N,)."""
        mask: npt.NDArray[np.bool_] = self.digest != ""
        return mask


class Looker(Work):
    """The work in each worker; `argument` is the picture's width and height in pixels."""

    def do(self, payload: Payload, argument: list[int]) -> list[Any]:
        """Return one row of `Looks`, without the reason."""
        width, height = (min(side, _LOOK_PX) for side in argument)
        reading = Preprocessing(height_px=height, width_px=width, channels=3, fit="stretch")
        pixels = reading.read(payload)
        grey = pixels.astype(np.float32) @ LUMA
        small = Image.fromarray(grey).resize((THUMB_PX, THUMB_PX), Image.Resampling.BILINEAR)
        thumb = np.asarray(small).round().astype(np.uint8)
        digest = hashlib.blake2b(f"{argument}".encode() + pixels.tobytes(), digest_size=16)
        return [
            base64.b64encode(thumb.tobytes()).decode(),
            base64.b64encode(tint_of(pixels).tobytes()).decode(),
            digest.hexdigest(),
            _num_bytes(payload),
            float(laplacian(grey).var()),
            float(grey.mean()),
            float(grey.std()),
            [*pixels.mean(axis=(0, 1)).tolist(), float(np.ptp(pixels, axis=2).mean())],
            [figure for edge in _EDGES for figure in _edge(pixels[edge], grey[edge])],
        ]


def _edge(pixels: Pixels, grey: _Floats) -> list[float]:
    """Return the mean red, green and blue of a line of pixels, and the deviation of its luma."""
    return [*pixels.mean(axis=0).tolist(), float(grey.std())]


def laplacian(grey: _Floats) -> _Floats:
    """Return the sum of each pixel's four neighbours less four times itself; the edge repeats."""
    wide = np.pad(grey, 1, mode="edge")
    around = wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:]
    difference: _Floats = around - 4 * grey
    return difference


def look(source: Source, index: Index, *, progress: Progress) -> Looks:
    """Decode every usable picture once; one that does not decode gets its reason."""
    rows = np.flatnonzero(index.usable)
    looks = _nothing_seen(len(index))
    with progress.stage("look", len(rows)) as stage:
        for some in _results(source, index, rows):
            for done in some:
                _note(looks, done)
            stage.advance(len(some))
    return looks


def _results(source: Source, index: Index, rows: npt.NDArray[np.intp]) -> Iterator[list[Done]]:
    sizes = np.stack([index.width_px, index.height_px], axis=1).tolist()
    tasks = (
        Task(row, payload, sizes[row], sizes[row][0] * sizes[row][1])
        for row, payload in source.payloads(rows.tolist())
    )
    if len(rows) < _WORTH_WORKERS:
        looker = Looker()
        yield from (do_here(looker, chunk) for chunk in chunks(tasks))
        return
    with Workers() as workers:
        yield from workers.run(chunks(tasks), Looker)


def _nothing_seen(num_rows: int) -> Looks:
    def zeros(*shape: int) -> _Floats:
        return np.zeros((num_rows, *shape), np.float32)

    return Looks(
        thumbs=np.zeros((num_rows, THUMB_PX, THUMB_PX), np.uint8),
        tints=np.zeros((num_rows, TINT_PX, TINT_PX, 2), np.int8),
        digest=np.full(num_rows, "", object),
        num_bytes=zeros(),
        sharpness=zeros(),
        brightness=zeros(),
        contrast=zeros(),
        colour=zeros(4),
        border=zeros(16),
        reason=np.full(num_rows, "", object),
    )


def _note(looks: Looks, done: Done) -> None:
    if done.reason:
        looks.reason[done.row] = done.reason
        return
    thumb, tint, *figures = done.values
    pixels = np.frombuffer(base64.b64decode(thumb), np.uint8)
    looks.thumbs[done.row] = pixels.reshape(THUMB_PX, THUMB_PX)
    tints = np.frombuffer(base64.b64decode(tint), np.int8)
    looks.tints[done.row] = tints.reshape(TINT_PX, TINT_PX, 2)
    for field, value in zip(fields(Looks)[2:-1], figures, strict=True):
        getattr(looks, field.name)[done.row] = value


def _num_bytes(payload: Payload) -> int:
    if isinstance(payload, str | Path):
        return os.stat(payload).st_size
    return len(payload) if isinstance(payload, bytes) else 0
