"""Problems of classes: uneven, too small, or told apart by one simple fact of their pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os.path import splitext
from typing import Final

import numpy as np
import numpy.typing as npt

from saccade.check.thumbnails import Looks
from saccade.check.units import units_of
from saccade.data import Index, Kin, LabelSets
from saccade.evaluation.intervals import proportion_bounds, within
from saccade.evaluation.naming import UNEVEN
from saccade.finding import Finding
from saccade.types import Interval

_FEW: Final = 20  # pictures of a class
_NUM_FOLDS: Final = 5
_MOST: Final = 5_000  # rows that the facts are judged on; more say no more
# Balanced accuracy above chance, as a share of what there is to gain. Content that differs, as the
# colours of flowers do, lifts it too: what the facts say is far less than this in honest sets.
_GAIN: Final = 0.6

# A judgement: what is sure in many pictures may be too little for anybody to care.
_LEAST_GAIN: Final = 0.2  # of a note, in the same share

# On either side. Of 400 drawn sets whose facts are noise of 20 subjects a class 3 have a hint, of
# 400 with 10 subjects 5; at twice the tail 8 and 6.
_TAIL: Final = 0.0025
_OF_FILES: Final = ("the picture's size", "the file's format", "the file's length")

_Floats = npt.NDArray[np.float64]
_Labels = npt.NDArray[np.intp]


def one_alone(index: Index, sets: LabelSets | None = None) -> tuple[Finding, ...]:
    """One finding where all usable pictures are of one class, or bear one and the same label."""
    names, counts = _counts(index, sets)
    there = np.flatnonzero(counts)
    if len(there) != 1:
        return ()
    name, count = names[there[0]], int(counts[there[0]])
    finding = Finding(
        name="one-class",
        severity="serious",
        where=name,
        message=f"Usable pictures are of one class alone, {name!r}, which has {count:,}: there is "
        "nothing to tell apart, and saccade train refuses them.",
        cure="Give the folder that holds a folder for each class; if there is only this class, add "
        "a second of pictures that do not show it.",
    )
    return (finding,)


def uneven(index: Index, sets: LabelSets | None = None) -> tuple[Finding, ...]:
    """Name the largest and the smallest class where one is ten times the other.

    With several labels a picture, `sets`, labels take the place of classes, as in `too_few`.
    """
    names, counts = _counts(index, sets)
    if len(counts) < 2 or counts.max() < UNEVEN * max(1, counts.min()):
        return ()
    large, small = int(counts.argmax()), int(counts.argmin())
    finding = Finding(
        name="uneven-classes",
        severity="note",
        where=names[small],
        message=f"{names[large]!r} has {counts[large]:,} pictures and "
        f"{names[small]!r} {counts[small]:,}: accuracy then says little of the smaller "
        "class.",
        cure="Add pictures of the smaller classes, and judge by the macro F1.",
    )
    return (finding,)


def too_few(index: Index, sets: LabelSets | None = None) -> tuple[Finding, ...]:
    """One finding for each class of fewer than 20 usable pictures."""
    names, counts = _counts(index, sets)
    return tuple(
        Finding(
            name="too-few-pictures",
            severity="warning",
            where=name,
            message=f"{name!r} has {count:,} usable {'picture' if count == 1 else 'pictures'}: "
            "too few to learn it from, or to say how well it was learned.",
            cure=f"Add pictures until there are at least {_FEW}, or leave the class out.",
        )
        for name, count in zip(names, counts.tolist(), strict=True)
        if count < _FEW
    )


def given_away(index: Index, looks: Looks, kin: Kin) -> tuple[Finding, ...]:
    """One finding for each kind of simple fact that alone tells the classes apart.

    And one note on those of files that tell less, but a fifth of what there is to gain. Both only
    where they surely tell more than chance, copies and what belongs together by `kin` being one.
    None where a class has fewer than 20 pictures: of two times five, chance gets eight right. Edges
    and mean colours are pixels, for a network to use where the classes have their own: they have no
    note, and the finding says so.
    """
    rows = _judged(index, looks)
    label = np.unique(index.label[rows], return_inverse=True)[1].astype(np.intp)
    if len(rows) == 0 or np.bincount(label).min() < _FEW or label.max() == 0:
        return ()
    unit = units_of(index, looks, rows, kin, num_parts=_NUM_FOLDS)
    chance = 1 / (int(label.max()) + 1)
    found, hints = [], {}
    for name, facts in _facts(index, looks, rows):
        reached = balanced_accuracy(facts, label, unit=unit, tail=_TAIL)
        gain = (reached.value - chance) / (1 - chance)
        if reached.low <= chance:
            continue
        if gain >= _GAIN:
            found.append(_given_away_by(name, reached.value, chance))
        elif gain >= _LEAST_GAIN and name in _OF_FILES:
            hints[name] = reached
    return (*found, *([_hinted_at(hints, chance)] if hints else []))


def balanced_accuracy(
    facts: _Floats, label: _Labels, *, unit: _Labels | None = None, tail: float = 0.025
) -> Interval:
    """Return the mean share of each class that its facts alone tell, on rows not fitted to.

    With its interval, `tail` left out on either side: Clopper and Pearson's of each class, joined
    by their squares (MOVER: Zou and Donner, Statistics in Medicine 27, 2008). Rows of one `unit`
    (N,) lie in one fold, and are taken to be right or wrong together: a class has as many trials as
    units of equal size would have the same weight, Kish's effective number (Survey Sampling, 1965).

    `facts` is (N, F), `label` (N,) with every class from 0 to the largest. Linear discriminants
    with one covariance for all classes, each class equally likely beforehand; five folds.
    """
    unit = np.arange(len(label)) if unit is None else np.unique(unit, return_inverse=True)[1]
    fold = _dealt(unit, label)
    guess = np.empty(len(label), np.intp)
    for number in np.unique(fold):
        fitted = fold != number
        guess[~fitted] = _discriminated(facts[fitted], label[fitted], facts[~fitted])
    size = np.bincount(label)
    share = np.bincount(label, weights=guess == label) / size
    trials = size**2 / _squares(unit, label)
    low, high = proportion_bounds(share * trials, trials, tail=tail)
    below, above = (np.linalg.norm(far) / len(size) for far in (share - low, high - share))
    mean = share.mean()
    return within(mean, max(0.0, mean - below), min(1.0, mean + above))


def _dealt(unit: _Labels, label: _Labels) -> _Labels:
    """Return each row's fold: units in turn, class by class, so that each has its share of each."""
    order = np.argsort(label, kind="stable")
    first = np.unique(unit[order], return_index=True)[1]
    fold = np.empty(len(first), np.intp)
    fold[np.argsort(first, kind="stable")] = np.arange(len(first)) % _NUM_FOLDS
    dealt: _Labels = fold[unit]
    return dealt


def _squares(unit: _Labels, label: _Labels) -> _Floats:
    """Return the sum of the squares of how many of each class's pictures its units hold, (C,)."""
    _, number, size = np.unique(
        np.stack([label, unit]), axis=1, return_index=True, return_counts=True
    )
    return np.bincount(label[number], weights=size**2).astype(np.float64)


def _discriminated(facts: _Floats, label: _Labels, asked: _Floats) -> _Labels:
    """Return the class of the nearest mean, by the distance of Mahalanobis.

    Of the classes in `label` alone: one whose units are few may have all its rows asked.
    """
    middle, spread = facts.mean(axis=0), facts.std(axis=0)
    scale = np.where(spread > 1e-9, spread, 1.0)
    facts, asked = (facts - middle) / scale, (asked - middle) / scale
    codes, place = np.unique(label, return_inverse=True)
    means = np.stack([facts[label == code].mean(axis=0) for code in codes])
    within = facts - means[place]
    covariance = within.T @ within / len(facts) + 1e-3 * np.eye(facts.shape[1])
    weights = np.linalg.solve(covariance, means.T)  # (F, classes)
    reached = asked @ weights - 0.5 * np.einsum("cf,fc->c", means, weights)
    best: _Labels = codes[reached.argmax(axis=1)].astype(np.intp)
    return best


def _facts(index: Index, looks: Looks, rows: _Labels) -> Iterator[tuple[str, _Floats]]:
    """Yield the kinds of facts, each (N, F)."""
    width, height = index.width_px[rows].astype(float), index.height_px[rows].astype(float)
    size = np.log(np.maximum(1, np.stack([width, height], axis=1)))
    size_name, format_name, length_name = _OF_FILES
    yield size_name, np.concatenate([size, size[:, :1] - size[:, 1:]], axis=1)
    suffix = [splitext(path)[1].lower() for path in index.path[rows]]
    kinds = [f"{end} {mode}" for end, mode in zip(suffix, index.mode[rows], strict=True)]
    yield format_name, np.eye(len(set(kinds)))[np.unique(kinds, return_inverse=True)[1]]
    num_bytes = np.log1p(looks.num_bytes[rows].astype(float))
    yield length_name, (num_bytes - np.log(np.maximum(1, width * height)))[:, None]
    yield "the border", looks.border[rows].astype(float)
    yield "the mean colour", looks.colour[rows].astype(float)


def _given_away_by(name: str, reached: float, chance: float) -> Finding:
    return Finding(
        name="class-given-away",
        severity="warning",
        where=name,
        message=f"{name.capitalize()} alone tells {100 * reached:.0f} % of the classes' pictures "
        f"apart, where always the same answer would get {100 * chance:.0f} % (each class counts "
        "the same): a network may learn that alone, whatever else the pictures show.",
        cure="Bring all classes to the same form or collect them in the same way; where the fact "
        "belongs to what is shown, leave it.",
    )


def _hinted_at(hints: Mapping[str, Interval], chance: float) -> Finding:
    told = "; ".join(
        f"{name} {100 * reached.value:.0f} % ({100 * (1 - 2 * _TAIL):g} % interval "
        f"{100 * reached.low:.0f} to {100 * reached.high:.0f} %)"
        for name, reached in hints.items()
    )
    return Finding(
        name="class-hinted-at",
        severity="note",
        where=", ".join(hints),
        message=f"Facts of the files alone, no pixel looked at, tell more than chance: {told}, "
        f"where always the same answer would get {100 * chance:.0f} % of the classes' pictures "
        "(each class counts the same). A network may lean on what comes with them.",
        cure="Leave it where the fact belongs to what is shown, as fine detail makes files longer; "
        "else collect all classes in the same way.",
    )


def _judged(index: Index, looks: Looks) -> _Labels:
    rows = np.flatnonzero(looks.seen & (index.label >= 0))
    if len(rows) > _MOST:
        rows = np.sort(np.random.default_rng(0).choice(rows, _MOST, replace=False))
    return rows


def _counts(index: Index, sets: LabelSets | None) -> tuple[tuple[str, ...], npt.NDArray[np.intp]]:
    label = index.label[index.usable & (index.label >= 0)]
    counts = np.bincount(label, minlength=len(index.classes))
    return (index.classes, counts) if sets is None else (sets.names, counts @ sets.membership)
