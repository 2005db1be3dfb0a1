"""Pictures that belong together: what is known of them, and what a run says of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from saccade.check.kept import kept_copies, thumbs_of
from saccade.data import Cache, Index, Kin, Preprocessing, resemblance, sampled_series
from saccade.errors import DataError
from saccade.evaluation import Leak, measure_leak
from saccade.types import TEST

_BUDGET_SHARE: Final = 0.1  # of the budget is the most that the search for near copies takes
_COPY_OF_TEST: Final = "copy of test picture"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kinship:
    """The user's groups or series, the near copies, and why these were not looked for if so."""

    kin: Kin
    why_not: str = ""
    series_note: str = ""  # where names and looks show series, and the user named no groups

    def notes(self, index: Index) -> tuple[str, ...]:
        """Return sentences on what a reader should know, once the index is split."""
        return (
            *(note for note in (self.series_note, self.why_not) if note),
            *_groups_split(index, self.kin.groups, by_names=bool(self.series_note)),
            *_near_split(index, self.kin),
            *_near_contradicting(index, self.kin),
            *_equal_left_out(index),
        )

    @contextmanager
    def naming_series(self) -> Iterator[None]:
        """Say of a DataError about groups that they are series, where the user named none."""
        try:
            yield
        except DataError as error:
            if not self.series_note:
                raise
            raise DataError(f"{error}; groups are series here: {self.series_note}") from error

    def leak(
        self, splits: Sequence[Index], rows: npt.NDArray[np.intp], right: npt.NDArray[np.bool_]
    ) -> Leak | None:
        """Return what leaks into the test `rows`, of which `right` are named correctly.

        The `splits` are of the same pictures, one for each training that judged some of them.
        """
        path = splits[0].path
        pairs = sorted(pair for index in splits for pair in _across(index, self.kin))
        leaked = np.isin(rows, [tested for tested, _, _ in pairs])
        copies = [(str(path[a]), str(path[b]), score) for a, b, score in pairs]
        return measure_leak(right, leaked, copies=copies)


def find_kin(
    index: Index,
    cache: Cache,
    preprocessing: Preprocessing,
    *,
    groups: npt.NDArray[np.intp] | None,
    series: npt.NDArray[np.intp] | None,
    budget_s: float | None,
) -> Kinship:
    """Return which pictures of a cache belong together: in `groups` of the user, or by their looks.

    `series`, from the files' names, count as groups where the pictures look like series, too.
    """
    sizes = [
        preprocessing.content_size(max(1, width), max(1, height))
        for width, height in zip(index.width_px.tolist(), index.height_px.tolist(), strict=True)
    ]
    limit_s = None if budget_s is None else _BUDGET_SHARE * budget_s
    found = kept_copies(cache, sizes, limit_s=limit_s)
    pairs = found.pairs
    near = None if pairs is None else (pairs.first, pairs.second, pairs.score)
    note = "" if series is None else _series_note(index, cache, sizes, series)
    return Kinship(
        kin=Kin(groups=series if note else groups, near=near),
        why_not=found.why_not,
        series_note=note,
    )


def _series_note(
    index: Index, cache: Cache, sizes: Sequence[tuple[int, int]], series: npt.NDArray[np.intp]
) -> str:
    """Return what to say of series that look like series; "" where they do not."""
    open_to_all = index.usable & (index.part != TEST)
    rows = sampled_series(np.where(open_to_all, series, -1), index.label, seed=0)
    found = resemblance(thumbs_of(cache.pixels, rows, sizes), series[rows], index.label[rows])
    if not found.is_clear:
        return ""
    number = len(np.unique(series[open_to_all & (series >= 0)]))
    return (
        f"file names show {number:,} series, such as that of {index.path[rows[0]]}, and "
        f"{found.share:.0%} of pictures look most like one of their own ({found.by_chance:.0%} by "
        "chance): each series stays on one side of the split; --group none deals its pictures out "
        "one by one"
    )


def _across(index: Index, kin: Kin) -> list[tuple[int, int, float]]:
    """Return (test row, other row, score) of near copies with one end in the test part."""
    if kin.near is None:
        return []
    first, second, score = kin.near
    tested, usable = index.part == TEST, index.usable
    across = usable[first] & usable[second] & (tested[first] != tested[second])
    first, second, score = first[across], second[across], score[across]
    ends = np.where(tested[first], (first, second), (second, first))
    return list(zip(*ends.tolist(), score.tolist(), strict=True))


def _groups_split(
    index: Index, groups: npt.NDArray[np.intp] | None, *, by_names: bool
) -> tuple[str, ...]:
    if groups is None:
        return ()
    notes = []
    rows = np.flatnonzero(index.usable)
    alone = rows[groups[rows] < 0]
    if len(alone) and not by_names:
        notes.append(
            f"{len(alone):,} pictures are in no group, such as {index.path[alone[0]]}; each stands "
            "alone"
        )
    rows = rows[groups[rows] >= 0]
    parts = np.unique(np.stack([groups[rows], index.part[rows]], axis=1), axis=0)
    numbers, num_parts = np.unique(parts[:, 0], return_counts=True)
    split = numbers[num_parts > 1]
    if len(split):
        tested = rows[np.isin(groups[rows], split) & (index.part[rows] == TEST)]
        lie = "group lies" if len(split) == 1 else "groups lie"
        notes.append(
            f"{len(split):,} of {len(numbers):,} {lie} in several parts, as you set them apart, "
            f"with {len(tested):,} test pictures; nothing was moved, and the test figures may be "
            "too good"
        )
    return tuple(notes)


def _near_split(index: Index, kin: Kin) -> tuple[str, ...]:
    """Say how many near copies of training pictures are in validation."""
    if kin.near is None:
        return ()
    first, second, _ = kin.near
    used = index.usable[first] & index.usable[second]
    parts = np.stack([index.part[first], index.part[second]])[:, used]
    num_split = int(((parts[0] != parts[1]) & (parts != TEST).all(axis=0)).sum())
    if not num_split:
        return ()
    pairs = "pair of near copies lies" if num_split == 1 else "pairs of near copies lie"
    return (
        f"{num_split:,} {pairs} in training and validation: you set them apart, or a chain of them "
        "leads through too much of a class",
    )


def _near_contradicting(index: Index, kin: Kin) -> tuple[str, ...]:
    """Say how many near copies have different labels; equal ones the split has counted."""
    if kin.near is None:
        return ()
    first, second, _ = kin.near
    told = index.usable & (index.label >= 0)
    num_pairs = int(
        (told[first] & told[second] & (index.label[first] != index.label[second])).sum()
    )
    if not num_pairs:
        return ()
    have = "pair of near copies has" if num_pairs == 1 else "pairs of near copies have"
    return (
        f"{num_pairs:,} {have} different labels, of which at least one is wrong, unless they only "
        "look alike; saccade check lists them",
    )


def _equal_left_out(index: Index) -> tuple[str, ...]:
    num_equal = sum(reason.startswith(_COPY_OF_TEST) for reason in index.reason)
    if not num_equal:
        return ()
    are = (
        "picture equal to a test picture was"
        if num_equal == 1
        else ("pictures equal to a test picture were")
    )
    return (f"{num_equal:,} {are} left out of training, so nothing leaks through equal copies",)
