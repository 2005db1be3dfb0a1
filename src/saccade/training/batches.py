"""Batches of pictures for the model that trains on them, wherever that lies.

On a processor they are taken from the cache and changed by NumPy and our kernels. On a graphics
card (CUDA) they are changed as tensors: where all pictures fit, they are brought there once; else
batches are taken by a thread that keeps ahead of the training. What training shows is the same.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
import torch

from saccade.augmentation import Augmentation
from saccade.training import augment, tensors
from saccade.training.device import ahead, kept_on, on_device, pinned, staying
from saccade.training.draws import changed
from saccade.training.result import Pictures

Tensor = Any  # torch has no type information here
Pixels = Any  # (N, H, W, C) uint8: an array on the processor, a tensor elsewhere
Groups = npt.NDArray[np.int64]  # (batches, N): which pictures are in each


class Source(Protocol):
    """Where batches of pixels come from, and what changes them there: `augment` or `tensors`."""

    changes: ClassVar[Any]

    def taken(self, groups: Groups) -> Iterator[Pixels]:
        """Give copies of the pictures in each group."""

    def in_order(self) -> Iterator[Pixels]:
        """Give all pictures, `scored_at_once` at a time; the last are as many as are left."""


class InMemory:
    """Pictures in the computer's memory, or mapped into it, changed on its processor."""

    changes: ClassVar[Any] = augment

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures

    def taken(self, groups: Groups) -> Iterator[Pixels]:
        """See `Source`."""
        return (self._pictures.pixels[self._pictures.rows[places]] for places in groups)

    def in_order(self) -> Iterator[Pixels]:
        """See `Source`."""
        return self._pictures.batches()


class Resident:
    """Pictures that were all brought to the model's device."""

    changes: ClassVar[Any] = tensors

    def __init__(self, pictures: Pictures, device: Any) -> None:
        self._pixels = kept_on(pictures.pixels, pictures.rows, device)
        self._at_once = pictures.scored_at_once

    def taken(self, groups: Groups) -> Iterator[Pixels]:
        """See `Source`."""
        places = on_device(np.ascontiguousarray(groups), self._pixels.device)
        return (self._pixels.index_select(0, some) for some in places)

    def in_order(self) -> Iterator[Pixels]:
        """See `Source`."""
        return iter(self._pixels.split(self._at_once))


class Streamed:
    """Pictures of which batches are brought to the model's device, one after the other."""

    changes: ClassVar[Any] = tensors

    def __init__(self, pictures: Pictures, device: Any) -> None:
        self._memory, self._device = InMemory(pictures), device

    def taken(self, groups: Groups) -> Iterator[Pixels]:
        """See `Source`."""
        return self._brought(self._memory.taken(groups))

    def in_order(self) -> Iterator[Pixels]:
        """See `Source`."""
        return self._brought(self._memory.in_order())

    def _brought(self, batches: Iterator[Pixels]) -> Iterator[Pixels]:
        device = self._device
        waiting = (pinned(torch.from_numpy(batch), device) for batch in batches)
        return (on_device(batch, device) for batch in ahead(waiting))


def sources_of(sets: Sequence[Pictures], device: Any) -> list[Source]:
    """Return where batches of each set of pictures come from, for a model on this device."""
    if device.type != "cuda":  # what other cards can, such as float64, is not known here
        return [InMemory(pictures) for pictures in sets]
    stays = staying([len(each.rows) * each.pixels[:1].nbytes for each in sets], device)
    return [
        Resident(pictures, device) if stay else Streamed(pictures, device)
        for pictures, stay in zip(sets, stays, strict=True)
    ]


class Batches:
    """Training pictures as training shows them, an epoch at a time."""

    def __init__(
        self, pictures: Pictures, source: Source, augmentation: Augmentation, num_classes: int
    ) -> None:
        self._labels, self._source = pictures.labels, source
        self._augmentation, self._num_classes = augmentation, num_classes

    def shown(
        self, groups: Groups, random: np.random.Generator
    ) -> Generator[tuple[Pixels, npt.NDArray[Any]], None, None]:
        """Give the pictures of each group, changed, with their labels, or mixed shares of them."""
        for places, pixels in zip(groups, self._source.taken(groups), strict=True):
            labels, ways = self._labels[places], self._source.changes
            yield changed(ways, pixels, labels, self._augmentation, random, self._num_classes)
