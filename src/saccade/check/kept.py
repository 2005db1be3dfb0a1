"""Near copies among the pictures of a cache: looked for once, kept, and never at any price.

    found = kept_copies(cache, sizes, limit_s=6.0)
    found.pairs         # of the cache's rows, or None
    found.why_not       # a sentence where they were not looked for, or only nearly equal ones were

Where most pictures look alike (`alike`), only nearly equal ones count, as for `saccade check`.

The time that a search takes is reckoned from the number of pictures and of likely pairs, not from a
clock, so that the same pictures and settings always give the same split. Pairs lie in the folder of
the cache of pixels, and go with it:

    <user cache>/pixels/<key>/copies-<digest>.npz
"""

from __future__ import annotations

import ctypes
import hashlib
import platform
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache as kept_in_memory
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from saccade.check.alike import LEAST_PX, MOST_ALIKE, TOO_SMALL, look_alikes, sampled, untold
from saccade.check.copies import COPIES, NEARLY_EQUAL, SETTINGS, Pairs, compared, likely_pairs
from saccade.check.thumbnails import THUMB_PX
from saccade.check.tints import LUMA, TINT_PX, Tints, tints_from
from saccade.data import Cache, Pixels
from saccade.files import atomic_path

KEPT_VERSION: Final = 5  # of the search, beside its settings
# Seconds of two cores, rounded up.
_PICTURE_S: Final = 5e-5
_PAIR_S: Final = 1e-4
_BLOCK_VALUES: Final = 1 << 20  # of pictures that become float32 at once: they stay in a cache

_Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeptCopies:
    """Pairs of near copies, as rows; None where they were not looked for.

    `why_not` says why, or why only nearly equal pictures count.
    """

    pairs: Pairs | None
    why_not: str = ""


def kept_copies(
    cache: Cache, sizes: Sequence[tuple[int, int]], *, limit_s: float | None
) -> KeptCopies:
    """Return the near copies among a cache's different pictures, from its folder where they lie.

    `sizes` has the (width, height) in pixels of each row's content; what is around it is padding.
    `limit_s` bounds the time that the search may take. Equal pictures count once, by their first
    row. Raises SettingsError where the cache cannot be written.
    """
    rows = _different(cache.pixel_digest)
    large = np.array([min(sizes[row]) >= LEAST_PX for row in rows.tolist()], bool)
    if not large.any():
        return _not_looked_for(TOO_SMALL)
    rows = rows[large]
    path = cache.folder / f"copies-{_digest()}.npz"
    kept = _load(path, len(cache.pixels))
    if kept is None:
        if (reason := _too_long(_search_s(len(rows), 0), len(rows), limit_s)) is not None:
            return reason
        found = _looked_for(cache.pixels, rows, sizes, limit_s)
        _give_back_memory()
        if isinstance(found, KeptCopies):
            return found
        _write(path, kept := found)
    seconds = _search_s(len(rows), kept.num_likely)
    if (reason := _too_long(seconds, len(rows), limit_s)) is not None:
        return reason
    why_stricter = untold(kept.num_alike)
    return KeptCopies(
        pairs=kept.pairs,
        why_not=why_stricter and f"only nearly equal copies were looked for: {why_stricter}",
    )


def _give_back_memory() -> None:
    """Give the system the memory that the search has freed.

    The GNU C library is told to keep it for the next step of training (`models.process`), which
    needs nothing like as much: after a million pictures the process held gigabytes more.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def _not_looked_for(why: str) -> KeptCopies:
    return KeptCopies(pairs=None, why_not=f"near copies were not looked for: {why}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Kept:
    """What is kept: the pairs, and by what `untold` says whether only nearly equal ones count."""

    pairs: Pairs
    num_alike: float
    num_likely: int


def _looked_for(
    pixels: Pixels, rows: _Rows, sizes: Sequence[tuple[int, int]], limit_s: float | None
) -> _Kept | KeptCopies:
    sample = thumbs_of(pixels, rows[sampled(len(rows))], sizes)
    said = look_alikes(sample, len(rows))
    bar = NEARLY_EQUAL if untold(said.num_alike) else COPIES
    if bar is COPIES:  # the sample tells that too many pairs are likely, before all are sought
        seconds = _search_s(len(rows), said.num_likely)
        if (reason := _too_long(seconds, len(rows), limit_s)) is not None:
            return reason
    thumbs = thumbs_of(pixels, rows, sizes)
    likely = likely_pairs(thumbs, bar)
    if (reason := _too_long(_search_s(len(rows), len(likely)), len(rows), limit_s)) is not None:
        return reason
    found = compared(thumbs, likely, bar, tints=tints_of(pixels, rows, sizes))
    pairs = Pairs(first=rows[found.first], second=rows[found.second], score=found.score)
    return _Kept(pairs=pairs, num_alike=said.num_alike, num_likely=len(likely))


def _search_s(num_rows: int, num_likely: float) -> float:
    """Return about how long a search among so many pictures takes, with so many likely pairs."""
    return num_rows * _PICTURE_S + num_likely * _PAIR_S


def _too_long(seconds: float, num_rows: int, limit_s: float | None) -> KeptCopies | None:
    if limit_s is None or seconds <= limit_s:
        return None
    return _not_looked_for(
        f"among {num_rows:,} pictures that takes about {seconds:.0f} s, too large a part of the "
        "budget"
    )


def _different(digest: npt.NDArray[np.uint64]) -> _Rows:
    """Return the first row of each different picture."""
    numbers, first = np.unique(digest, return_index=True)
    rows: _Rows = np.sort(first[numbers != 0])
    return rows


def thumbs_of(pixels: Pixels, rows: _Rows, sizes: Sequence[tuple[int, int]]) -> Pixels:
    """Return (len(rows), 32, 32) grey thumbnails of cached (N, H, W, C) pictures, less padding."""
    thumbs = np.empty((len(rows), THUMB_PX, THUMB_PX), np.uint8)
    for places, inner in _inner(pixels, rows, sizes):
        small = _shrunk(_grey(inner), THUMB_PX)
        thumbs[places] = np.clip(small.round(), 0, 255).astype(np.uint8)
    return thumbs


def tints_of(pixels: Pixels, rows: _Rows, sizes: Sequence[tuple[int, int]]) -> Tints:
    """Return (len(rows), 8, 8, 2) tints of cached (N, H, W, C) pictures, less padding."""
    tints = np.zeros((len(rows), TINT_PX, TINT_PX, 2), np.int8)
    if pixels.shape[3] == 1:
        return tints
    for places, inner in _inner(pixels, rows, sizes):
        colours = [_shrunk(inner[..., colour].astype(np.float32), TINT_PX) for colour in range(3)]
        tints[places] = tints_from(np.stack(colours, axis=-1))
    return tints


def _inner(
    pixels: Pixels, rows: _Rows, sizes: Sequence[tuple[int, int]]
) -> Iterator[tuple[_Rows, Pixels]]:
    """Yield places in `rows`, and their pictures without padding, those of one size together."""
    whole = np.array([sizes[row] for row in rows], np.intp).reshape(-1, 2)
    distinct, number = np.unique(whole, axis=0, return_inverse=True)
    for which, (width, height) in enumerate(distinct.tolist()):
        places = np.flatnonzero(number.reshape(-1) == which)
        top, left = (pixels.shape[1] - height) // 2, (pixels.shape[2] - width) // 2
        block = max(1, _BLOCK_VALUES // (height * width * pixels.shape[3]))
        for start in range(0, len(places), block):
            some = places[start : start + block]
            yield some, pixels[rows[some], top : top + height, left : left + width]


def _grey(pixels: Pixels) -> npt.NDArray[np.float32]:
    if pixels.shape[3] == 1:
        return pixels[..., 0].astype(np.float32)
    grey: npt.NDArray[np.float32] = pixels.astype(np.float32) @ LUMA
    return grey


def _shrunk(grey: npt.NDArray[np.float32], to: int) -> npt.NDArray[np.float32]:
    """Return (B, H, W) pictures at `to` by `to` px."""
    count, height, width = grey.shape
    across = (grey.reshape(-1, width) @ _triangles(width, to).T).reshape(count, height, to)
    turned = np.ascontiguousarray(across.transpose(0, 2, 1)).reshape(-1, height)
    down = (turned @ _triangles(height, to).T).reshape(count, to, to)
    return down.transpose(0, 2, 1)


@kept_in_memory
def _triangles(side: int, to: int) -> npt.NDArray[np.float32]:
    """Return (to, side) weights of Pillow's bilinear resizing: a triangle as wide as the scale."""
    scale = side / to
    centre = (np.arange(to)[:, None] + 0.5) * scale
    away = np.abs(np.arange(side) + 0.5 - centre) / max(scale, 1.0)
    weights = np.maximum(0, 1 - away)
    unit: npt.NDArray[np.float32] = weights / weights.sum(axis=1, keepdims=True)
    return unit.astype(np.float32)


def _digest() -> str:
    return hashlib.sha256(repr((KEPT_VERSION, MOST_ALIKE, SETTINGS)).encode()).hexdigest()


def _load(path: Path, num_rows: int) -> _Kept | None:
    """Return kept pairs, or None where they are absent or damaged."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as found:
            ends = found["ends"].astype(np.intp)
            score = found["score"].astype(np.float32)
            num_alike, num_likely = float(found["num_alike"]), int(found["num_likely"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None
    whole = ends.ndim == 2 and ends.shape == (2, len(score)) and score.ndim == 1
    if not whole or (ends.size and not 0 <= ends.min() <= ends.max() < num_rows):
        return None
    pairs = Pairs(first=ends[0], second=ends[1], score=score)
    return _Kept(pairs=pairs, num_alike=num_alike, num_likely=num_likely)


def _write(path: Path, kept: _Kept) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            ends=np.stack([kept.pairs.first, kept.pairs.second]),
            score=kept.pairs.score,
            num_alike=kept.num_alike,
            num_likely=kept.num_likely,
        )
