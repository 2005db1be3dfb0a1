"""Which classes are taken for which: a table, a heat map or pairs, by how many classes there are.

Up to 20 classes every count is readable in a table. Up to 200 a heat map still shows blocks.
Beyond that a picture of a million cells says nothing, so only the most confused pairs are shown,
and the page says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from saccade.evaluation.evaluation import Evaluation

MOST_IN_TABLE: Final = 20
MOST_IN_HEAT_MAP: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """How many pictures of one class were predicted as another."""

    count: int
    share: float  # of the true class's pictures, 0 to 1
    right: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One confusion: `count` pictures of `label` were predicted as `predicted`."""

    label: str
    predicted: str
    count: int
    share: float  # of the true class's pictures, 0 to 1


def form(evaluation: Evaluation) -> Literal["table", "heat map", "pairs"]:
    """Return how a confusion of this many classes is shown."""
    if len(evaluation.classes) <= MOST_IN_TABLE:
        return "table"
    return "heat map" if len(evaluation.classes) <= MOST_IN_HEAT_MAP else "pairs"


def counts(evaluation: Evaluation) -> npt.NDArray[np.int64]:
    """Return the counts as (true class, predicted class)."""
    return np.array(evaluation.confusion, dtype=np.int64)


def shares(matrix: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return each row as shares of its sum; a row without pictures stays 0."""
    totals = matrix.sum(axis=1, keepdims=True)
    part: npt.NDArray[np.float64] = matrix / np.maximum(totals, 1)
    return part


def cells(evaluation: Evaluation) -> list[tuple[str, list[Cell]]]:
    """Return the table's rows: a true class, and a cell for each predicted class."""
    matrix = counts(evaluation)
    share = shares(matrix)
    return [
        (
            name,
            [
                Cell(
                    count=int(matrix[row, column]),
                    share=float(share[row, column]),
                    right=row == column,
                )
                for column in range(len(evaluation.classes))
            ],
        )
        for row, name in enumerate(evaluation.classes)
    ]


def confused_pairs(evaluation: Evaluation, *, limit: int) -> list[Pair]:
    """Return the most frequent confusions; equal counts by share, then in the classes' order."""
    matrix = counts(evaluation)
    share = shares(matrix)
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    rows, columns = np.nonzero(wrong)
    order = np.lexsort((columns, rows, -share[rows, columns], -wrong[rows, columns]))[:limit]
    return [
        Pair(
            label=evaluation.classes[row],
            predicted=evaluation.classes[column],
            count=int(wrong[row, column]),
            share=float(share[row, column]),
        )
        for row, column in zip(rows[order], columns[order], strict=True)
    ]
