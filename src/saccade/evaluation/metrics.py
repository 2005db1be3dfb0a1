"""All figures of one scored set; docs/figures.md defines each, and its interval's method."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from saccade.evaluation.calibration import calibration_error, sureness
from saccade.evaluation.confusion import (
    balanced_accuracy,
    class_figures,
    confusion_matrix,
    macro_f1,
    worst_recall,
)
from saccade.evaluation.evaluation import Evaluation
from saccade.evaluation.intervals import means, proportion
from saccade.evaluation.scores import Floats, Labels, Probabilities, Scores, score
from saccade.types import Interval

SMALLEST_PROBABILITY: Final = float(np.finfo(np.float64).eps)  # the log loss counts none smaller


def evaluate(
    probabilities: Probabilities,
    labels: Labels,
    *,
    classes: tuple[str, ...],
    baseline_class: str,
    threshold: float,
    target_error_rate: float,
    predicted: Labels | None = None,
) -> Evaluation:
    """Return every figure of calibrated `probabilities` (N, C) against `labels` (N,).

    `baseline_class` is the training set's most frequent class; `threshold` was chosen on
    validation by `choose_threshold` for `target_error_rate`. Where `predicted` (N,) are not the
    most probable classes, the figures of answers (accuracy, recall, confusion, sureness …) are of
    them; those of probabilities are as ever. Equal arguments give equal figures.
    Raises ValueError for arguments that do not fit together and rows that are no probabilities.
    """
    if len(set(classes)) != len(classes) or len(classes) != probabilities.shape[-1]:
        raise ValueError(
            f"wanted one name a class, got {len(set(classes))} names for "
            f"{probabilities.shape[-1]} columns"
        )
    if baseline_class not in classes:
        raise ValueError(f"wanted a baseline class among the classes, got {baseline_class!r}")
    scores = score(probabilities, labels)
    names = score(probabilities, labels, predicted=predicted)
    confusion = confusion_matrix(names.labels, names.predicted, len(classes))
    log_loss, brier = losses(scores)
    worst, lowest = worst_recall(confusion)
    baseline = int((scores.labels == classes.index(baseline_class)).sum())
    return Evaluation(
        classes=tuple(classes),
        num_images=len(scores),
        accuracy=proportion(int(names.right.sum()), len(scores)),
        macro_f1=macro_f1(confusion),
        log_loss=log_loss,
        brier=brier,
        calibration_error=calibration_error(scores),
        baseline_accuracy=proportion(baseline, len(scores)),
        baseline_class=baseline_class,
        per_class=class_figures(confusion, tuple(classes)),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        sureness=sureness(names, threshold=threshold, target_error_rate=target_error_rate),
        balanced_accuracy=balanced_accuracy(confusion),
        worst_recall=lowest,
        worst_class=classes[worst],
    )


def losses(scores: Scores, *, seed: int = 0) -> tuple[Interval, Interval]:
    """Return log loss and Brier score.

    The picture that `saccade.evaluation.intervals` imagines costs what the scored ones would on
    average, had the true class been that with the highest or with the second highest probability.
    """
    columns = [_columns(scores, probability) for probability in (scores.true, scores.top)]
    wrong = _columns(scores, scores.second).mean(axis=0)
    most = np.array([-math.log(SMALLEST_PROBABILITY), 2.0])
    log_loss, brier = means(
        columns[0], if_right=columns[1].mean(axis=0), if_wrong=wrong, seed=seed, most=most
    )
    return log_loss, brier


def _columns(scores: Scores, probability: Floats) -> Floats:
    """Return log loss and Brier score (N, 2) if the true class had had `probability` (N,)."""
    log_loss = -np.log(np.clip(probability, SMALLEST_PROBABILITY, 1.0))
    # sum_k (p_k - y_k)^2 = sum_k p_k^2 - 2 p_true + 1; rounding may leave it just below 0
    brier = np.maximum(scores.squares - 2 * probability + 1, 0.0)
    return np.stack([log_loss, brier], axis=1)
