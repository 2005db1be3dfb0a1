"""Which pictures belong on one side of a split: those that the user groups, and near copies.

    kin = Kin(groups=patients, near=(first, second, score))
    joined(group, kin.near, label)  # (N,) group numbers

A group that the user names, and copies equal to the pixel, are facts and always stay whole. A near
pair is a judgement, and where everything looks a little like something else a chain of pairs leads
through a whole class: its part would be one lump, and the others would lack what it shows. So pairs
are followed from the surest to the least sure, and one that would make a group of more than a
twentieth of a class (of a small class, a quarter, or 10 pictures) is not followed. A test part that
the split makes, a fifth of a class, so holds four groups or more, and every class keeps enough
groups to lie in every part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_LARGEST_SHARE: Final = 0.05
_SMALL: Final = 10

_Rows = npt.NDArray[np.intp]
_Labels = npt.NDArray[np.integer[Any]]
Near = tuple[_Rows, _Rows, npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kin:
    """What is known of pictures that belong together, by rows of an index."""

    groups: _Rows | None = None  # (N,) a number for each group that the user names; -1 is none
    near: Near | None = None  # (first, second, score): near copies, and how sure they are


def joined(group: _Rows, pairs: Near, label: _Labels) -> _Rows:
    """Return groups joined along near pairs.

    `group` is (N,), -1 for rows that take no part; `pairs` are (first, second, score); `label` is
    (N,), 0 or more where `group` is.
    """
    first, second, score = pairs
    there = (group[first] >= 0) & (group[second] >= 0) & (group[first] != group[second])
    order = np.argsort(-score[there], kind="stable")
    edges = np.stack([group[first[there]], group[second[there]]], axis=1)[order]
    forest = _Forest(group, label)
    for one, other in edges.tolist():
        forest.join(one, other)
    roots = np.array([forest.root(number) for number in range(len(forest.size))], np.intp)
    kin = group.copy()
    kin[group >= 0] = roots[group[group >= 0]]
    return kin


class _Forest:
    """Groups as trees (union-find, Galler and Fischer 1964), none larger than its classes allow."""

    def __init__(self, group: _Rows, label: _Labels) -> None:
        rows = np.flatnonzero(group >= 0)
        num_groups = int(group.max(initial=-1)) + 1
        size = np.bincount(label[rows], minlength=1)
        most = np.maximum(size * _LARGEST_SHARE, np.minimum(_SMALL, size // 4))
        limit = np.full(num_groups, np.inf)
        np.minimum.at(limit, group[rows], most[label[rows]])
        self.size = np.bincount(group[rows], minlength=num_groups).tolist()
        self._limit = limit.tolist()
        self._above = list(range(num_groups))

    def root(self, number: int) -> int:
        """Return the number that stands for a group."""
        above = self._above
        while above[number] != number:
            above[number] = above[above[number]]
            number = above[number]
        return number

    def join(self, one: int, other: int) -> None:
        """Make two groups one, where that is allowed."""
        one, other = self.root(one), self.root(other)
        limit = min(self._limit[one], self._limit[other])
        if one == other or self.size[one] + self.size[other] > limit:
            return
        self._above[other] = one
        self.size[one] += self.size[other]
        self._limit[one] = limit
