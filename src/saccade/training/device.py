"""The device that a model lies on: what goes there, and how nothing waits for it.

Where that is the processor, nothing is copied at all. A graphics card is told what to do and does
it later; whoever asks it for a number waits until all that is done. So within a step nothing asks,
and what is copied to it comes from pinned memory, the only one from which a copy is not waited for.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import numpy as np
import torch

Tensor = Any  # torch has no type information here
Data = Any  # a tensor or a NumPy array
T = TypeVar("T")

_AHEAD: Final = 2  # batches that wait for the card
_SHARE: Final = 0.25  # of a card's free memory, for all sets of data together
_BYTES_AT_ONCE: Final = 1 << 26  # of what is brought to it: so much is pinned


def on_device(data: Data, device: Any) -> Tensor:
    """Return a tensor or an array as a tensor where the model is; the copy is not waited for."""
    if isinstance(data, np.ndarray):
        data = torch.from_numpy(data)
    if device.type != "cuda" or data.device.type != "cpu":
        return data.to(device)
    return pinned(data, device).to(device, non_blocking=True)


def pinned(tensor: Tensor, device: Any) -> Tensor:
    """Return a tensor from which copies to the device are not waited for: on a card, pinned."""
    return tensor.pin_memory() if device.type == "cuda" else tensor


def staying(sizes: Sequence[int], device: Any) -> list[bool]:
    """Return which sets of data, of so many bytes each, may stay on the device: on a card only.

    In their order, each that fits: all together fill at most a quarter of what is free there.
    """
    if device.type != "cuda":
        return [False] * len(sizes)
    gc.collect()  # a training step refers to itself, so one done with may still hold memory
    free, _ = torch.cuda.mem_get_info(device)
    kept_back = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    room, stays = _SHARE * (free + kept_back), []  # PyTorch gives out what it keeps back
    for size in sizes:
        stays.append(size <= room)
        room -= size if stays[-1] else 0
    return stays


def kept_on(array: np.ndarray[Any, Any], rows: Any, device: Any) -> Tensor:
    """Return some rows of an array, which may be larger than memory, as a tensor on the device."""
    row_bytes = max(1, array[:1].nbytes)
    at_once = max(1, _BYTES_AT_ONCE // row_bytes)
    kind = torch.from_numpy(np.empty(0, array.dtype)).dtype
    kept = torch.empty((len(rows), *array.shape[1:]), dtype=kind, device=device)
    for start in range(0, len(rows), at_once):
        some = slice(start, start + at_once)
        kept[some].copy_(on_device(np.ascontiguousarray(array[rows[some]]), device))
    return kept


def ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield some items, made by a thread of its own while the last are used; its errors too."""
    source, end = iter(items), object()
    with ThreadPoolExecutor(1) as thread:
        waiting = deque(thread.submit(next, source, end) for _ in range(_AHEAD))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(thread.submit(next, source, end))
            yield item  # type: ignore[misc]
