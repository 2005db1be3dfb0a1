"""Confidence that means what it says: temperature, the threshold of "unsure", calibration error.

A temperature (Guo et al., ICML 2017) divides the logits, and changes no answer. It is fitted with
one imagined picture, half right and half wrong, beside the validation pictures, as in Platt's
targets (1999): without it a few pictures, all answered right, would ask for endless confidence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from saccade.evaluation.beta import Z_975, Floats
from saccade.evaluation.evaluation import Sureness
from saccade.evaluation.intervals import proportion, within
from saccade.evaluation.scores import Labels, Probabilities, Scores, check_labels, score
from saccade.types import Interval

Logits = npt.NDArray[np.floating[Any]]

MIN_TEMPERATURE: Final = 0.05
MAX_TEMPERATURE: Final = 20.0
TARGET_ERROR_RATE: Final = 0.05  # right 19 times of 20 when it answers
NEVER: Final = math.nextafter(1.0, 2.0)  # a threshold that no probability reaches
NUM_BINS: Final = 15

_BLOCK: Final = 1 << 21  # logits read at once
_MAX_STEPS: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """Pictures whose top probability lies in (low, high]; None where there are none."""

    low: float
    high: float
    num_images: int
    confidence: float | None  # mean top probability
    accuracy: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Bins:
    counts: Floats  # (15,) pictures
    right: Floats  # (15,) pictures answered right
    confidence: Floats  # (15,) sum of top probabilities
    squares: Floats  # (15,) sum of their squares


def fit_temperature(logits: Logits, labels: Labels) -> float:
    """Return the temperature from 0.05 to 20 that makes validation `logits` (N, C) calibrated.

    On the same pictures the log loss is never worse than at temperature 1. Raises ValueError for
    logits that are not finite, and for shapes and labels as in `saccade.evaluation.evaluate`.
    """
    check_labels(logits, labels)
    codes = np.asarray(labels, np.int64)
    if not all(np.isfinite(logits[rows]).all() for rows in _row_blocks(logits)):
        raise ValueError("wanted finite logits, got NaN or infinity")
    sharpness = _best_sharpness(logits, codes)
    if _log_loss(logits, codes, sharpness) > _log_loss(logits, codes, 1.0):
        return 1.0
    return 1 / sharpness


def apply_temperature(logits: Logits, temperature: float) -> Logits:
    """Return softmax(logits / temperature) for (N, C) logits, in their own precision."""
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"wanted a temperature above 0, got {temperature}")
    probabilities = np.empty(logits.shape, logits.dtype)
    for rows in _row_blocks(logits):
        weights = np.exp(_below_top(logits, rows) / temperature)
        probabilities[rows] = weights / weights.sum(axis=1, keepdims=True)
    return probabilities


def _best_sharpness(logits: Logits, labels: npt.NDArray[np.int64]) -> float:
    """Return 1 / temperature, the zero of a slope that never falls: Newton inside a bracket."""
    low, high = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE
    sharpness = 1.0
    constant = _constant_slope(logits, labels)
    for _ in range(_MAX_STEPS):
        slope, curvature = _slope(logits, sharpness)
        slope += constant
        if abs(slope) <= 1e-12 * len(labels):
            return sharpness
        low, high = (sharpness, high) if slope < 0 else (low, sharpness)
        newton = sharpness - slope / curvature if curvature > 0 else math.inf
        # Between bounds that differ 400-fold the middle is the geometric one.
        following = newton if low < newton < high else math.sqrt(low * high)
        if abs(following - sharpness) <= 1e-6 * sharpness:
            return following
        sharpness = following
    return sharpness


def _slope(logits: Logits, sharpness: float) -> tuple[float, float]:
    """Return the part of the summed loss's slope that sharpness changes, and its derivative.

    A picture's loss has the slope E[z] - z_label and the curvature Var[z], over the softmax.
    """
    slope = curvature = 0.0
    for rows in _row_blocks(logits):
        z = _below_top(logits, rows)
        weights = np.exp(sharpness * z)
        weights /= weights.sum(axis=1, keepdims=True)
        mean = np.einsum("ij,ij->i", weights, z)
        z *= z
        slope += float(mean.sum())
        curvature += float((np.einsum("ij,ij->i", weights, z) - mean**2).sum())
    imagined = 1 / len(logits)  # one picture more, like the average of all
    return slope * (1 + imagined), curvature * (1 + imagined)


def _constant_slope(logits: Logits, labels: npt.NDArray[np.int64]) -> float:
    """Return - z_label summed; the imagined label is half the top class, half the next."""
    slope = 0.0
    for rows in _row_blocks(logits):
        z = _below_top(logits, rows)  # the top logit is 0
        second = np.partition(z, -2, axis=1)[:, -2]
        slope -= float(z[np.arange(len(z)), labels[rows]].sum())
        slope -= float(second.sum()) / 2 / len(labels)
    return slope


def _log_loss(logits: Logits, labels: npt.NDArray[np.int64], sharpness: float) -> float:
    total = 0.0
    for rows in _row_blocks(logits):
        z = sharpness * _below_top(logits, rows)
        true = z[np.arange(len(z)), labels[rows]]
        total += float((np.log(np.exp(z).sum(axis=1)) - true).sum())
    return total / len(labels)


def _below_top(logits: Logits, rows: slice) -> Floats:
    block: Floats = np.asarray(logits[rows], np.float64)
    below: Floats = block - block.max(axis=1, keepdims=True)
    return below


def _row_blocks(table: Logits) -> list[slice]:
    step = max(1, _BLOCK // table.shape[1])
    return [slice(start, min(start + step, len(table))) for start in range(0, len(table), step)]


def choose_threshold(
    probabilities: Probabilities,
    labels: Labels,
    *,
    target_error_rate: float = TARGET_ERROR_RATE,
    predicted: Labels | None = None,
) -> float:
    """Return the top probability below which a classifier should say "unsure".

    The smallest threshold at which the error rate among the answered validation pictures is at
    most `target_error_rate`. The rate is judged by its Jeffreys posterior, mean plus one standard
    deviation, for the smallest threshold is also the luckiest. So few pictures that not even a
    flawless set reaches the target that way (24 for 5 %) are judged by the observed rate. 0
    answers always; `NEVER`, just above 1, answers nothing, where no threshold serves. `predicted`
    (N,) where the answers are not the most probable classes; their probability is then judged.
    """
    if not 0 < target_error_rate < 1:
        raise ValueError(f"wanted a target error rate between 0 and 1, got {target_error_rate}")
    scores = score(probabilities, labels, predicted=predicted)
    order = np.argsort(-scores.top, kind="stable")
    top = scores.top[order]
    answered = np.arange(1, len(top) + 1)
    mistakes = np.cumsum(~scores.right[order])
    rate = _judged_rate(mistakes, answered)
    if _judged_rate(np.zeros(1), answered[-1:])[0] > target_error_rate:
        rate = mistakes / answered
    together = np.append(top[:-1] > top[1:], True)  # equal confidences are answered together
    serving = np.flatnonzero(together & (rate <= target_error_rate))
    if serving.size == 0:
        return NEVER
    last = int(serving[-1])
    if last == len(top) - 1:
        return 0.0
    return halfway(top, last)


def halfway(falling: Floats, last: int) -> float:
    """Return a threshold half-way from place `last` of falling probabilities (n,) to the next.

    So rounding on another machine changes no answer. There is a next one, and it is less.
    """
    middle = float((falling[last] + falling[last + 1]) / 2)
    return middle if middle > falling[last + 1] else float(falling[last])


def _judged_rate(mistakes: npt.NDArray[Any], answered: npt.NDArray[Any]) -> Floats:
    mean = (mistakes + 0.5) / (answered + 1)
    judged: Floats = mean + np.sqrt(mean * (1 - mean) / (answered + 2))
    return judged


def sureness(scores: Scores, *, threshold: float, target_error_rate: float) -> Sureness:
    """Return how many pictures are answered at `threshold`, and how many of those wrong."""
    answered = scores.top >= threshold
    count = int(answered.sum())
    mistakes = int((answered & ~scores.right).sum())
    return Sureness(
        threshold=threshold,
        target_error_rate=target_error_rate,
        answered=proportion(count, len(scores)),
        error_rate=proportion(mistakes, count) if count else None,
    )


def reliability(
    probabilities: Probabilities, labels: Labels, *, predicted: Labels | None = None
) -> tuple[ReliabilityBin, ...]:
    """Return the 15 bins of the calibration chart, by rising probability of the name given.

    `probabilities` is (N, C), `labels` (N,); `predicted` (N,) where the answer is not the class
    with the highest probability. So the pictures of all bins are right as often as accuracy has it.
    """
    bins = _bins(score(probabilities, labels, predicted=predicted))
    return tuple(
        ReliabilityBin(
            low=index / NUM_BINS,
            high=(index + 1) / NUM_BINS,
            num_images=int(count),
            confidence=float(bins.confidence[index] / count) if count else None,
            accuracy=proportion(int(bins.right[index]), int(count)) if count else None,
        )
        for index, count in enumerate(bins.counts)
    )


def calibration_error(scores: Scores) -> Interval:
    """Return the expected calibration error over 15 equal bins, with an interval for the truth.

    The value is the usual one, sum over bins of |right - confidence| / N, which chance alone lifts
    above the truth. The interval is about the truth: with e the noise of the bins, value - sum |e|
    <= truth <= value + the noise of a signed sum, each side at 97.5 %. So it reaches far below the
    value and little above it.
    """
    bins, total = _bins(scores), len(scores)
    gap = (bins.right - bins.confidence) / total  # (15,)
    value = float(np.abs(gap).sum())
    some = np.maximum(bins.counts, 1)
    accuracy = (bins.right + 1) / (bins.counts + 2)  # never 0 or 1: few pictures prove nothing
    confidence = bins.confidence / some
    spread = np.maximum(bins.squares / some - confidence**2, 0)
    # One picture adds (right - confidence) to its bin and 0 to the others.
    share, shift = bins.counts / total, accuracy - confidence
    variance = share * (accuracy * (1 - accuracy) + spread + shift**2 * (1 - share)) / total
    # |e| of a normal e has mean sd * sqrt(2 / pi) and variance sd**2 * (1 - 2 / pi).
    lift = math.sqrt(2 / math.pi) * float(np.sqrt(variance).sum())
    lift += Z_975 * math.sqrt((1 - 2 / math.pi) * float(variance.sum()))
    above = Z_975 * math.sqrt(float(variance.sum()))
    return within(value, max(0.0, value - lift), min(1.0, value + above))


def _bins(scores: Scores) -> _Bins:
    # (i / 15, (i + 1) / 15], as Guo et al. have it; a probability is above 0, so none is below.
    edges = np.arange(1, NUM_BINS) / NUM_BINS
    index = np.searchsorted(edges, scores.top, side="left")

    def total(values: npt.NDArray[Any]) -> Floats:
        return np.bincount(index, weights=values, minlength=NUM_BINS).astype(np.float64)

    return _Bins(
        counts=total(np.ones(len(scores))),
        right=total(scores.right),
        confidence=total(scores.top),
        squares=total(scores.top**2),
    )
