"""What every figure needs of each scored picture, gathered in one pass over the probabilities.

The probabilities may be a memory map larger than memory: rows are read in blocks, and five numbers
a row are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.integer[Any]]
Probabilities = npt.NDArray[np.floating[Any]]

_BLOCK: Final = 1 << 21  # probabilities read at once
_SUM_TOLERANCE: Final = 1e-3  # softmax in half precision stays inside it


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scores:
    """One entry a picture; the first class wins a tie, as in `numpy.argmax`."""

    labels: npt.NDArray[np.int64]  # (N,) true class
    predicted: npt.NDArray[np.int64]  # (N,) class with the highest probability, or as given
    top: Floats  # (N,) the probability of that class
    second: Floats  # (N,) the second highest
    true: Floats  # (N,) the true class's probability
    squares: Floats  # (N,) sum of squared probabilities

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Which pictures are predicted right, (N,)."""
        right: npt.NDArray[np.bool_] = self.predicted == self.labels
        return right


def score(
    probabilities: Probabilities, labels: Labels, *, predicted: Labels | None = None
) -> Scores:
    """Gather the scores of `probabilities` (N, C) against `labels` (N,).

    `predicted` (N,) is the predicted class where that is not the one with the highest probability.

    Raises ValueError for shapes that do not fit, fewer than two classes, no rows, labels outside
    0 … C - 1, and rows that are not probabilities.
    """
    check_labels(probabilities, labels)
    count = len(labels)
    codes = np.asarray(labels, np.int64)
    answers = np.empty(count, np.int64)
    top, second, true, squares = (np.empty(count) for _ in range(4))
    for rows, block in _blocks(probabilities):
        _check_rows(block, rows.start)
        answers[rows] = block.argmax(axis=1) if predicted is None else predicted[rows]
        top[rows] = block[np.arange(len(block)), answers[rows]]
        second[rows] = np.partition(block, -2, axis=1)[:, -2]
        true[rows] = block[np.arange(len(block)), codes[rows]]
        squares[rows] = np.einsum("ij,ij->i", block, block)
    return Scores(
        labels=codes, predicted=answers, top=top, second=second, true=true, squares=squares
    )


def top_of(probabilities: Probabilities) -> Floats:
    """Return the highest probability of each row of (N, C), checked as `score` does."""
    _check_table(probabilities)
    top = np.empty(len(probabilities))
    for rows, block in _blocks(probabilities):
        _check_rows(block, rows.start)
        top[rows] = block.max(axis=1)
    return top


def check_labels(table: Probabilities, labels: Labels) -> None:
    """Refuse with ValueError what `score` says, save for the rows themselves."""
    _check_table(table)
    labels = np.asarray(labels)
    if labels.ndim != 1 or len(labels) != len(table):
        raise ValueError(f"wanted one label a row of {table.shape}, got labels of {labels.shape}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"wanted labels as whole numbers, got {labels.dtype}")
    if len(labels) == 0:
        raise ValueError("wanted at least one scored picture, got none")
    wrong = np.flatnonzero((labels < 0) | (labels >= table.shape[1]))
    if wrong.size:
        row = int(wrong[0])
        raise ValueError(
            f"wanted labels from 0 to {table.shape[1] - 1}, got {labels[row]} in row {row}"
        )


def _check_table(table: Probabilities) -> None:
    if table.ndim != 2 or table.shape[1] < 2:
        raise ValueError(f"wanted (pictures, at least two classes), got shape {table.shape}")
    if not np.issubdtype(table.dtype, np.floating):
        raise ValueError(f"wanted floating-point numbers, got {table.dtype}")


def _check_rows(block: Floats, first_row: int) -> None:
    # NaN fails every comparison, so "good" is asked rather than "bad".
    good = (block.min(axis=1) >= 0) & (np.abs(block.sum(axis=1) - 1) <= _SUM_TOLERANCE)
    if not good.all():
        at = int(np.argmin(good))
        raise ValueError(
            f"wanted probabilities that are not negative and sum to 1, got a row with sum "
            f"{block[at].sum()} and minimum {block[at].min()} in row {first_row + at}"
        )


def _blocks(table: Probabilities) -> Iterator[tuple[slice, Floats]]:
    step = max(1, _BLOCK // table.shape[1])
    for start in range(0, len(table), step):
        rows = slice(start, min(start + step, len(table)))
        yield rows, np.asarray(table[rows], np.float64)
