"""What counts as one picture: copies, and pictures that the user or their names put together.

    unit = units_of(index, looks, rows, kin, num_parts=4)  # (n,): equal for what belongs together
    named = alike_series(index, looks)                     # (N,), or None

Thirty frames of one horse say once what a horse's files are like. Counted as thirty, they make
sure of what is chance.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from saccade.check.thumbnails import Looks
from saccade.data import (
    UNASSIGNED,
    Index,
    Kin,
    dealt_units,
    numbered_series,
    resemblance,
    runs_of,
    sampled_series,
)
from saccade.data.kin import Near
from saccade.data.series import Resemblance
from saccade.types import TEST

_FEW_RUNS: Final = 1 / 3  # by chance: a class of two runs or three proves nothing

_Rows = npt.NDArray[np.intp]


def askable(index: Index, looks: Looks) -> npt.NDArray[np.bool_]:
    """Return the rows that may be asked about, (N,): labelled pictures of any part but the test."""
    mask: npt.NDArray[np.bool_] = looks.seen & (index.label >= 0) & (index.part != TEST)
    return mask


def units_of(index: Index, looks: Looks, rows: _Rows, kin: Kin, *, num_parts: int) -> _Rows:
    """Return a number for each of `rows`, (n,), equal for copies and for what `kin` joins.

    As `dealt_units`: near copies of two classes stay apart where a class would else have fewer
    than `num_parts` units.
    """
    some, digest, kin = chosen(index, looks, rows, kin)
    return dealt_units(some, digest, kin, num_parts=num_parts)[rows]


def chosen(
    index: Index, looks: Looks, rows: _Rows, kin: Kin
) -> tuple[Index, npt.NDArray[np.uint64], Kin]:
    """Return the index with `rows` alone usable and their classes alone, digests, and their kin."""
    _, same = np.unique(looks.digest.astype(str), return_inverse=True)
    if kin.near is not None:
        kin = replace(kin, near=_among(rows, same, kin.near))
    reason = np.full(len(index), "not asked about", dtype=object)
    reason[rows] = ""
    codes, label = np.unique(index.label[rows], return_inverse=True)
    asked = np.zeros(len(index), index.label.dtype)
    asked[rows] = label
    classes = tuple(index.classes[code] for code in codes)
    some = index.with_columns(reason=reason, classes=classes, label=asked)
    return some, same.astype(np.uint64), kin


def _among(rows: _Rows, same: _Rows, near: Near) -> Near:
    """Return the near pairs with both ends among `rows`.

    A pair names one of equal pictures, which may be another, in the test part; `same` (N,) has one
    number for equal ones.
    """
    stands = np.full(int(same.max(initial=0)) + 1, -1, np.intp)
    stands[same[rows]] = rows
    first, second = stands[same[near[0]]], stands[same[near[1]]]
    there = (first >= 0) & (second >= 0)
    return first[there], second[there], near[2][there]


def alike_series(index: Index, looks: Looks) -> _Rows | None:
    """Return each row's series, (N,), -1 for none, where names show them and looks confirm it.

    As `saccade train` finds them, but those of the test part as well, and where a class has too few
    to be dealt out, such as one film: counted singly, its frames would make sure of what is chance.
    None where there are none.
    """
    number = numbered_series(index, fewest=1)
    if number is None:
        return None
    by_series = _likeness(index, looks, number, number)
    by_run = _likeness(index, looks, number, runs_of(index, number))
    if not (by_series.is_clear or (by_run.is_clear and by_run.by_chance < _FEW_RUNS)):
        return None
    in_all = numbered_series(
        index.with_columns(part=np.full(len(index), UNASSIGNED, np.int8)), fewest=1
    )
    return number if in_all is None else in_all


def _likeness(index: Index, looks: Looks, number: _Rows, by: _Rows) -> Resemblance:
    """Return how often pictures of some series look most like those of the same `by`, (N,)."""
    rows = sampled_series(np.where(askable(index, looks), number, -1), index.label, seed=0)
    return resemblance(looks.thumbs[rows], by[rows], index.label[rows])
