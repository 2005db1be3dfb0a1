"""A data set in memory, or mapped into it, as batches: pictures, labels, weights.

For a model on a graphics card it is brought there whole, where it fits; else a thread takes batches
ahead, into pinned memory, from which they are copied without waiting for it; each copy
has its turn among all that the card is told to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from saccade.training.device import ahead, kept_on, on_device, pinned, staying
from saccade.training.graph import Unsupported

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some rows of a data set, as tensors."""

    x: Any
    y: Any
    weight: Any | None

    def each(self, do: Callable[[Any], Any]) -> Batch:
        """Return the batch with something done to each of its tensors."""
        weight = None if self.weight is None else do(self.weight)
        return Batch(x=do(self.x), y=do(self.y), weight=weight)


class Source(Protocol):
    """Where the batches of a data set come from."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def batches(self, batch_size: int, *, shuffle: bool) -> Iterator[Batch]:
        """See `Examples.batches`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Examples:
    """Inputs, labels and, where samples count differently, weights; all with one row a sample."""

    x: Array
    y: Array
    weight: Array | None = None

    def __post_init__(self) -> None:
        lengths = {len(a) for a in (self.x, self.y, self.weight) if a is not None}
        if len(lengths) != 1:
            raise Unsupported(f"x, y and sample_weight have different lengths, {sorted(lengths)}")
        if self.weight is not None and self.weight.shape not in ((len(self),), (len(self), 1)):
            raise Unsupported("sample_weight has more than one number a sample")

    @classmethod
    def of(cls, x: Any, y: Any, weight: Any = None) -> Examples:
        """Take arrays or tensors; raises Unsupported for anything else."""
        return cls(
            x=_array("x", x),
            y=_array("y", y),
            weight=None if weight is None else _array("sample_weight", weight).astype(np.float32),
        )

    def __len__(self) -> int:
        return len(self.x)

    @property
    def num_bytes(self) -> int:
        """The bytes of all its arrays."""
        return sum(a.nbytes for a in (self.x, self.y, self.weight) if a is not None)

    def rows(self, rows: slice) -> Examples:
        """Return some of the rows, without a copy."""
        weight = None if self.weight is None else self.weight[rows]
        return Examples(x=self.x[rows], y=self.y[rows], weight=weight)

    def split(self, share: float) -> tuple[Examples, Examples]:
        """Return all but the last `share`, and the last `share`: Keras's ``validation_split``."""
        num_first = int(np.floor(len(self) * (1.0 - share)))
        if not 0 < num_first < len(self):
            raise Unsupported(f"validation_split={share} leaves one side empty")
        return self.rows(slice(num_first)), self.rows(slice(num_first, None))

    def weighted_by_class(self, class_weight: Mapping[int, float]) -> Examples:
        """Return the rows weighted by their class; a class that is not named counts once."""
        wide = self.y.ndim > 1 and self.y.shape[-1] != 1
        classes = self.y.argmax(axis=-1) if wide else self.y.reshape(-1)
        classes = np.round(classes).astype(np.int64)
        weight = np.ones(len(self), np.float32)
        for index, value in class_weight.items():
            weight[classes == index] = value
        return Examples(x=self.x, y=self.y, weight=weight)

    def batches(self, batch_size: int, *, shuffle: bool) -> Iterator[Batch]:
        """Give all rows once, `batch_size` at a time; the last batch holds what is left.

        The order is drawn from PyTorch's random state, which `keras.utils.set_random_seed` sets.
        """
        return map(self._batch, rows_of(len(self), batch_size, shuffle=shuffle))

    def _batch(self, rows: Any) -> Batch:
        weight = None if self.weight is None else _tensor(self.weight, rows)
        return Batch(x=_tensor(self.x, rows), y=_tensor(self.y, rows), weight=weight)


class Resident:
    """A data set that was brought to the model's device."""

    def __init__(self, examples: Examples, device: Any) -> None:
        everything = np.arange(len(examples))
        parts = Batch(x=examples.x, y=examples.y, weight=examples.weight)
        self._all = parts.each(lambda array: kept_on(array, everything, device))
        self._device = device

    def __len__(self) -> int:
        return len(self._all.x)

    def batches(self, batch_size: int, *, shuffle: bool) -> Iterator[Batch]:
        """See `Examples.batches`."""
        return map(self._batch, rows_of(len(self), batch_size, shuffle=shuffle))

    def _batch(self, rows: Any) -> Batch:
        if isinstance(rows, slice):
            return self._all.each(lambda tensor: tensor[rows])
        places = on_device(rows, self._device)
        return self._all.each(lambda tensor: tensor.index_select(0, places))


class Streamed:
    """A data set of which batches are brought to the model's device, one after the other."""

    def __init__(self, examples: Examples, device: Any) -> None:
        self._examples, self._device = examples, device

    def __len__(self) -> int:
        return len(self._examples)

    def batches(self, batch_size: int, *, shuffle: bool) -> Iterator[Batch]:
        """See `Examples.batches`."""
        device, batches = self._device, self._examples.batches(batch_size, shuffle=shuffle)
        waiting = (batch.each(lambda tensor: pinned(tensor, device)) for batch in batches)
        return (batch.each(lambda tensor: on_device(tensor, device)) for batch in ahead(waiting))


def sources_of(sets: Sequence[Examples], device: Any) -> list[Source]:
    """Return where batches of each data set come from, for a model on this device."""
    if device.type != "cuda":
        return list(sets)
    stays = staying([each.num_bytes for each in sets], device)
    return [
        Resident(each, device) if stay else Streamed(each, device)
        for each, stay in zip(sets, stays, strict=True)
    ]


def rows_of(num_rows: int, batch_size: int, *, shuffle: bool) -> Iterator[Any]:
    """Return the rows of each batch: slices, or (n,) numbers in an order drawn now."""
    order = torch.randperm(num_rows).numpy() if shuffle else None
    slices = (slice(at, at + batch_size) for at in range(0, num_rows, batch_size))
    return (rows if order is None else order[rows] for rows in slices)


def _tensor(array: Array, rows: Any) -> Any:
    if not array.flags.writeable or min(array.strides) < 0:  # PyTorch has no such tensors
        return torch.from_numpy(np.require(array[rows], requirements=["C", "W"]))
    tensor = torch.from_numpy(array)
    if isinstance(rows, slice):
        return tensor[rows].contiguous()
    return tensor.index_select(0, torch.from_numpy(rows))  # by all threads, unlike NumPy's


def _array(name: str, data: Any) -> Array:
    if isinstance(data, torch.Tensor):
        data = data.detach().cpu().numpy()
    if not isinstance(data, np.ndarray):
        raise Unsupported(f"{name} is {_kind(data)}, not an array")
    if data.dtype.kind not in "buif" or not data.dtype.isnative or data.ndim == 0 or not len(data):
        raise Unsupported(f"{name} holds {data.dtype} in shape {data.shape}")
    return data


def _kind(data: Any) -> str:
    return "missing" if data is None else f"a {type(data).__name__}"
