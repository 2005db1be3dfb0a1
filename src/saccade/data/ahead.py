"""Pixels decoded ahead of the cache: small pictures, while the scan has their files in hand.

    with Ahead() as ahead:
        index = build_index(source, progress=progress, workers=workers, ahead=ahead)
        cache, index = build_cache(
            source, index, size, progress=progress, workers=workers, ahead=ahead
        )

The cache's size is derived from the index. Where the first pictures are small and all of one size,
it is nearly always theirs; then pictures of that size are decoded at once, into a file that becomes
the cache's own. They are opened, read and sent about once in place of twice, and their pixels are
those of the very bytes that the index has the digest of: a file that changes or goes after the scan
is not looked for again. Where the guess was wrong, what was decoded is deleted and only time is
lost, a fifth of that of scan and cache. Where a cache of this name and size is there already, it
will likely serve, and nothing is decoded ahead.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from saccade.data.cachefolder import building, list_caches
from saccade.data.inspector import EagerInspector
from saccade.data.picture import Preprocessing
from saccade.data.rowwriter import Target
from saccade.data.source import Source
from saccade.data.work import Done, Task, chunks
from saccade.data.workers import Workers
from saccade.errors import DataError, SaccadeError
from saccade.files import cannot_write

_MAX_SIDE_PX: Final = 64  # pictures of one size up to here are trained on as they are
_CHANNELS_OF_MODE: Final = {"L": 1, "RGB": 3}


class Ahead:
    """Decodes while the scan looks; use as a context manager, which deletes what is not taken."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._target: Target | None = None
        self._digests = np.empty(0, dtype=np.uint64)
        self.failed: list[int] = []  # rows that the last `run` could not use

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()
        self._target = None

    def begin(self, source: Source, seen: set[tuple[int, int, str]]) -> bool:
        """Say whether to decode ahead, by the widths, heights and modes seen so far."""
        if len(seen) != 1:
            return False
        ((width, height, mode),) = seen
        channels = _CHANNELS_OF_MODE.get(mode)
        if channels is None or max(width, height) > _MAX_SIDE_PX:
            return False
        size = Preprocessing(height_px=height, width_px=width, channels=channels)
        if any((cache.name, cache.shape) == (source.name, size.shape) for cache in list_caches()):
            return False
        num_rows = len(source.entries) + len(source.left_out)
        with suppress(SaccadeError, OSError):  # the cache will say so, if one is built at all
            folder = self._stack.enter_context(building(secrets.token_hex(32), shared=False))
            self._target = Target.create(folder / "pixels.npy", size, num_rows)
            self._digests = np.zeros(num_rows, dtype=np.uint64)
        return self._target is not None

    def run(self, workers: Workers, source: Source, rows: Sequence[int]) -> Iterator[list[Done]]:
        """Yield what an EagerInspector gives for these rows, but for those that `failed`.

        Raises SettingsError where the pixels cannot be written.
        """
        if self._target is None:
            raise ValueError("nothing has begun")
        work = chunks(_tasks(source, rows))
        try:
            for some in workers.run(work, EagerInspector, self._target.to_json()):
                self.failed += [row for row, _, reason in some if reason]
                done = [one for one in some if not one.reason]
                self._digests[[one.row for one in done]] = [one.values[-1] for one in done]
                yield done
        except OSError as error:
            raise cannot_write(self._target.path.parent, error) from error

    def take(
        self, path: Path, preprocessing: Preprocessing
    ) -> tuple[Target, npt.NDArray[np.uint64]] | None:
        """Move the rows to `path` where they are of the wanted size, with their digests.

        A row whose digest is 0 is not there. They can be taken once.
        """
        target, self._target = self._target, None
        if target is None or target.preprocessing.shape != preprocessing.shape:
            self._stack.close()  # the disk may have no room for both
            return None
        target.path.rename(path)
        return replace(target, path=path, preprocessing=preprocessing), self._digests


def _tasks(source: Source, rows: Sequence[int]) -> Iterator[Task]:
    try:
        for row, payload in source.payloads(rows):
            yield Task(row, payload, (source.entries[row].path, row))
    except OSError as error:
        raise DataError(f"cannot read {source.name}: {error}") from error
