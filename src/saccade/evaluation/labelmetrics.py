"""All figures of pictures with several labels each; docs/figures.md defines each, and its interval.

Two labels of one picture are not two observations, so no interval treats them so:

- The mean over labels (macro F1, mean average precision) joins the labels' own intervals by MOVER,
  with correlation (Zou and Donner, Statistics in Medicine 27, 2008). Two labels' figures correlate
  at most as their pictures overlap, |A and B| / sqrt(|A| |B|), and that is taken.
- F1 over all labels together counts with the effective number of observations that the spread
  between pictures leaves (Korn and Graubard, Survey Methodology 24, 1998), in Clopper and
  Pearson's interval.

Average precision is the step sum of precision over recall. Its interval takes it as a proportion of
the pictures that have the label (Boyd, Eng and Page, ECML 2013), with Clopper and Pearson's bounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from saccade.evaluation.beta import Floats
from saccade.evaluation.confusion import f1_of, figures_by_count
from saccade.evaluation.intervals import means, proportion, proportion_bounds, within
from saccade.evaluation.labels import LabelEvaluation, LabelFigures
from saccade.evaluation.metrics import SMALLEST_PROBABILITY
from saccade.evaluation.thresholds import Targets
from saccade.types import Interval

_Probabilities = npt.NDArray[np.floating[Any]]


def evaluate_labels(
    probabilities: _Probabilities,
    targets: Targets,
    *,
    labels: tuple[str, ...],
    thresholds: tuple[float, ...],
    baseline: Targets,
    baseline_class: str,
) -> LabelEvaluation:
    """Return every figure of calibrated `probabilities` (N, L) against `targets` (N, L).

    A label is said from its threshold (L,) on; `baseline` (L,) is the training set's most frequent
    set of labels, written as `baseline_class`. Raises ValueError for arguments that do not fit
    together, no pictures, and numbers that are no probabilities.
    """
    _check(probabilities, targets, labels, thresholds)
    said = probabilities >= np.asarray(thresholds, np.float64)
    per_label = _by_label(probabilities, targets, said, labels, thresholds)
    count = len(targets)
    return LabelEvaluation(
        classes=labels,
        num_images=count,
        accuracy=proportion(int((said == targets).all(axis=1).sum()), count),
        baseline_accuracy=proportion(int((targets == baseline).all(axis=1).sum()), count),
        baseline_class=baseline_class,
        macro_f1=mean_of_labels([one.f1 for one in per_label], said | targets),
        micro_f1=_pooled_f1(said, targets),
        mean_average_precision=mean_of_labels(
            [one.average_precision for one in per_label], targets
        ),
        log_loss=_log_loss(probabilities, targets),
        per_class=per_label,
    )


def _by_label(
    probabilities: _Probabilities,
    targets: Targets,
    said: Targets,
    labels: tuple[str, ...],
    thresholds: tuple[float, ...],
) -> tuple[LabelFigures, ...]:
    had = targets.sum(axis=0)
    counted = figures_by_count(
        labels, hits=(said & targets).sum(axis=0), support=had, predicted=said.sum(axis=0)
    )
    values = [_average_precision(p, t) for p, t in zip(probabilities.T, targets.T, strict=True)]
    averages = _shares_of(np.array(values), had)
    return tuple(
        LabelFigures(
            name=one.name,
            threshold=threshold,
            num_images=one.num_images,
            num_predicted=one.num_predicted,
            precision=one.precision,
            recall=one.recall,
            f1=one.f1,
            average_precision=average,
        )
        for one, threshold, average in zip(counted, thresholds, averages, strict=True)
    )


def _average_precision(probability: _Probabilities, target: Targets) -> float:
    """Return sum over thresholds of (recall gained) x precision; 0 where nothing has the label.

    Equal probabilities are one threshold, as in scikit-learn.
    """
    order = np.argsort(-probability, kind="stable")
    hits, top = np.cumsum(target[order]), probability[order]
    ends = np.append(np.flatnonzero(top[:-1] != top[1:]), len(top) - 1)
    gained = np.diff(hits[ends], prepend=0) / max(int(target.sum()), 1)
    return min(1.0, float((gained * hits[ends] / (ends + 1)).sum()))


def _shares_of(values: Floats, counts: npt.NDArray[Any]) -> list[Interval | None]:
    """Return shares (K,) with Clopper and Pearson's bounds for (K,) observations, whole or not.

    None where there is no observation.
    """
    low, high = proportion_bounds(values * counts, counts)
    return [
        within(float(values[at]), float(low[at]), float(high[at])) if count else None
        for at, count in enumerate(counts.tolist())
    ]


def mean_of_labels(figures: Sequence[Interval | None], counts: Targets) -> Interval | None:
    """Return the mean of the figures there are, (L,), by MOVER; None where there is none.

    `counts` (N, L) are the pictures that each figure is of. The mean's bounds hold as often as
    the figures' do.
    """
    there = [at for at, figure in enumerate(figures) if figure is not None]
    some = [figure for figure in figures if figure is not None]
    if not some:
        return None
    pictures = counts[:, there].astype(np.float64)
    sizes = pictures.sum(axis=0)
    overlap = (pictures.T @ pictures) / np.sqrt(np.outer(sizes, sizes))
    value, low, high = (
        np.array([getattr(figure, end) for figure in some]) for end in ("value", "low", "high")
    )
    below, above = (math.sqrt(float(far @ overlap @ far)) for far in (value - low, high - value))
    middle = float(value.mean())
    return within(
        middle, max(0.0, middle - below / len(some)), min(1.0, middle + above / len(some))
    )


def _pooled_f1(said: Targets, targets: Targets) -> Interval | None:
    """Return F1 = 2 J / (1 + J), with J = hits / (labels had or said), of all pictures."""
    hits = (said & targets).sum(axis=1).astype(np.float64)
    sizes = (said | targets).sum(axis=1).astype(np.float64)
    total = float(sizes.sum())
    if not total:
        return None
    overlap = float(hits.sum()) / total
    number = np.array([_effective_number(hits, sizes, overlap)])
    (found,) = _shares_of(np.array([overlap]), number)
    return found and f1_of(found)


def _effective_number(hits: Floats, sizes: Floats, share: float) -> float:
    """Return how many independent observations tell as much as these pictures' do.

    The variance of a ratio of sums, by pictures, against that of a proportion; never more than the
    observations, and only the pictures where these show no spread.
    """
    pictures = float((sizes > 0).sum())
    total = float(sizes.sum())
    spread = float(((hits - share * sizes) ** 2).sum()) / total**2 * pictures
    spread /= max(pictures - 1, 1)
    if not spread or not 0 < share < 1:
        return pictures
    return min(share * (1 - share) / spread, total)


def _log_loss(probabilities: _Probabilities, targets: Targets) -> Interval:
    """Return the mean cross-entropy of a label, with the bootstrap's interval over pictures.

    The picture imagined beside the scored ones costs what these would on average had every label
    been as is more likely, or the other way round (`saccade.evaluation.intervals`).
    """
    p = np.clip(probabilities.astype(np.float64), SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    given = -np.log(np.where(targets, p, 1 - p)).mean(axis=1, keepdims=True)
    likely = -np.log(np.maximum(p, 1 - p)).mean(keepdims=True)[0]
    unlikely = -np.log(np.minimum(p, 1 - p)).mean(keepdims=True)[0]
    (interval,) = means(
        given,
        if_right=likely,
        if_wrong=unlikely,
        seed=0,
        most=np.array([-math.log(SMALLEST_PROBABILITY)]),
    )
    return interval


def _check(
    probabilities: _Probabilities,
    targets: Targets,
    labels: tuple[str, ...],
    thresholds: tuple[float, ...],
) -> None:
    if probabilities.ndim != 2 or targets.shape != probabilities.shape or not len(targets):
        raise ValueError(
            f"wanted targets for each of some pictures' probabilities, (N, L), got "
            f"{targets.shape} for {probabilities.shape}"
        )
    if targets.dtype != np.bool_:
        raise ValueError(f"wanted targets that are true or false, got {targets.dtype}")
    if not len(set(labels)) == len(labels) == len(thresholds) == probabilities.shape[1]:
        raise ValueError(
            f"wanted a name and a threshold for each of {probabilities.shape[1]} labels, got "
            f"{len(set(labels))} and {len(thresholds)}"
        )
    if not ((probabilities >= 0) & (probabilities <= 1)).all():  # NaN fails both
        raise ValueError("wanted probabilities from 0 to 1")
