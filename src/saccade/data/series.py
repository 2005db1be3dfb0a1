"""Series: pictures that a camera, a film or a program made one after another, told by their names.

    number = numbered_series(index)             # (N,): horse03-1.png … horse03-9.png are one
    found = resemblance(thumbs, number, label)  # do pictures look most like their own series?

Frames of one film look alike. Dealt out one by one, nearly every test picture has a neighbour that
the network has learnt, and the score says how well it knows these films, not how well it will know
the next. Names alone prove little: two holidays of IMG_0001 to IMG_0999 may show anything. So the
pictures are asked too, and only series that look like series are kept together.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import digits
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from saccade.data.index import UNASSIGNED, Index
from saccade.types import TEST

_SHORTEST: Final = 3  # pictures; fewer prove nothing
_FEWEST: Final = 5  # series of a class: some to train on, where validation and test take one each
_LEAST_SHARE: Final = 0.5  # of a class's pictures lie in its series
_LOOKED_AT: Final = 1_000  # pictures, of one class after another
_OF_ONE: Final = 100  # pictures of a series; of longer ones the first
_RUN: Final = 10  # numbers that follow one another
_DIGITS: Final = 18  # of a number, the last ones: what an int64 holds
_CLEARLY: Final = 0.5  # of the way from chance to always

_Rows = npt.NDArray[np.intp]


def numbered_series(index: Index, *, fewest: int = _FEWEST) -> _Rows | None:
    """Return each row's series, (N,), -1 for a row in none; None where the names show none.

    A series is of one folder, and its names differ in their last number alone. Each class, as far
    as its pictures are not test pictures, has at least `fewest`, with half of its pictures in them.
    """
    open_to_all = index.usable & (index.label != UNASSIGNED) & (index.part != TEST)
    number_of: dict[str, int] = {}
    counted = (number_of.setdefault(_before_number(path), len(number_of)) for path in index.path)
    number = np.fromiter(counted, np.intp, count=len(index))
    length = np.bincount(number[open_to_all], minlength=len(number_of))
    number[(length[number] < _SHORTEST) | (number == number_of.get("", -1))] = -1
    label = index.label[open_to_all]
    lies_in_one = number[open_to_all] >= 0
    pairs = np.stack([label, number[open_to_all]], axis=1)[lies_in_one]
    size, num_in_series, num_series = (
        np.bincount(labels, minlength=len(index.classes))
        for labels in (label, pairs[:, 0], np.unique(pairs, axis=0)[:, 0])
    )
    enough = (num_series >= fewest) & (num_in_series >= _LEAST_SHARE * size)
    return number if len(label) and enough[size > 0].all() else None


def runs_of(index: Index, number: _Rows) -> _Rows:
    """Return each row's run, (N,): ten places of its series, by the numbers in the names; or -1.

    A class of one film cannot look more like its own series than like another of its class; its
    frames can look most like those just before and after.
    """
    run = np.full(len(number), -1, np.intp)
    rows = np.flatnonzero(number >= 0)
    ends = [index.path[row].rpartition("/")[2] for row in rows]
    stems = [name.rpartition(".")[0] or name for name in ends]
    place = [int(stem[len(stem.rstrip(digits)) :][-_DIGITS:]) for stem in stems]
    pairs = np.stack([number[rows], np.array(place, np.int64) // _RUN], axis=1)
    run[rows] = np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)
    return run


def _before_number(path: str) -> str:
    """Return a path up to its name's last number; "" where the name does not end in one."""
    folder, _, name = path.rpartition("/")
    stem = name.rpartition(".")[0] or name
    before = stem.rstrip(digits)
    return "" if before == stem else f"{folder}/{before}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resemblance:
    """How often a picture looks most like one of its own series."""

    share: float  # of pictures whose nearest of the same class is of their series
    by_chance: float  # the share if series meant nothing

    @property
    def is_clear(self) -> bool:
        """Whether series look alike: the share is nearer to always than to chance."""
        return self.share - self.by_chance > _CLEARLY * (1 - self.by_chance)


def sampled_series(number: _Rows, label: npt.NDArray[np.integer[Any]], *, seed: int) -> _Rows:
    """Return the rows of some series, about a thousand pictures, in order.

    Classes are drawn at random, and of each class its series, so that one meets others of its own.
    """
    rows = np.flatnonzero(number >= 0)
    names, first, member = np.unique(number[rows], return_index=True, return_inverse=True)
    by_series = np.argsort(member, kind="stable")
    length = np.bincount(member)
    place = np.empty(len(rows), np.intp)  # of a picture in its series
    place[by_series] = np.arange(len(rows)) - np.repeat(np.cumsum(length) - length, length)
    random = np.random.default_rng(seed)
    order = random.permutation(len(names))
    turn = random.permutation(int(label.max(initial=0)) + 1)[label[rows[first]]]
    order = order[np.argsort(turn[order], kind="stable")]
    counted = np.cumsum(np.minimum(length, _OF_ONE)[order])
    few = order[: np.searchsorted(counted, _LOOKED_AT, side="right")]
    drawn: _Rows = rows[np.isin(member, few) & (place < _OF_ONE)]
    return drawn


def resemblance(
    thumbs: npt.NDArray[np.uint8], number: _Rows, label: npt.NDArray[np.integer[Any]]
) -> Resemblance:
    """Return how much like their series pictures look, by grey thumbnails (n, side, side).

    `number` and `label`, (n,), are their series and classes. Likeness is correlation.
    """
    other = (label[:, None] == label) & ~np.eye(len(label), dtype=bool)
    if not other.any():
        return Resemblance(share=0.0, by_chance=1.0)
    flat = thumbs.reshape(len(thumbs), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    alike = flat @ flat.T
    own = other & (number[:, None] == number)
    asked = other.any(axis=1)
    nearest = np.where(other, alike, -np.inf).argmax(axis=1)
    share = (number[nearest] == number)[asked]
    chance = (own.sum(axis=1) / np.maximum(other.sum(axis=1), 1))[asked]
    return Resemblance(share=float(share.mean()), by_chance=float(chance.mean()))
