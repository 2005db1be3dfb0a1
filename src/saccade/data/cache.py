"""The cache: every picture once as pixels of one size, memory-mapped, one row as in the index.

    cache, index = build_cache(source, index, preprocessing, progress=progress)
    cache.pixels[7]        # (H, W, C) uint8
    cache.pixel_digest[7]  # equal for pictures with equal pixels

A cache is found again by its key, a digest of the pictures' SHA-256 in order, the preprocessing,
and the versions of this format and of the decoders; where the files lie and what the labels are
does not matter. Processes decode side by side and write straight into a temporary folder, which one
rename makes visible. Only a part of a picture is ever in memory, so a set may exceed it. A second
process that wants the same cache waits for the first and then uses its work.

`pixel_digest` covers the training pixels, so pictures that the network cannot tell apart are
copies, whatever their files hold. A large JPEG decoded at a reduced scale differs a little from the
same pixels in a PNG; where a set holds both kinds at one size with about equal brightness, those
JPEGs are decoded once more at full scale, and get the other's digest where they are equal.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import PIL

from saccade.data.ahead import Ahead
from saccade.data.cachefolder import (
    CACHE_VERSION,
    CacheEntry,
    building,
    cannot_keep,
    clear_caches,
    delete_left_overs,
    is_being_built,
    list_caches,
    pixels_folder,
    publish,
    read_description,
)
from saccade.data.index import Index
from saccade.data.jpeg import DECODER
from saccade.data.picture import Preprocessing, digest_of
from saccade.data.rowwriter import RowWriter, Target
from saccade.data.source import Source
from saccade.data.work import Done, Task, chunks
from saccade.data.workers import Workers
from saccade.errors import DataError
from saccade.files import TEMPORARY, sha256_of
from saccade.progress import Progress, Stage

__all__ = ["Cache", "CacheEntry", "build_cache", "clear_caches", "list_caches"]

_BRIGHTNESS_TOLERANCE: Final = 2.0  # of 255; reduced and full scale differ by less than 1
_BLOCK_BYTES: Final = 2**26


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cache:
    """Pixels at training size, row-aligned with the index; rows without a picture are zero."""

    pixels: npt.NDArray[np.uint8]  # (N, H, W, C), memory-mapped, read-only
    pixel_digest: npt.NDArray[np.uint64]  # (N,); 0 where there are no pixels
    key: str
    folder: Path
    reused: bool  # it was there already


def build_cache(
    source: Source,
    index: Index,
    preprocessing: Preprocessing,
    *,
    progress: Progress,
    workers: Workers | None = None,
    ahead: Ahead | None = None,
) -> tuple[Cache, Index]:
    """Return the cache, built or found, and the index with undecodable rows given their reason.

    `workers` decode, and are ended; without, or after, some are started. What `ahead` holds of the
    wanted size since `build_index` is taken.
    Raises DataError where no picture can be used, SettingsError where the cache cannot be written.
    """
    if not index.usable.any():
        raise DataError(f"none of the {len(index):,} files in {source.name} is a usable picture")
    key = cache_key(index, preprocessing)
    found = _load(key, reused=True)
    if found is None:
        delete_left_overs()
        if is_being_built(key):
            progress.note("another run is building the cache for the same pictures; waiting")
        with building(key) as temporary:
            found = _load(key, reused=True)  # the one we waited for
            if found is None:
                build = _Build(source, index, preprocessing, temporary)
                build.run(progress, workers or Workers(), ahead or Ahead())
                publish(temporary)
                found = _load(key, reused=False)
    if found is None:
        raise cannot_keep(pixels_folder() / key, OSError("it cannot be read back"))
    cache, failures = found
    reason = index.reason.copy()
    for row, why in failures:
        reason[row] = why
    return cache, index.with_columns(reason=reason)


def cache_key(index: Index, preprocessing: Preprocessing) -> str:
    """Return the key of the cache for these pictures, 64 hexadecimal digits."""
    settings = {
        "version": CACHE_VERSION,
        "pillow": PIL.__version__,
        "plain_jpegs": DECODER,
        "preprocessing": preprocessing.to_json(),
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for sha256, usable in zip(index.sha256, index.usable, strict=True):
        digest.update(b"\n" + (sha256.encode() if usable else b"-"))
    return digest.hexdigest()


def _load(key: str, *, reused: bool) -> tuple[Cache, list[tuple[int, str]]] | None:
    """Return a finished cache and its failures, or None where it is absent or damaged."""
    folder = pixels_folder() / key
    document = read_description(folder)
    if document is None:
        return None
    try:
        pixels = np.load(folder / "pixels.npy", mmap_mode="r", allow_pickle=False)
        digests = np.load(folder / "digests.npy", allow_pickle=False)
        failures = [(int(row), str(why)) for row, why in document["failures"]]
        whole = (
            list(pixels.shape) == document["shape"]
            and pixels.dtype == np.uint8
            and digests.shape == pixels.shape[:1]
            and digests.dtype == np.uint64
            and sha256_of(folder / "digests.npy") == document["digests_sha256"]
            and all(0 <= row < len(pixels) for row, _ in failures)
        )
    except (OSError, ValueError, TypeError, KeyError, EOFError):
        return None
    if not whole:
        return None
    cache = Cache(pixels=pixels, pixel_digest=digests, key=key, folder=folder, reused=reused)
    return cache, failures


class _Build:
    """One build into a temporary folder; `run` it once."""

    def __init__(
        self, source: Source, index: Index, preprocessing: Preprocessing, folder: Path
    ) -> None:
        self._source, self._index, self._preprocessing = source, index, preprocessing
        self._folder, self._path = folder, folder / "pixels.npy"
        self._digests = np.zeros(len(index), dtype=np.uint64)
        self._reduced = np.zeros(len(index), dtype=np.bool_)
        self._reasons = {
            int(row): "it could not be read a second time: it is gone or has changed"
            for row in np.flatnonzero(index.usable)
        }

    def run(self, progress: Progress, workers: Workers, ahead: Ahead) -> None:
        """Write pixels.npy, digests.npy and cache.json."""
        with _writing(self._folder):
            with progress.stage("cache", total=len(self._reasons)) as stage:
                target = self._taken(ahead, stage) or Target.create(
                    self._path, self._preprocessing, len(self._index)
                )
                arrays = self._source.arrays
                if arrays is not None and arrays.shape[1:] == self._preprocessing.shape:
                    self._copy(arrays, target, stage)
                else:
                    self._decode(target, stage, workers)
            self._describe()

    def _taken(self, ahead: Ahead, stage: Stage) -> Target | None:
        """Take the rows that the scan has decoded already, if it has."""
        taken = ahead.take(self._path, self._preprocessing)
        if taken is None:
            return None
        target, digests = taken
        self._digests[:] = np.where(self._index.usable, digests, 0)
        rows = np.flatnonzero(self._digests).tolist()
        for row in rows:
            del self._reasons[row]
        stage.advance(len(rows))
        with closing(RowWriter(target.to_json())) as writer:
            for row in np.flatnonzero(digests != self._digests).tolist():  # left out since
                writer.write_bytes(row, bytes(int(np.prod(self._preprocessing.shape))))
        return target

    def _copy(self, arrays: npt.NDArray[np.uint8], target: Target, stage: Stage) -> None:
        """Take pixels that have the right size already."""
        rows = np.fromiter(self._reasons, dtype=np.intp)
        block = max(1, _BLOCK_BYTES // int(np.prod(self._preprocessing.shape)))
        with closing(RowWriter(target.to_json())) as writer:
            for run in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
                for start in range(0, len(run), block):
                    some = run[start : start + block]
                    pixels = np.ascontiguousarray(arrays[some[0] : some[-1] + 1])
                    writer.write_bytes(int(some[0]), pixels.tobytes())
                    self._digests[some] = [digest_of(picture) for picture in pixels]
                    stage.advance(len(some))
        self._reasons.clear()

    def _decode(self, target: Target, stage: Stage, workers: Workers) -> None:
        settings = target.to_json()
        with workers:  # ended before the file is renamed, which Windows refuses while it is open
            tasks = self._tasks(tuple(self._reasons))
            for some in workers.run(chunks(tasks), RowWriter, settings):
                self._note(some)
                stage.advance(len(some))
            rows = self._doubtful()
            if len(rows):
                stage.describe(f"comparing {len(rows):,} JPEGs with other formats")
                tasks = self._tasks(rows.tolist(), full_scale=True)
                self._join_copies(workers.run(chunks(tasks), RowWriter, settings))

    def _tasks(self, rows: Iterable[int], *, full_scale: bool = False) -> Iterator[Task]:
        num_pixels = (self._index.width_px.astype(np.int64) * self._index.height_px).tolist()
        try:
            for row, payload in self._source.payloads(rows):
                yield Task(row, payload, None if full_scale else row, num_pixels[row])
        except OSError as error:
            raise DataError(f"cannot read {self._source.name}: {error}") from error

    def _note(self, some: list[Done]) -> None:
        for row, values, reason in some:
            if reason:
                self._reasons[row] = reason
            else:
                self._digests[row], self._reduced[row] = values
                del self._reasons[row]

    def _doubtful(self) -> npt.NDArray[np.intp]:
        """Return the reduced-scale JPEGs that may equal a picture decoded at full scale."""
        decoded = self._digests != 0
        if not self._reduced.any() or (self._reduced == decoded).all():
            return np.empty(0, dtype=np.intp)
        size = self._sizes()
        mixed = np.intersect1d(size[self._reduced], size[decoded & ~self._reduced])
        rows = np.flatnonzero(decoded & np.isin(size, mixed))
        rows = rows[np.argsort(size[rows], kind="stable")]
        pixels = np.load(self._path, mmap_mode="r", allow_pickle=False)
        doubtful = [np.empty(0, dtype=np.intp)]
        for some in np.split(rows, np.flatnonzero(np.diff(size[rows])) + 1):  # of one size
            bright = np.array([pixels[row].mean() for row in some])
            reduced = self._reduced[some]
            doubtful.append(_near(some[reduced], bright[reduced], bright[~reduced]))
        return np.sort(np.concatenate(doubtful))

    def _sizes(self) -> npt.NDArray[np.int64]:
        """Return each row's size as one number."""
        return self._index.width_px.astype(np.int64) << 32 | self._index.height_px

    def _join_copies(self, results: Iterator[list[Done]]) -> None:
        exact = set(self._digests[~self._reduced].tolist()) - {0}
        for row, values, _ in chain.from_iterable(results):
            if values and values[0] in exact:
                self._digests[row] = values[0]

    def _describe(self) -> None:
        np.save(self._folder / "digests.npy", self._digests, allow_pickle=False)
        document: dict[str, Any] = {
            "version": CACHE_VERSION,
            "key": self._folder.name.removeprefix(TEMPORARY),
            "name": self._source.name,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "num_pictures": int(np.count_nonzero(self._digests)),
            "shape": [len(self._index), *self._preprocessing.shape],
            "preprocessing": self._preprocessing.to_json(),
            "pillow": PIL.__version__,
            "plain_jpegs": DECODER,
            "digests_sha256": sha256_of(self._folder / "digests.npy"),
            "failures": sorted(self._reasons.items()),
        }
        (self._folder / "cache.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
        for path in self._folder.iterdir():
            with path.open("rb+") as file:
                os.fsync(file.fileno())


def _near(
    rows: npt.NDArray[np.intp],
    bright: npt.NDArray[np.float64],
    others: npt.NDArray[np.float64],
) -> npt.NDArray[np.intp]:
    """Return the rows that are about as bright as one of the others."""
    others = np.sort(others)
    first = np.searchsorted(others, bright - _BRIGHTNESS_TOLERANCE, side="left")
    after = np.searchsorted(others, bright + _BRIGHTNESS_TOLERANCE, side="right")
    near: npt.NDArray[np.intp] = rows[first < after]
    return near


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise cannot_keep(folder.parent, error) from error
