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
from saccade.data import Index, Kin, dealt_units, numbered_series, resemblance, sampled_series
from saccade.data.kin import Near
from saccade.types import PARTS

_TEST: Final = PARTS.index("test")

_Rows = npt.NDArray[np.intp]


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

    As `saccade train` finds them; None where there are none.
    """
    number = numbered_series(index)
    if number is None:
        return None
    shown = looks.seen & (index.label >= 0) & (index.part != _TEST)
    rows = sampled_series(np.where(shown, number, -1), index.label, seed=0)
    found = resemblance(looks.thumbs[rows], number[rows], index.label[rows])
    return number if found.is_clear else None
