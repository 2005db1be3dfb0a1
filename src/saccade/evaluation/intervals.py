"""95 % intervals of proportions and of means over pictures.

Proportions (accuracy, precision, recall, share answered) get the Clopper-Pearson interval
(Biometrika 26, 1934): it holds the truth in at least 95 of 100 repetitions whatever the truth and
however few the pictures, at the cost of being a little wide. Wilson's is shorter, but holds a
proportion of 0.995 in only 86 of 100 sets of 30 pictures: too kind to a good classifier.

Means (log loss, Brier score) get a Bayesian bootstrap (Rubin, Annals of Statistics 9, 1981) with
one imagined picture added, half right and half wrong. That is Jeffreys' prior on the accuracy: a
set of 30 pictures without a mistake does not show that mistakes cost nothing. The percentiles are
moved outwards to Student's t (Hesterberg, The American Statistician 69, 2015), for few pictures.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from saccade.evaluation.beta import (
    Z_975,
    Floats,
    beta_quantile,
    normal_tail,
    student_quantile_975,
)
from saccade.types import Interval

NUM_DRAWS: Final = 2000
MAX_DRAWN: Final = 10_000  # rows; above it the bootstrap is normal, and its moments are exact
WIDE: Final = 0.1  # of a share's interval: the pictures are few
_CHUNK: Final = 1 << 20  # weights held at once

_Numbers = npt.NDArray[Any]  # whole, or not


def proportion(successes: int, total: int, *, tail: float = 0.025) -> Interval:
    """Return `successes` / `total` with its Clopper-Pearson interval; `total` is 1 or more.

    `tail` is left out on either side.
    """
    if not 0 <= successes <= total or total == 0:
        raise ValueError(f"wanted 0 <= successes <= total and total > 0, got {successes}, {total}")
    low, high = proportion_bounds(np.array([successes]), np.array([total]), tail=tail)
    return within(successes / total, float(low[0]), float(high[0]))


def proportion_bounds(
    successes: _Numbers, totals: _Numbers, *, tail: float = 0.025
) -> tuple[Floats, Floats]:
    """Return the Clopper-Pearson bounds of many proportions, each (K,), at `tail` on either side.

    Numbers need not be whole. A total of 0 says nothing, so its bounds are 0 and 1.
    """
    low = lower_bounds(np.append(successes, totals - successes), np.append(totals, totals), tail)
    return low[: len(totals)], 1 - low[len(totals) :]


def lower_bounds(successes: _Numbers, totals: _Numbers, tail: float) -> Floats:
    """Return the Clopper-Pearson lower bounds alone, (K,), with `tail` left out below them."""
    bounds = np.zeros(len(successes))
    some = successes > 0
    if some.any():
        k, n = successes[some], totals[some]
        bounds[some] = beta_quantile(k, n - k + 1, tail)
    return bounds


def means(
    scores: Floats, *, if_right: Floats, if_wrong: Floats, seed: int, most: Floats
) -> tuple[Interval, ...]:
    """Return the mean of each column of `scores` (N, K) with its interval.

    `if_right` and `if_wrong` (K,) are the scores of the two halves of the imagined picture; `most`
    (K,) is the largest score possible, the smallest is 0.
    """
    values = scores.mean(axis=0)
    if len(scores) > MAX_DRAWN:
        low, high = _normal_bounds(scores, if_right, if_wrong)
    else:
        low, high = _drawn_bounds(scores, if_right, if_wrong, seed)
    return tuple(
        within(float(value), max(float(lowest), 0.0), min(float(highest), float(limit)))
        for value, lowest, highest, limit in zip(values, low, high, most, strict=True)
    )


def _drawn_bounds(
    scores: Floats, if_right: Floats, if_wrong: Floats, seed: int
) -> tuple[Floats, Floats]:
    random = np.random.default_rng(seed)
    imagined = np.stack([if_right, if_wrong])  # (2, K)
    draws = np.empty((NUM_DRAWS, scores.shape[1]))
    step = max(1, _CHUNK // len(scores))
    for start in range(0, NUM_DRAWS, step):
        count = min(step, NUM_DRAWS - start)
        weights = random.standard_exponential((count, len(scores)))
        halves = random.standard_gamma(0.5, (count, 2))
        total = weights.sum(axis=1) + halves.sum(axis=1)
        draws[start : start + count] = (weights @ scores + halves @ imagined) / total[:, None]
    tail = _tail(len(scores))
    return np.quantile(draws, tail, axis=0), np.quantile(draws, 1 - tail, axis=0)


def _tail(num_rows: int) -> float:
    """Return the share of draws to leave out on each side, so that few rows read as Student's t."""
    n = max(num_rows, 2)
    return normal_tail(math.sqrt(n / (n - 1)) * student_quantile_975(n - 1))


def _normal_bounds(scores: Floats, if_right: Floats, if_wrong: Floats) -> tuple[Floats, Floats]:
    total = len(scores) + 1
    centre = (scores.sum(axis=0) + (if_right + if_wrong) / 2) / total
    squares = ((scores - centre) ** 2).sum(axis=0)
    squares = squares + ((if_right - centre) ** 2 + (if_wrong - centre) ** 2) / 2
    half = Z_975 * np.sqrt(squares / (total * (total + 1)))
    return centre - half, centre + half


def within(value: float, low: float, high: float) -> Interval:
    """Return an interval that holds its value, which a corrected bound may narrowly miss."""
    low, high = float(min(low, value)), float(max(high, value))
    return Interval(value=float(value), low=low, high=high)


def is_wide(figure: Interval) -> bool:
    """Return whether a share's interval is over 10 points wide, so that the pictures are few."""
    return figure.high - figure.low > WIDE


def percent(figure: Interval) -> str:
    """Return such as ``98.1 % (95 % interval 96.1 to 99.1 %)``."""
    value, low, high = (100 * share for share in (figure.value, figure.low, figure.high))
    return f"{value:.1f} % (95 % interval {low:.1f} to {high:.1f} %)"
