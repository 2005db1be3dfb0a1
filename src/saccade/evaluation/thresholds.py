"""Probabilities of labels, one of which says nothing of another, and from where on each is said.

    temperature = fit_label_temperature(logits, targets)          # on validation
    probabilities = label_probabilities(logits, temperature)      # sigmoid(logits / temperature)
    thresholds = choose_label_thresholds(probabilities, targets)  # a label each

Each label is a question with two answers, so its logit z is the pair (0, z) of a softmax, and the
one temperature is fitted as for classes (`calibration.fit_temperature`), over all questions.

A threshold is that with the highest F1 on validation. The highest of many is also the luckiest,
most of all where a label is rare (Lipton, Elkan and Naryanaswamy, ECML 2014): so where a label has
fewer than ten validation pictures, or the others are fewer, its threshold is one half.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from saccade.evaluation.beta import Floats
from saccade.evaluation.calibration import Logits, apply_temperature, fit_temperature, halfway

HALF: Final = 0.5
LEAST_OF_A_LABEL: Final = 10  # validation pictures that have a label, and that lack it

Targets = npt.NDArray[np.bool_]


def fit_label_temperature(logits: Logits, targets: Targets) -> float:
    """Return the temperature from 0.05 to 20 that calibrates (N, L) validation `logits`.

    `targets` (N, L) say which labels each picture has. Raises ValueError for other shapes and for
    logits that are not finite.
    """
    if logits.ndim != 2 or targets.shape != logits.shape:
        raise ValueError(f"wanted targets of {logits.shape}, got {targets.shape}")
    return fit_temperature(_pairs(logits), targets.astype(np.int64).ravel())


def label_probabilities(logits: Logits, temperature: float) -> Logits:
    """Return sigmoid(logits / temperature), (N, L), in the logits' own precision."""
    return apply_temperature(_pairs(logits), temperature)[:, 1].reshape(logits.shape)


def _pairs(logits: Logits) -> Logits:
    flat = logits.ravel()
    return np.stack([np.zeros_like(flat), flat], axis=1)


def has_too_few(targets: Targets) -> npt.NDArray[np.bool_]:
    """Return which labels, (L,), have too few pictures in (N, L) to choose a threshold by."""
    had = targets.sum(axis=0)
    few: npt.NDArray[np.bool_] = np.minimum(had, len(targets) - had) < LEAST_OF_A_LABEL
    return few


def choose_label_thresholds(
    probabilities: npt.NDArray[np.floating[Any]], targets: Targets
) -> tuple[float, ...]:
    """Return from which probability on each label is said, (L,), chosen on validation.

    `probabilities` and `targets` are (N, L). The threshold lies half-way between two pictures; of
    equals the lowest F1-best one is taken. Labels with too few pictures get one half.
    """
    few = has_too_few(targets)
    return tuple(
        HALF if few[label] else _best_threshold(probabilities[:, label], targets[:, label])
        for label in range(targets.shape[1])
    )


def _best_threshold(probability: npt.NDArray[np.floating[Any]], target: Targets) -> float:
    order = np.argsort(-probability, kind="stable")
    top, hits = probability[order].astype(np.float64), np.cumsum(target[order])
    said = np.arange(1, len(top) + 1)
    f1: Floats = 2 * hits / (said + target.sum())
    f1[:-1][top[:-1] == top[1:]] = -1.0  # equal probabilities are said together
    last = len(f1) - 1 - int(f1[::-1].argmax())
    if last == len(top) - 1:
        return float(top[last])
    return halfway(top, last)
