"""The split: which pictures train, which watch over training, and which are sealed until the end.

    index = split_index(index, cache.pixel_digest, seed=0)
    index.rows_of(TEST)

    fold = deal_folds(index, cache.pixel_digest, folds=5, seed=0)     # every picture in one of five
    split_index(fold_apart(index, fold == 0), cache.pixel_digest, seed=0)

What the user has set apart stays as it is; a test or validation part that the user did not give is
taken from the training pictures, class by class, so that every part holds every class. Copies
(equal pixels) move together, so no picture is learned in one part and scored in another; so do near
copies and the user's own groups (`kin`), among the pictures that are dealt out here. Of copies
that the user has put on two sides, the one in the test part stays, then the one in validation, and
the other is left out with its reason. Equal pictures with different labels are flagged "conflict",
copies "copy".

With the same index and seed the split is the same. A class of three pictures gives one to each
part; shares of larger classes come out to within one group of copies. A tenth validates, or less
where less is enough (`validation_share`): what does not train teaches nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from saccade.data.index import UNASSIGNED, Index
from saccade.data.kin import Kin, joined
from saccade.errors import DataError
from saccade.types import PARTS, TEST, TRAIN, VALIDATION

_DEALT: Final = (TEST, VALIDATION)  # in this order, out of what trains otherwise
TEST_SHARE: Final = 0.2
_VALIDATION_SHARE: Final = 0.1
_ENOUGH: Final = 2_500  # to validate on: the deviation of a rate of 90 % is then 0.6 points
_ENOUGH_OF_EACH: Final = 300  # class; 299 without a mistake promise a recall of 99 %
_OPEN_SHARE: Final = 1 / 3
_NAMED: Final = 5  # classes in an error message

_Rows = npt.NDArray[np.intp]
_Mask = npt.NDArray[np.bool_]


def validation_share(num_of_class: _Rows) -> float:
    """Return the share of each class that validates, (C,) being how many there are to deal out.

    A tenth, but no more than is enough for its figures, all together and of the rarest class.
    """
    present = num_of_class[num_of_class > 0]
    if not len(present):
        return _VALIDATION_SHARE
    enough = max(_ENOUGH / float(present.sum()), _ENOUGH_OF_EACH / float(present.min()))
    return min(_VALIDATION_SHARE, enough)


def open_rows(index: Index, *, seed: int, groups: _Rows | None = None) -> _Mask:
    """Return which rows may be looked at before the split: none will be a test picture.

    Where the user gave a test part, all others. Else a third of each class, at least one picture,
    drawn blindly; `split_index` then keeps them, and their copies, out of the test part. Of groups
    (see `Kin.groups`) whole ones are drawn, so as to leave others for the test part.
    """
    usable: _Mask = index.usable & (index.part != TEST)
    if (index.usable & (index.part == TEST)).any():
        return usable
    order = np.random.default_rng(seed).permutation(len(index))
    if groups is not None:
        turn = np.unique(groups[order], return_index=True)
        order = order[np.argsort(turn[1][np.searchsorted(turn[0], groups[order])], kind="stable")]
    order = order[usable[order]]
    order = order[np.argsort(index.label[order], kind="stable")]
    _, starts, sizes = np.unique(index.label[order], return_index=True, return_counts=True)
    is_open = np.zeros(len(index), dtype=np.bool_)
    for start, size in zip(starts, sizes, strict=True):
        is_open[order[start : start + max(1, int(size * _OPEN_SHARE))]] = True
    if groups is not None:
        is_open |= usable & np.isin(groups, np.setdiff1d(groups[is_open], [-1]))
    return is_open


def split_index(
    index: Index,
    pixel_digest: npt.NDArray[np.uint64],
    *,
    seed: int,
    with_test: bool = True,
    is_open: _Mask | None = None,
    kin: Kin | None = None,
    strata: Index | None = None,
) -> Index:
    """Return the index with the part of every usable row set, and left-out copies given a reason.

    Parts that the user did not give take a share of each class, the test part only `with_test`.
    Rows that are open (see `open_rows`; none unless given) train, unless a class has too few other
    pictures. `strata`, an index of the same rows (see `strata.by_strata`), has the classes that are
    dealt out where labels are sets; whether each label can be trained on is then for the caller to
    see. Raises DataError where a class has too few different pictures, or none to train on.
    """
    index = _without_unlabelled(index)
    group = _groups(index, (pixel_digest, index.sha256))
    index = _without_copies(_flagged(index, group), group)
    wanted = _DEALT if with_test else (VALIDATION,)
    parts = [part for part in wanted if not len(index.rows_of(part))]
    part = np.where(index.usable & (index.part == UNASSIGNED), TRAIN, index.part).astype(np.int8)
    index = index.with_columns(part=part)
    if strata is None:
        _refuse_untrainable(index)
    if not parts:
        return index
    dealt = index
    if strata is not None:
        dealt = index.with_columns(classes=strata.classes, label=strata.label)
    if is_open is None:
        is_open = np.zeros(len(index), dtype=np.bool_)
    units = _units(dealt, group, kin or Kin(), len(parts) + 1)
    share = {TEST: TEST_SHARE, VALIDATION: validation_share(_num_units(dealt, units))}
    shares = {part: share[part] for part in parts}
    return index.with_columns(part=_carved(dealt, units, shares, seed, is_open))


def deal_folds(
    index: Index,
    pixel_digest: npt.NDArray[np.uint64],
    *,
    folds: int,
    seed: int,
    kin: Kin | None = None,
) -> _Rows:
    """Return each row's fold, (N,) from 0 to `folds` - 1; -1 for rows that are not usable.

    Every class is spread as evenly as its groups of copies and kin allow, none of which lies in two
    folds: groups are dealt in random order, larger ones first, each to the fold that has the least
    share of the group's classes, and of equals the fewest pictures. Parts are not looked at. Raises
    DataError unless every class has a group for each fold, and, with any fold away, two more: to
    train and to validate on.
    """
    index = _without_unlabelled(index)
    group = dealt_units(index, pixel_digest, kin or Kin(), num_parts=folds)
    rows = np.flatnonzero(group >= 0)
    unit = np.unique(group[rows], return_inverse=True)[1]
    content = np.zeros((int(unit.max(initial=-1)) + 1, len(index.classes)))  # pictures by class
    np.add.at(content, (unit, index.label[rows]), 1)
    _refuse_folds(index, (content > 0).sum(axis=0), folds)
    share, size = content / content.sum(axis=0), content.sum(axis=1)
    order = np.random.default_rng(seed).permutation(len(content))
    order = order[np.lexsort((content.argmax(axis=1)[order], -size[order]))]
    dealt, filled = np.zeros((folds, len(index.classes))), np.zeros(folds)
    fold_of_unit = np.empty(len(content), np.intp)
    for number in order:
        fullness = dealt[:, content[number] > 0].sum(axis=1).round(9)
        fold = int(np.lexsort((filled, fullness))[0])
        fold_of_unit[number] = fold
        dealt[fold] += share[number]
        filled[fold] += size[number]
    fold_of_row = np.full(len(index), -1, np.intp)
    fold_of_row[rows] = fold_of_unit[unit]
    return fold_of_row


def dealt_units(
    index: Index, pixel_digest: npt.NDArray[np.uint64], kin: Kin, *, num_parts: int
) -> _Rows:
    """Return a number for each row, (N,), equal for those that are dealt out as one.

    -1 for rows that are not usable. Parts are not looked at. Near copies of two classes are one
    unless a class would have fewer than `num_parts` units.
    """
    index = index.with_columns(part=np.where(index.usable, TRAIN, UNASSIGNED).astype(np.int8))
    return _units(index, _groups(index, (pixel_digest, index.sha256)), kin, num_parts)


def fold_apart(index: Index, tested: _Mask) -> Index:
    """Return the index with the `tested` rows (N,) as its test part, the others without a part."""
    return index.with_columns(part=np.where(tested, TEST, UNASSIGNED).astype(np.int8))


def _refuse_folds(index: Index, num_units: _Rows, folds: int) -> None:
    """Raise DataError unless every class has enough units for so many folds."""
    needed = max(folds, 4 if folds == 2 else 3)
    small = np.flatnonzero(num_units < needed)
    if not len(small):
        return
    details = ", ".join(
        f"{index.classes[label]!r} has {num_units[label]:,}" for label in small[:_NAMED]
    )
    least = int(num_units.min())
    fewer = f"take --folds {least} or fewer, " if least >= 3 else ""
    raise DataError(
        f"{folds} folds need at least {needed} different pictures or groups of every class: "
        f"{details}{_more(len(small))}; {fewer}add pictures, or leave the class out"
    )


def _without_unlabelled(index: Index) -> Index:
    reason = index.reason.copy()
    reason[index.usable & (index.label == UNASSIGNED)] = "it has no label"
    return index.with_columns(reason=reason)


def _groups(index: Index, columns: Iterable[npt.NDArray[Any]]) -> _Rows:
    """Return a group number for every row, equal where any column is; -1 if not usable."""
    rows = np.flatnonzero(index.usable)
    values = [_numbered(column[rows]) for column in columns]
    number = np.arange(len(rows))
    while True:  # each round joins along every column
        before = number
        for column in values:
            least = np.full(len(rows), len(rows))
            np.minimum.at(least, column, number)
            number = least[column]
        if np.array_equal(number, before):
            break
    group = np.full(len(index), -1, dtype=np.intp)
    group[rows] = np.unique(number, return_inverse=True)[1]
    return group


def _units(index: Index, group: _Rows, kin: Kin, num_parts: int) -> _Rows:
    """Return the groups that are dealt out: of training rows, with their kin; -1 elsewhere."""
    if kin.groups is not None:
        alone = len(index) + np.arange(len(index))
        group = _groups(index, (group, np.where(kin.groups < 0, alone, kin.groups)))
    group = np.where(index.usable & (index.part == TRAIN), group, -1)
    if kin.near is None:
        return group
    units = joined(group, kin.near, index.label)
    if (_num_units(index, units) >= num_parts).all():
        return units
    # A class would lack a part, since its pictures go along with those of another.
    first, second, score = kin.near
    same = index.label[first] == index.label[second]
    return joined(group, (first[same], second[same], score[same]), index.label)


def _num_units(index: Index, group: _Rows) -> _Rows:
    """Return how many groups each class has; a group counts for its most frequent class."""
    rows = np.flatnonzero(group >= 0)
    unit = np.unique(group[rows], return_inverse=True)[1]
    return np.bincount(_labels_of_units(unit, index.label[rows]), minlength=len(index.classes))


def _numbered(column: npt.NDArray[Any]) -> _Rows:
    """Return a number for every entry, the same for equal ones."""
    if column.dtype != object:
        return np.unique(column, return_inverse=True)[1]
    number_of: dict[str, int] = {}  # NumPy would sort copies of the text, 256 bytes each
    numbers = (number_of.setdefault(text, len(number_of)) for text in column)
    return np.fromiter(numbers, np.intp, count=len(column))


def _flagged(index: Index, group: _Rows) -> Index:
    """Flag copies, and those of them that disagree about their label."""
    rows = np.flatnonzero(group >= 0)
    label, number = index.label[rows], group[rows]
    num_groups = int(number.max(initial=-1)) + 1
    low, high = np.full(num_groups, len(index.classes)), np.full(num_groups, -1)
    np.minimum.at(low, number, label)
    np.maximum.at(high, number, label)
    is_copy = np.bincount(number, minlength=num_groups) > 1
    flags = index.flags.copy()
    for row in rows[is_copy[number]]:
        words = {*flags[row].split(";"), "copy"} - {""}
        if low[group[row]] != high[group[row]]:
            words.add("conflict")
        flags[row] = ";".join(sorted(words))
    return index.with_columns(flags=flags)


def _without_copies(index: Index, group: _Rows) -> Index:
    """Leave out copies of the user's test pictures, then of the user's validation pictures."""
    for part in (TEST, VALIDATION):
        first = np.full(int(group.max(initial=-1)) + 1, -1, dtype=np.intp)
        kept = index.rows_of(part)[::-1]
        first[group[kept]] = kept  # the last assignment wins: the first row of each group
        lesser = index.usable & (index.part != part) & (index.part != TEST)
        reason = index.reason.copy()
        for row in np.flatnonzero(lesser):
            original = first[group[row]]
            if original >= 0:
                reason[row] = f"copy of {PARTS[part]} picture {index.path[original]}"
        index = index.with_columns(reason=reason)
    return index


def _refuse_untrainable(index: Index) -> None:
    """Raise DataError unless there are two classes, each with a picture to train on."""
    if len(index.classes) < 2:
        got = f"one, {index.classes[0]!r}" if index.classes else "none"
        raise DataError(f"at least two classes are needed, got {got}; add pictures of another")
    labelled = index.label != UNASSIGNED
    trained = np.bincount(index.label[index.rows_of(TRAIN)], minlength=len(index.classes))
    listed = np.bincount(index.label[labelled], minlength=len(index.classes))
    usable = np.bincount(index.label[index.usable], minlength=len(index.classes))
    absent = np.flatnonzero(trained == 0)
    if len(absent):
        details = ", ".join(
            f"{index.classes[label]!r} ({listed[label]:,} listed, {usable[label]:,} usable)"
            for label in absent[:_NAMED]
        )
        raise DataError(
            f"{_count(len(absent), 'class has', 'classes have')} no picture to train on: "
            f"{details}{_more(len(absent))}; add training pictures of it, or leave the class out"
        )


def _carved(
    index: Index, group: _Rows, shares: dict[int, float], seed: int, is_open: _Mask
) -> npt.NDArray[np.int8]:
    """Return the part column with the parts in `shares` taken from the training rows."""
    rows = index.rows_of(TRAIN)
    groups, unit = np.unique(group[rows], return_inverse=True)  # a unit is a group of copies
    size = np.bincount(unit)
    stays = np.bincount(unit, weights=is_open[rows]) > 0
    pairs = np.unique(np.stack([unit, index.label[rows]], axis=1), axis=0)
    _refuse_small(index, np.bincount(pairs[:, 1], minlength=len(index.classes)), shares)
    label = _labels_of_units(unit, index.label[rows])
    num_units = np.bincount(label, minlength=len(index.classes))
    # A class that lies in the groups of others alone is dealt out with the largest of them.
    label[num_units[label] <= len(shares)] = num_units.argmax()
    order = np.random.default_rng(seed).permutation(len(groups))
    order = order[np.argsort(label[order], kind="stable")]
    starts = np.searchsorted(label[order], np.arange(len(index.classes) + 1))
    part_of_unit = np.full(len(groups), TRAIN, dtype=np.int8)
    for start, end in zip(starts[:-1], starts[1:], strict=True):
        units = order[start:end]
        begin = 0
        units, ends = _dealt(units, size[units], stays[units], list(shares.values()))
        for code, end_of_part in zip(shares, ends, strict=True):
            part_of_unit[units[begin:end_of_part]] = code
            begin = end_of_part
    part = index.part.copy()
    part[rows] = part_of_unit[unit]
    _refuse_lacking(index, part[rows], index.label[rows], (TRAIN, *shares))
    return part


def _refuse_lacking(
    index: Index,
    part: npt.NDArray[np.int8],
    label: npt.NDArray[np.int32],
    wanted: Iterable[int],
) -> None:
    """Raise DataError where groups of several classes have left a part without one of these."""
    for code in wanted:
        absent = np.setdiff1d(label, label[part == code])
        if len(absent):
            raise DataError(
                f"with these groups no picture of {index.classes[absent[0]]!r} is in "
                f"{PARTS[code]}; take another --seed, or smaller groups"
            )


def _labels_of_units(unit: _Rows, label: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Return the label that most rows of each unit have; of equals the first class's."""
    num_labels = int(label.max(initial=0)) + 1
    pairs, count = np.unique(unit * num_labels + label, return_counts=True)
    units, labels = np.divmod(pairs, num_labels)
    order = np.lexsort((labels, -count, units))
    first = np.unique(units[order], return_index=True)[1]
    most: npt.NDArray[np.int32] = labels[order[first]].astype(np.int32)
    return most


def _dealt(units: _Rows, size: _Rows, stays: _Mask, shares: list[float]) -> tuple[_Rows, list[int]]:
    """Return a class's units in the order they are dealt in, and where each part but train ends.

    Every part gets at least one unit. A group of more than a tenth, and of more than any part may
    hold, trains, and so does one that stays. However little validates, larger groups are tested.
    """
    large = size > max(1.0, max(min(shares), _VALIDATION_SHARE) * size.sum())
    if large.all():
        large[:] = False
    dealt = np.argsort(large + 2 * stays, kind="stable")
    filled = np.concatenate([[0], np.cumsum(size[dealt])])  # rows in the first k units
    ends: list[int] = []
    for number, _ in enumerate(shares):
        wanted = sum(shares[: number + 1]) * filled[-1]
        nearest = int(np.argmin(np.abs(filled - wanted)))
        left = len(shares) - number  # parts that still need a unit after this one
        ends.append(min(max(nearest, (ends[-1] if ends else 0) + 1), len(units) - left))
    return units[dealt], ends


def _refuse_small(index: Index, num_units: _Rows, shares: dict[int, float]) -> None:
    """Raise DataError unless every class has a unit for each part."""
    needed = len(shares) + 1
    small = np.flatnonzero(num_units < needed)
    if not len(small):
        return
    details = ", ".join(
        f"{index.classes[label]!r} has {num_units[label]:,}" for label in small[:_NAMED]
    )
    parts = " and ".join(PARTS[part] for part in sorted((TRAIN, *shares)))
    raise DataError(
        f"every class needs at least {needed} different pictures or groups, for {parts}: "
        f"{details}{_more(len(small))}; add pictures, or leave the class out"
    )


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _more(number: int) -> str:
    return f" and {number - _NAMED:,} more" if number > _NAMED else ""
