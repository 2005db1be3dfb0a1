"""The confusion matrix, each class's figures, and macro F1 with its interval."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from saccade.evaluation.beta import Z_975, Floats
from saccade.evaluation.evaluation import ClassFigures
from saccade.evaluation.intervals import proportion_bounds, within
from saccade.types import Interval

Counts = npt.NDArray[np.int64]

_IMAGINED: Final = 2.0  # right pictures added, and as many wrong ones: "plus four"


def confusion_matrix(labels: Counts, predicted: Counts, num_classes: int) -> Counts:
    """Return (C, C) counts, true class by predicted class."""
    cells = np.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes).astype(np.int64)


def class_figures(confusion: Counts, classes: tuple[str, ...]) -> tuple[ClassFigures, ...]:
    """Return precision, recall and F1 of each class; see `figures_by_count`."""
    return figures_by_count(
        classes,
        hits=np.diagonal(confusion).astype(np.int64),
        support=confusion.sum(axis=1),
        predicted=confusion.sum(axis=0),
    )


def figures_by_count(
    names: tuple[str, ...], *, hits: Counts, support: Counts, predicted: Counts
) -> tuple[ClassFigures, ...]:
    """Return precision, recall and F1 of each name, None where nothing allows the figure.

    Counts are (C,): pictures that are it, that were said to be, and both (`hits`).
    F1 = 2 TP / (2 TP + FP + FN) = 2 J / (1 + J) with J = TP / (TP + FP + FN), and J is a
    proportion: F1's bounds are the Clopper-Pearson bounds of J, carried through that formula.
    """
    union = support + predicted - hits
    figures = _proportions(np.tile(hits, 3), np.concatenate([predicted, support, union]))
    count = len(names)
    precision, recall = figures[:count], figures[count : 2 * count]
    f1 = [overlap and f1_of(overlap) for overlap in figures[2 * count :]]
    return tuple(
        ClassFigures(
            name=name,
            num_images=int(support[k]),
            num_predicted=int(predicted[k]),
            precision=precision[k],
            recall=recall[k],
            f1=f1[k],
        )
        for k, name in enumerate(names)
    )


def _proportions(hits: Counts, totals: Counts) -> list[Interval | None]:
    low, high = proportion_bounds(hits, totals)
    return [
        within(int(hit) / int(total), float(low[k]), float(high[k])) if total else None
        for k, (hit, total) in enumerate(zip(hits, totals, strict=True))
    ]


def f1_of(overlap: Interval) -> Interval:
    """Return F1 = 2 J / (1 + J), which rises with J = TP / (TP + FP + FN), with its bounds."""
    value, low, high = (2 * j / (1 + j) for j in (overlap.value, overlap.low, overlap.high))
    return within(value, low, high)


def macro_f1(confusion: Counts) -> Interval:
    """Return the mean F1 of the classes present in truth or prediction, with its interval.

    The interval takes the class sizes as given: it is about other pictures of the same classes in
    the same proportions. Delta method, each true class a multinomial, with four imagined pictures
    (two right, two wrong) as in Agresti and Coull (The American Statistician 52, 1998), and the
    second-order bias that F1, a ratio, has for few pictures taken off.
    """
    present = (confusion.sum(axis=0) + confusion.sum(axis=1)) > 0
    counts = confusion[np.ix_(present, present)].astype(np.float64)
    sizes = counts.sum(axis=1) + counts.sum(axis=0)
    value = float((2 * np.diagonal(counts) / sizes).mean())
    total = counts.sum()
    centre = (total * (value - _bias(counts)) + _IMAGINED) / (total + 2 * _IMAGINED)
    half = Z_975 * math.sqrt(_variance(counts))
    return within(value, max(0.0, centre - half), min(1.0, centre + half))


def balanced_accuracy(confusion: Counts) -> Interval:
    """Return the mean recall of the classes with pictures, with its interval.

    Each class's Clopper-Pearson bounds are squared up around the mean (the method of variance
    estimates recovery: Newcombe, Statistics in Medicine 17, 1998; Zou and Donner, ibid. 27, 2008).
    """
    support, hits = _with_pictures(confusion)
    recall, (low, high) = hits / support, proportion_bounds(hits, support)
    value = float(recall.mean())
    below = math.sqrt(float(((recall - low) ** 2).sum())) / len(support)
    above = math.sqrt(float(((high - recall) ** 2).sum())) / len(support)
    return within(value, max(0.0, value - below), min(1.0, value + above))


def worst_recall(confusion: Counts) -> tuple[int, Interval]:
    """Return the class with the lowest recall, and that recall with an interval for the lowest.

    The lowest of many is partly bad luck. So the interval is for the lowest true recall, whichever
    class has it: from the lowest lower bound to the lowest upper one, each at 2.5 % divided by the
    number of classes (Bonferroni).
    """
    support, hits = _with_pictures(confusion)
    recall, tail = hits / support, 0.025 / len(support)
    low, high = proportion_bounds(hits, support, tail=tail)
    place = int(recall.argmin())
    number = int(np.flatnonzero(confusion.sum(axis=1))[place])
    return number, within(float(recall[place]), float(low.min()), float(high.min()))


def _with_pictures(confusion: Counts) -> tuple[Counts, Counts]:
    """Return the pictures and the hits of each class that has pictures."""
    support = confusion.sum(axis=1)
    return support[support > 0], np.diagonal(confusion)[support > 0].astype(np.int64)


def _variance(counts: Floats) -> float:
    """Return the variance of macro F1 by first derivatives, over (K, K) counts."""
    support = counts.sum(axis=1)
    share = _IMAGINED * support / support.sum()
    counts = counts + np.diag(share)
    if len(counts) > 1:
        wrong = share / (len(counts) - 1)
        counts = counts + wrong[:, None] - np.diag(wrong)
    sizes = counts.sum(axis=1) + counts.sum(axis=0)
    f1 = 2 * np.diagonal(counts) / sizes
    # d(sum of F1) / d(one more picture of class i predicted as j) = (2 [i = j] - F1_j) / size_j
    slope = np.diag(2 / sizes) - (f1 / sizes)[None, :]
    weighted = counts * slope
    spread = (weighted * slope).sum(axis=1) - weighted.sum(axis=1) ** 2 / _at_least_one(
        counts.sum(axis=1), floor=1e-9
    )
    unbiased = np.where(support > 1, support / _at_least_one(support - 1), 1.0)
    return float(max((spread * unbiased).sum(), 0.0)) / len(counts) ** 2


def _bias(counts: Floats) -> float:
    """Return what macro F1 is expected to miss the truth by, by second derivatives.

    F1 = 2 d / (n + d + o): d pictures of the class are hits, o of the others are taken for it.
    """
    support, hits = counts.sum(axis=1), np.diagonal(counts)
    others = counts.sum(axis=0) - hits
    sizes = support + hits + others
    cells = counts * (support[:, None] - counts) / _at_least_one(support - 1)[:, None]
    hits_variance = np.diagonal(cells)
    others_variance = cells.sum(axis=0) - hits_variance
    terms = hits * others_variance - (support + others) * hits_variance
    return float((2 * terms / sizes**3).mean())


def _at_least_one(values: Floats, floor: float = 1.0) -> Floats:
    return np.maximum(values, floor)
