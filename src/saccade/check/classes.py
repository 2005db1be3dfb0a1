"""Problems of classes: uneven, too small, or told apart by their files instead of their content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os.path import splitext
from typing import Final

import numpy as np
import numpy.typing as npt

from saccade.check.thumbnails import Looks
from saccade.data import Index, LabelSets
from saccade.evaluation.beta import beta_quantile
from saccade.evaluation.intervals import within
from saccade.evaluation.naming import UNEVEN
from saccade.finding import Finding
from saccade.types import Interval

_FEW: Final = 20  # pictures of a class
_NUM_FOLDS: Final = 5
_MOST: Final = 5_000  # rows that the facts are judged on; more say no more
# Balanced accuracy above chance, as a share of what there is to gain. Content that differs, as the
# colours of flowers do, lifts it too: what the facts say is far less than this in honest sets.
_GAIN: Final = 0.6

# One of the five kinds of facts is surely above chance by chance in one of 40 sets, at most.
_TAIL: Final = 0.025 / 5

_Floats = npt.NDArray[np.float64]
_Labels = npt.NDArray[np.intp]


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


def given_away(index: Index, looks: Looks) -> tuple[Finding, ...]:
    """One finding for each kind of file fact that alone tells the classes apart.

    And one note on those that tell less, and surely more than chance. None where a class has fewer
    than 20 pictures: of two times five, chance gets eight right. Mean colours are for a network to
    use, where the classes have their own; that finding says so.
    """
    rows = _judged(index, looks)
    label = np.unique(index.label[rows], return_inverse=True)[1].astype(np.intp)
    if len(rows) == 0 or np.bincount(label).min() < _FEW or label.max() == 0:
        return ()
    chance = 1 / (int(label.max()) + 1)
    found, hints = [], {}
    for name, facts in _facts(index, looks, rows):
        reached = balanced_accuracy(facts, label, tail=_TAIL)
        if reached.value >= chance + _GAIN * (1 - chance):
            found.append(_given_away_by(name, reached.value, chance))
        elif reached.low > chance:
            hints[name] = reached
    return (*found, *([_hinted_at(hints, chance)] if hints else []))


def balanced_accuracy(facts: _Floats, label: _Labels, *, tail: float = 0.025) -> Interval:
    """Return the mean share of each class that its facts alone tell, on rows not fitted to.

    With its interval, `tail` left out on either side: Clopper and Pearson's of each class, joined
    by their squares (MOVER: Zou and Donner, Statistics in Medicine 27, 2008).

    `facts` is (N, F), `label` (N,) with every class from 0 to the largest. Linear discriminants
    with one covariance for all classes, each class equally likely beforehand; five folds.
    """
    fold = np.empty(len(label), np.intp)
    order = np.argsort(label, kind="stable")  # so that each fold gets its share of each class
    fold[order] = np.arange(len(label)) % _NUM_FOLDS
    guess = np.empty(len(label), np.intp)
    for number in range(_NUM_FOLDS):
        fitted = fold != number
        guess[~fitted] = _discriminated(facts[fitted], label[fitted], facts[~fitted])
    size = np.bincount(label)
    right = np.bincount(label, weights=guess == label)
    share, low, high = right / size, np.zeros(len(size)), np.ones(len(size))
    some, missed = right > 0, right < size
    low[some] = beta_quantile(right[some], (size - right + 1)[some], tail)
    high[missed] = 1 - beta_quantile((size - right)[missed], (right + 1)[missed], tail)
    below, above = (np.linalg.norm(far) / len(size) for far in (share - low, high - share))
    mean = share.mean()
    return within(mean, max(0.0, mean - below), min(1.0, mean + above))


def _discriminated(facts: _Floats, label: _Labels, asked: _Floats) -> _Labels:
    """Return the class of the nearest mean, by the distance of Mahalanobis."""
    middle, spread = facts.mean(axis=0), facts.std(axis=0)
    scale = np.where(spread > 1e-9, spread, 1.0)
    facts, asked = (facts - middle) / scale, (asked - middle) / scale
    means = np.stack([facts[label == code].mean(axis=0) for code in range(label.max() + 1)])
    within = facts - means[label]
    covariance = within.T @ within / len(facts) + 1e-3 * np.eye(facts.shape[1])
    weights = np.linalg.solve(covariance, means.T)  # (F, classes)
    reached = asked @ weights - 0.5 * np.einsum("cf,fc->c", means, weights)
    best: _Labels = reached.argmax(axis=1)
    return best


def _facts(index: Index, looks: Looks, rows: _Labels) -> Iterator[tuple[str, _Floats]]:
    """Yield the kinds of facts, each (N, F)."""
    width, height = index.width_px[rows].astype(float), index.height_px[rows].astype(float)
    size = np.log(np.maximum(1, np.stack([width, height], axis=1)))
    yield "the picture's size", np.concatenate([size, size[:, :1] - size[:, 1:]], axis=1)
    suffix = [splitext(path)[1].lower() for path in index.path[rows]]
    kinds = [f"{end} {mode}" for end, mode in zip(suffix, index.mode[rows], strict=True)]
    yield "the file's format", np.eye(len(set(kinds)))[np.unique(kinds, return_inverse=True)[1]]
    num_bytes = np.log1p(looks.num_bytes[rows].astype(float))
    yield "the file's length", (num_bytes - np.log(np.maximum(1, width * height)))[:, None]
    yield "the border", looks.border[rows].astype(float)
    yield "the mean colour", looks.colour[rows].astype(float)


def _given_away_by(name: str, reached: float, chance: float) -> Finding:
    return Finding(
        name="class-given-away",
        severity="warning",
        where=name,
        message=f"{name.capitalize()} alone tells {100 * reached:.0f} % of the classes' pictures "
        f"apart, where always the same answer would get {100 * chance:.0f} % (each class counts "
        "the same): a network may learn that instead of what the pictures show.",
        cure="Bring all classes to the same form or collect them in the same way; where the fact "
        "belongs to what is shown, leave it.",
    )


def _hinted_at(hints: Mapping[str, Interval], chance: float) -> Finding:
    told = "; ".join(
        f"{name} {100 * reached.value:.0f} % ({100 * (1 - 2 * _TAIL):.0f} % interval "
        f"{100 * reached.low:.0f} to {100 * reached.high:.0f} %)"
        for name, reached in hints.items()
    )
    return Finding(
        name="class-hinted-at",
        severity="note",
        where=", ".join(hints),
        message=f"One fact alone, without what the picture shows, tells more than chance: {told}, "
        f"where always the same answer would get {100 * chance:.0f} % of the classes' pictures "
        "(each class counts the same). A network may lean on it.",
        cure="Leave it where the fact belongs to what is shown, as the colour of a flower does; "
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
