"""Which pictures a split treats alike where each has a set of labels.

Most sets of labels are rare, and a split class by class would refuse them, or put every picture of
theirs into training. So sets of fewer than ten pictures are dealt out with those that share their
rarest label, and what is left, all together: every label then lies in every part in about its own
share, rare ones first, as in iterative stratification (Sechidis and others, ECML PKDD 2011).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from saccade.data.index import UNASSIGNED, Index
from saccade.data.labelsets import LabelSets
from saccade.types import TRAIN

_OF_A_SET: Final = 10  # pictures: one to validate on, two to test on
_OF_A_LABEL: Final = 5


def by_strata(index: Index, sets: LabelSets) -> Index:
    """Return the index with a stratum for each picture in place of its set of labels."""
    rows = _different(index)
    in_set = np.bincount(index.label[rows], minlength=len(index.classes))
    of_label = in_set @ sets.membership
    rarest = _rarest(sets, of_label)
    stratum = np.arange(len(index.classes))
    rare = in_set < _OF_A_SET
    others = len(index.classes) + len(sets.names)
    stratum[rare] = np.where(rarest[rare] >= 0, len(index.classes) + rarest[rare], others)
    size = np.bincount(stratum, weights=in_set, minlength=others + 1)
    small = (stratum >= len(index.classes)) & (size[stratum] < _OF_A_LABEL)
    stratum[small] = others
    if small.any() or rare.any():
        stratum = _without_few(stratum, in_set, others)
    names, code = np.unique(stratum, return_inverse=True)
    label = np.where(index.label >= 0, code[index.label], index.label).astype(np.int32)
    return index.with_columns(
        classes=tuple(_name(index, sets, number) for number in names.tolist()), label=label
    )


def _different(index: Index) -> npt.NDArray[np.intp]:
    """Return the rows that may be dealt out, each of equal files once."""
    dealt = (index.part == UNASSIGNED) | (index.part == TRAIN)
    rows = np.flatnonzero(index.usable & (index.label >= 0) & dealt)
    first: dict[str, int] = {}
    for row, digest in zip(rows.tolist(), index.sha256[rows], strict=True):
        first.setdefault(digest, row)
    return np.fromiter(first.values(), np.intp, count=len(first))


def _rarest(sets: LabelSets, of_label: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Return each set's label with the fewest pictures; -1 for the empty set."""
    if not sets.names:
        return np.full(len(sets.membership), -1)
    counts = np.where(sets.membership, of_label, np.iinfo(np.intp).max)
    return np.where(sets.membership.any(axis=1), counts.argmin(axis=1), -1)


def _without_few(
    stratum: npt.NDArray[np.intp], in_set: npt.NDArray[np.intp], others: int
) -> npt.NDArray[np.intp]:
    """Return the strata with what is left over, where it is little, put to the largest."""
    size = np.bincount(stratum, weights=in_set)
    if len(size) <= others or size[others] >= _OF_A_LABEL:
        return stratum
    return np.where(stratum == others, int(size.argmax()), stratum)


def _name(index: Index, sets: LabelSets, number: int) -> str:
    """Return a stratum's name, for an error message."""
    if number < len(index.classes):
        return index.classes[number] or "no label"
    place = number - len(index.classes)
    return f"rare sets with {sets.names[place]}" if place < len(sets.names) else "rare sets"
