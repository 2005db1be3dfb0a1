"""Several labels a picture: each picture's label is a set of names.

    sets = LabelSets.of(("", "cat", "cat;dog"))
    sets.names                       # ("cat", "dog")
    sets.targets(np.array([2, 0]))   # [[True, True], [False, False]]

A set is written as its names, sorted, with ";" between; "" is a picture with none of the labels.
So an index has one code a row as ever, a code for each different set, and copies, conflicts, cache
and groups are what they are for classes; here the codes become targets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from saccade.data.source import class_name

SEPARATOR: Final = ";"
_BETWEEN: Final = re.compile(r"[;|]")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelSets:
    """Which labels each of an index's classes, as sets, holds."""

    names: tuple[str, ...]  # (L,) sorted; labels bind by name
    membership: npt.NDArray[np.bool_]  # (K, L) of the K sets, in the order of the index's classes

    @classmethod
    def of(cls, written: tuple[str, ...], *, names: tuple[str, ...] | None = None) -> LabelSets:
        """Return the sets that are `written`; `names`, where given, hold every label of theirs."""
        held = [names_in(text) for text in written]
        if names is None:
            names = tuple(sorted({name for some in held for name in some}))
        place = {name: number for number, name in enumerate(names)}
        membership = np.zeros((len(held), len(names)), np.bool_)
        for row, some in enumerate(held):
            membership[row, [place[name] for name in some]] = True
        return cls(names=names, membership=membership)

    def targets(self, codes: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.bool_]:
        """Return (N, L), which labels each picture has, for (N,) codes of sets."""
        targets: npt.NDArray[np.bool_] = self.membership[codes]
        return targets


def read_set(text: str) -> str:
    """Return a cell with names between ";" or "|" in the one form in which sets are compared."""
    names = {class_name(name.strip()) for name in _BETWEEN.split(text)} - {""}
    return SEPARATOR.join(sorted(names))


def names_in(written: str) -> tuple[str, ...]:
    """Return the names in a set as it is written."""
    return tuple(written.split(SEPARATOR)) if written else ()


def written(names: tuple[str, ...], has: npt.NDArray[np.bool_]) -> list[str]:
    """Return each row of (N, L) as a set is written."""
    return [SEPARATOR.join(names[place] for place in np.flatnonzero(row)) for row in has]


def readable_set(written: str) -> str:
    """Return a set for a person: "cat, dog"; "none" where it is empty."""
    return ", ".join(names_in(written)) or "none"
