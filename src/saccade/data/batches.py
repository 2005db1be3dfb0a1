"""Batches: shuffled pixels and labels, from memory where they fit and from disk where not.

    for x, y in Batches(cache.pixels, rows, labels, batch_size=128, seed=0).epoch(3):
        ...                                        # x (B, H, W, C) uint8, y (B,) as the labels

An epoch visits every row once, in an order that follows from seed and epoch alone. Rows that
exceed a quarter of this machine's memory are read window by window: the rows of 64 batches are
read in the order in which they lie on disk, then dealt out in the shuffled order. The batches are
the same either way.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_WINDOW_BATCHES: Final = 64
_MEMORY_SHARE: Final = 0.25
_ASSUMED_MEMORY_BYTES: Final = 2**32  # where the system does not say

Batch = tuple[npt.NDArray[np.uint8], npt.NDArray[Any]]


class Batches:
    """Rows of `pixels` with their labels; `labels[i]` belongs to `rows[i]`."""

    def __init__(
        self,
        pixels: npt.NDArray[np.uint8],
        rows: npt.NDArray[np.integer[Any]],
        labels: npt.NDArray[Any],
        *,
        batch_size: int,
        seed: int = 0,
        memory_bytes: int | None = None,
    ) -> None:
        if len(rows) != len(labels) or not len(rows) or batch_size < 1:
            raise ValueError(
                f"one label a row, at least one of each, and a batch of at least 1, got "
                f"{len(rows)} rows, {len(labels)} labels, batch_size {batch_size}"
            )
        self._pixels, self._rows, self._labels = pixels, np.asarray(rows), np.asarray(labels)
        self._batch_size, self._seed = batch_size, seed
        limit = _available_bytes() * _MEMORY_SHARE if memory_bytes is None else memory_bytes
        self.in_memory = len(rows) * pixels[:1].nbytes <= limit
        if self.in_memory:
            self._pixels, self._rows = _read(pixels, self._rows), np.arange(len(rows))

    def __len__(self) -> int:
        """Return the number of batches in an epoch; the last one may be smaller."""
        return -(-len(self._rows) // self._batch_size)

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield every row once, shuffled; equal for equal seed and `number`."""
        order = np.random.default_rng((self._seed, number)).permutation(len(self._rows))
        return self._deal(order)

    def in_order(self) -> Iterator[Batch]:
        """Yield every row once, in the order in which the rows were given."""
        return self._deal(np.arange(len(self._rows)))

    def _deal(self, order: npt.NDArray[np.intp]) -> Iterator[Batch]:
        window = self._batch_size * (1 if self.in_memory else _WINDOW_BATCHES)
        for start in range(0, len(order), window):
            chosen = order[start : start + window]
            pixels, labels = _read(self._pixels, self._rows[chosen]), self._labels[chosen]
            for first in range(0, len(chosen), self._batch_size):
                batch = slice(first, first + self._batch_size)
                yield pixels[batch], labels[batch]


def _read(
    pixels: npt.NDArray[np.uint8], rows: npt.NDArray[np.integer[Any]]
) -> npt.NDArray[np.uint8]:
    """Return pixels[rows], read in the order of the disk."""
    order = np.argsort(rows, kind="stable")
    read = np.empty((len(rows), *pixels.shape[1:]), dtype=np.uint8)
    read[order] = pixels[rows[order]]
    return read


def _available_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows; systems that do not say
        return _ASSUMED_MEMORY_BYTES
