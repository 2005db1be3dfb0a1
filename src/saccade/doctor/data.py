"""What the doctor knows of the data: the range of the pixels and the form of the labels.

Arrays are sampled: some rows evenly over the whole, and of each row some numbers evenly over it, so
that a look costs milliseconds and reads little of what lies on a disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

_MOST_ROWS: Final = 2_048
_MOST_BYTES: Final = 2**24  # of the rows that are touched
_NUMBERS: Final = 64  # of each row
_MOST_LABELS: Final = 2_048

_Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """The form of one label a row."""

    kind: Literal["numbers", "one-hot", "other"]  # class numbers (N,) or (N, 1); or (N, C)
    smallest: int = 0  # class number
    largest: int = 0
    is_sorted: bool = False  # by class, and there are several

    @classmethod
    def of(cls, y: _Array) -> Labels:
        """Look at labels with one row a picture."""
        sample = y[_rows(y, _MOST_LABELS)]
        if y.ndim == 2 and y.shape[1] > 1 and _is_one_hot(sample):
            numbers = sample.argmax(axis=1)
            return cls(kind="one-hot", largest=y.shape[1] - 1, is_sorted=_ascends(numbers))
        is_row = y.ndim == 1 or (y.ndim == 2 and y.shape[1] == 1)
        if not is_row or y.dtype.kind not in "buif" or not np.array_equal(sample, np.round(sample)):
            return cls(kind="other")
        smallest, largest = float(y.min()), float(y.max())
        if not (np.isfinite(smallest) and np.isfinite(largest)):
            return cls(kind="other")
        return cls(
            kind="numbers",
            smallest=int(smallest),
            largest=int(largest),
            is_sorted=_ascends(sample.reshape(-1)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """What is known of pictures and labels."""

    low: float  # the smallest number of the pictures, of a sample
    high: float
    num_rows: int
    are_pictures: bool  # each row has a height and a width
    labels: Labels | None = None
    num_classes: int | None = None  # where it is certain, not just the largest label seen

    @classmethod
    def of(cls, x: Any, y: Any) -> DataFacts | None:
        """Look at arrays or tensors, one row a picture; None where `x` is something else."""
        pixels, labels = as_array(x), as_array(y)
        if pixels is None:
            return None
        values = some_numbers(pixels, some_rows(pixels)).astype(np.float64)
        values = values[np.isfinite(values)]
        known = None if labels is None or len(labels) != len(pixels) else Labels.of(labels)
        return cls(
            low=float(values.min(initial=np.inf)),
            high=float(values.max(initial=-np.inf)),
            num_rows=len(pixels),
            are_pictures=pixels.ndim in (3, 4),
            labels=known,
            num_classes=known.largest + 1 if known and known.kind == "one-hot" else None,
        )


def as_array(data: Any) -> _Array | None:
    """Return an array, or a tensor of any backend, as an array; None for anything else."""
    if hasattr(data, "detach"):
        data = data.detach().cpu()
    elif not isinstance(data, np.ndarray) and not hasattr(data, "numpy"):
        return None
    array = np.asarray(data)
    return array if array.dtype.kind in "buif" and array.ndim > 0 and len(array) else None


def some_rows(array: _Array) -> npt.NDArray[np.intp]:
    """Return up to 2,048 rows evenly over an array, fewer where rows are large."""
    row_bytes = max(1, array[0].size * array.itemsize)
    return _rows(array, max(64, min(_MOST_ROWS, _MOST_BYTES // row_bytes)))


def some_numbers(array: _Array, rows: npt.NDArray[np.intp]) -> _Array:
    """Return (rows, up to 64 numbers evenly over each row)."""
    if array.ndim == 1:
        return array[rows][:, None]
    row_size = array[0].size
    places = np.linspace(0, row_size - 1, min(_NUMBERS, row_size)).round().astype(np.intp)
    # Not by reshaping, which would copy an array whose rows do not lie one behind the other.
    within = np.unravel_index(places, array.shape[1:])
    numbers: _Array = array[(rows[:, None], *(index[None] for index in within))]
    return numbers


def _rows(array: _Array, most: int) -> npt.NDArray[np.intp]:
    return np.linspace(0, len(array) - 1, min(most, len(array))).astype(np.intp)


def _is_one_hot(labels: _Array) -> bool:
    return bool(((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all())


def _ascends(numbers: _Array) -> bool:
    """Whether labels come class by class, in any order of the classes."""
    changes = np.flatnonzero(np.diff(numbers)) + 1
    num_classes = len(np.unique(numbers))
    return num_classes > 1 and len(numbers) > 2 * num_classes and len(changes) == num_classes - 1
