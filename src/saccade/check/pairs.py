"""Findings on copies: equal pictures and near ones, within a part, across parts, and mislabelled.

Of two copies the one in the test part is kept, then the one in validation, then the first; a
finding's row names the other one as `path`, and the kept one as `other`. Of two labels nobody can
know which is right, so that neither picture is proposed for leaving out; nor is one that a table
lists twice, since a list of paths would leave out both of its rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from saccade.check.alike import LEAST_PX, TOO_SMALL, look_alikes, sampled, untold
from saccade.check.copies import COPIES, NEARLY_EQUAL, Bar, near_copies
from saccade.check.thumbnails import Looks
from saccade.data import UNASSIGNED, Index
from saccade.finding import Finding, Row, Severity
from saccade.types import PARTS, TRAIN

_Rows = npt.NDArray[np.intp]
Ends = tuple[_Rows, _Rows, npt.NDArray[np.float32]]  # kept, copy, score


CONFLICTING: Final = "conflicting-labels"
IN_SERIES: Final = "in-series"
_AGAIN: Final = "listed-twice"
_CURES: Final = {
    CONFLICTING: "Look at both of a pair, then either correct the wrong label, or leave out the "
    "picture that bears it (in a table, its row). exclude.csv lists neither: which is wrong, you "
    "decide.",
    IN_SERIES: "Leave them: training keeps copies on one side of a split. Where most pictures of "
    "a film are alike, take fewer of it. exclude.csv does not list them.",
    "": "Leave out the listed pictures (exclude.csv lists them).",
}
_HURTS: Final = {
    CONFLICTING: "the labels contradict each other, and at least one of them is wrong.",
    "across-splits": "the network is scored on what it has learned by heart, and the score is too "
    "good.",
    "": "they count twice in training, and a random split scores what was trained on.",
    IN_SERIES: "frames of one film or burst, which say together little more than one of them.",
}
_SEVERITIES: Final[Mapping[str, Severity]] = {"": "warning", IN_SERIES: "note"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Copies:
    """What was found, each pair as (kept, copy, score); no row is the copy of two equal ones."""

    equal: Ends
    near: Ends  # among pictures that are all different
    not_told: str = ""  # why near copies were looked for strictly, or not at all; "" as usual


def find_copies(index: Index, looks: Looks) -> Copies:
    """Return the copies among all pictures that could be decoded.

    Where pictures of different things look alike, only nearly equal ones count as near copies, and
    where they are tiny none do.
    """
    rank = _rank(index)
    equal = _equal_pairs(looks, rank)
    rows = _comparable(index, looks, equal[1])
    sample = looks.thumbs[rows[sampled(len(rows))]]
    why_stricter = untold(look_alikes(sample, len(rows)).num_alike)
    near = _near_pairs(looks, rank, rows, NEARLY_EQUAL if why_stricter else COPIES)
    not_told = ""
    if why_stricter:
        not_told = f"Only nearly equal copies were looked for: {why_stricter}."
    elif looks.seen.any() and not len(rows):
        not_told = f"Near copies were not looked for: {TOO_SMALL}."
    return Copies(equal=equal, near=near, not_told=not_told)


def copies(index: Index, found: Copies, series: _Rows | None = None) -> tuple[Finding, ...]:
    """Return up to six findings: (conflicting labels, across parts, within one) x (equal, near).

    A note before them says so where near copies were looked for strictly, or not at all; a finding
    after them names what a table lists twice. Near copies within one of `series` (N,), -1 for none,
    have a note of their own.
    """
    findings = [_not_told(found.not_told)] if found.not_told else []
    for trouble in _HURTS:
        for closeness, pairs in (("equal", found.equal), ("near", found.near)):
            kept, copy, score = pairs
            troubles = _troubles(index, kept, copy)
            if closeness == "near" and series is not None:
                one = (series[kept] >= 0) & (series[kept] == series[copy])
                troubles = np.where(one & (troubles == ""), IN_SERIES, troubles)
            some = troubles == trouble
            if some.any():
                said = "the other" if trouble in (CONFLICTING, IN_SERIES) else "kept"
                listed = _rows(index, kept[some], copy[some], score[some], said)
                findings.append(_finding(closeness, trouble, listed))
    return (*findings, *_listed_twice(index, found.equal))


def _listed_twice(index: Index, equal: Ends) -> tuple[Finding, ...]:
    """Return a finding on rows that name the picture of an earlier one, with the same label."""
    kept, copy, _ = equal
    again = _troubles(index, kept, copy) == _AGAIN
    if not again.any():
        return ()
    kept, copy = kept[again], copy[again]
    across = bool((_part(index)[kept] != _part(index)[copy]).any())
    rows = tuple(
        Row(
            path=index.path[second],
            score=1.0,
            detail=f"{_place(index, second)}; also listed: {_place(index, first)}",
        )
        for first, second in zip(kept, copy, strict=True)
    )
    names = "row names" if len(rows) == 1 else "rows name"
    finding = Finding(
        name=_AGAIN,
        severity="serious" if across else "warning",
        where="all parts",
        message=f"{len(rows):,} {names} a picture that another row names already, with the same "
        f"label: {_HURTS['across-splits' if across else '']}",
        cure="Delete these rows from the table. exclude.csv leaves them in: it goes by path, and "
        "would leave out every row of a picture.",
        rows=rows,
    )
    return (finding,)


def _finding(closeness: str, trouble: str, rows: tuple[Row, ...]) -> Finding:
    count = f"{len(rows):,} {'pair' if len(rows) == 1 else 'pairs'}"
    what = "equal pictures" if closeness == "equal" else "pictures that are nearly the same"
    place = {
        "across-splits": " in different parts",
        CONFLICTING: " of two classes",
        IN_SERIES: " and of one series",
    }
    name = f"{closeness}-copies" + (f"-{trouble}" if trouble else "")
    return Finding(
        name=name,
        severity=_SEVERITIES.get(trouble, "serious"),
        where="across parts" if trouble == "across-splits" else "all parts",
        message=f"{count} of {what}{place.get(trouble, '')}: {_HURTS[trouble]}",
        cure=_CURES.get(trouble, _CURES[""]),
        rows=rows,
    )


def _rank(index: Index) -> _Rows:
    """Return each row's place in the order of who is kept."""
    rank = np.empty(len(index), np.intp)
    rank[np.argsort(-_part(index).astype(int), kind="stable")] = np.arange(len(index))
    return rank


def _part(index: Index) -> npt.NDArray[np.integer[Any]]:
    """Return each row's part; what has none yet is as good as training."""
    return np.where(index.part == UNASSIGNED, TRAIN, index.part)


def _equal_pairs(looks: Looks, rank: _Rows) -> Ends:
    """Return (kept, copy, score): every equal picture with the one that is kept of them."""
    rows = np.flatnonzero(looks.seen)
    rows = rows[np.argsort(rank[rows])]
    _, first, group = np.unique(
        looks.digest[rows].astype(str), return_index=True, return_inverse=True
    )
    kept = rows[first[group]]
    again = kept != rows
    return kept[again], rows[again], np.ones(int(again.sum()), np.float32)


def _comparable(index: Index, looks: Looks, equal: _Rows) -> _Rows:
    """Return the rows of different pictures that are large enough to compare."""
    mask = looks.seen & (np.minimum(index.width_px, index.height_px) >= LEAST_PX)
    mask[equal] = False
    return np.flatnonzero(mask)


def _not_told(message: str) -> Finding:
    return Finding(
        name="near-copies-not-told",
        severity="note",
        where="all parts",
        message=message,
        cure="Where you know which pictures belong together, tell `saccade train --group`, so that "
        "they stay on one side of a split.",
    )


def _near_pairs(looks: Looks, rank: _Rows, rows: _Rows, bar: Bar) -> Ends:
    """Return (kept, copy, score) among some rows."""
    pairs = near_copies(looks.thumbs[rows], looks.tints[rows], bar)
    ends = np.stack([rows[pairs.first], rows[pairs.second]])
    swap = rank[ends[0]] > rank[ends[1]]
    kept, copy = np.where(swap, ends[::-1], ends)
    order = np.lexsort((rank[kept], rank[copy]))
    return kept[order], copy[order], pairs.score[order]


def _troubles(index: Index, kept: _Rows, copy: _Rows) -> npt.NDArray[np.str_]:
    """Return for each pair what is worst about it, a key of `_HURTS` or `_AGAIN`."""
    labelled = (index.label[kept] >= 0) & (index.label[copy] >= 0)
    conflict = labelled & (index.label[kept] != index.label[copy])
    again = index.path[kept] == index.path[copy]
    across = _part(index)[kept] != _part(index)[copy]
    return np.select([conflict, again, across], [CONFLICTING, _AGAIN, "across-splits"], "")


def _rows(
    index: Index, kept: _Rows, copy: _Rows, score: npt.NDArray[np.float32], first_is: str
) -> tuple[Row, ...]:
    return tuple(
        Row(
            path=index.path[second],
            other=index.path[first],
            score=float(sure),
            detail=f"{_place(index, second)}; {first_is}: {_place(index, first)}",
        )
        for first, second, sure in zip(kept, copy, score, strict=True)
    )


def _place(index: Index, row: int) -> str:
    """Return such as ``cats in test``."""
    label, part = index.label[row], index.part[row]
    name = index.classes[label] if label >= 0 else "no label"
    return name if part == UNASSIGNED else f"{name} in {PARTS[part]}"
