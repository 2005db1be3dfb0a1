"""Which pictures to show: the most confident mistakes, and the least sure answers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from saccade.evaluation.scores import Labels, Probabilities, score, top_of

Rows = npt.NDArray[np.intp]


def confident_mistakes(
    probabilities: Probabilities, labels: Labels, *, limit: int, predicted: Labels | None = None
) -> Rows:
    """Return at most `limit` rows predicted wrong, the most confident first.

    Equal confidences keep the order of the rows. `probabilities` is (N, C), `labels` (N,);
    `predicted` (N,) where the prediction is not the class with the highest probability.
    """
    scores = score(probabilities, labels, predicted=predicted)
    wrong = np.flatnonzero(~scores.right)
    return wrong[np.argsort(-scores.top[wrong], kind="stable")][: _checked(limit)]


def least_sure(
    probabilities: Probabilities, *, limit: int, predicted: Labels | None = None
) -> Rows:
    """Return at most `limit` rows, that with the least probable name first; the rest as above."""
    top = top_of(probabilities)
    sure = top if predicted is None else probabilities[np.arange(len(top)), predicted]
    return np.argsort(sure, kind="stable")[: _checked(limit)]


def _checked(limit: int) -> int:
    if limit < 0:
        raise ValueError(f"wanted a limit of 0 or more, got {limit}")
    return limit
