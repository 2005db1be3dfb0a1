"""A learning curve: how the error falls with more training pictures, and how far it would fall yet.

    curve = fit_learning_curve([point(144, 60, 288), point(287, 41, 288), point(1149, 17, 288)])
    curve.foretold[0].gain      # of twice the pictures, with its interval

Errors of classifiers fall with the number n of training pictures as a power law over a floor,

    error(n) = floor + scale * n^-exponent        floor, scale >= 0,  0 < exponent <= 1.5

(Cortes et al., "Learning curves: asymptotic values and rate of convergence", NIPS 1993; Hestness et
al., "Deep learning scaling is predictable, empirically", 2017). It is fitted by least squares, each
point weighted by its binomial variance. What is foretold is for twice and four times the most
pictures measured; further than that three or four points do not reach.

The interval is a parametric bootstrap (Efron and Tibshirani, 1993). For each point a true share is
drawn from its Jeffreys posterior, as many pictures as were scored are drawn of that, and the curve
is fitted again. Drawing twice makes the range somewhat wide, and keeps it honest where mistakes are
few or the fit has bent to chance. So few points seldom tell whether there is a floor, and a fit
that guesses one foretells too little: half of the draws are fitted without it. docs/next.md has
the coverage that was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from saccade.evaluation.beta import Floats
from saccade.evaluation.intervals import proportion, within
from saccade.types import Interval

Counts = npt.NDArray[np.int64]

TIMES: Final = (2, 4)  # the most pictures measured, foretold
LEAST_POINTS: Final = 3

_NUM_DRAWS: Final = 500
_EXPONENTS: Final = np.linspace(0.1, 1.5, 29)  # under a tenth, a floor cannot be told from a slope
_WITHOUT_FLOOR: Final = np.linspace(0.0, 1.5, 31)


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningPoint:
    """Mistakes on `num_scored` pictures, after training on `num_train` others."""

    num_train: int
    num_wrong: int
    num_scored: int

    @property
    def error(self) -> Interval:
        """The share that was wrong, with its Clopper-Pearson interval."""
        return proportion(self.num_wrong, self.num_scored)


@dataclass(frozen=True, slots=True, kw_only=True)
class Foretold:
    """What the curve says of more training pictures than there are."""

    num_train: int
    error: Interval  # share wrong
    gain: Interval  # by how much less that is than at the most pictures measured


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningCurve:
    """The measured points, by rising number of pictures, the fitted law, and what it foretells."""

    points: tuple[LearningPoint, ...]
    floor: float
    scale: float
    exponent: float
    foretold: tuple[Foretold, ...]  # at `TIMES` the most pictures measured

    def error_at(self, num_train: float) -> float:
        """Return the fitted share wrong after training on so many pictures."""
        return float(self.floor + self.scale * num_train**-self.exponent)

    def to_json(self) -> dict[str, Any]:
        """Return the curve as it stands in ``run.json``; `from_json` reads it, equal."""
        return {
            "points": [
                {"num_train": p.num_train, "num_wrong": p.num_wrong, "num_scored": p.num_scored}
                for p in self.points
            ],
            "floor": self.floor,
            "scale": self.scale,
            "exponent": self.exponent,
            "foretold": [
                {
                    "num_train": one.num_train,
                    "error": one.error.to_json(),
                    "gain": one.gain.to_json(),
                }
                for one in self.foretold
            ],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> LearningCurve:
        """Read what `to_json` wrote."""
        return cls(
            points=tuple(LearningPoint(**point) for point in document["points"]),
            floor=float(document["floor"]),
            scale=float(document["scale"]),
            exponent=float(document["exponent"]),
            foretold=tuple(
                Foretold(
                    num_train=int(one["num_train"]),
                    error=Interval.from_json(one["error"]),
                    gain=Interval.from_json(one["gain"]),
                )
                for one in document["foretold"]
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Laws:
    """Fitted laws over x, the pictures as a share of the most measured; each column is (D,)."""

    floor: Floats
    fall: Floats  # what lies above the floor at x = 1
    exponent: Floats

    def error(self, x: float) -> Floats:
        return self.floor + self.fall * x**-self.exponent


def fit_learning_curve(points: Sequence[LearningPoint], *, seed: int = 0) -> LearningCurve:
    """Return the curve through points of three or more numbers of pictures.

    Equal points and seeds give equal curves. Raises ValueError for fewer sizes, a size twice, and
    counts that cannot be.
    """
    points = sorted(points, key=lambda point: point.num_train)
    sizes = np.array([point.num_train for point in points], np.float64)
    scored = np.array([point.num_scored for point in points])
    wrong = np.array([point.num_wrong for point in points])
    if len(np.unique(sizes)) != len(points) or len(points) < LEAST_POINTS or sizes[0] < 1:
        raise ValueError(
            f"wanted points at {LEAST_POINTS} or more different numbers of pictures, got "
            f"{[point.num_train for point in points]}"
        )
    if not (np.all(wrong >= 0) and np.all(wrong <= scored) and np.all(scored > 0)):
        raise ValueError(f"wanted 0 <= mistakes <= pictures scored > 0, got {wrong} of {scored}")
    x = sizes / sizes[-1]
    law = _fitted((wrong / scored)[None], x, _weights(wrong, scored), has_floor=True)
    drawn = _drawn(x, wrong, scored, seed)
    floor, fall, exponent = (float(column[0]) for column in (law.floor, law.fall, law.exponent))
    return LearningCurve(
        points=tuple(points),
        floor=floor,
        scale=fall * float(sizes[-1]) ** exponent,
        exponent=exponent,
        foretold=tuple(_foretold(times, int(sizes[-1]), law, drawn) for times in TIMES),
    )


def _foretold(times: int, most: int, law: _Laws, drawn: _Laws) -> Foretold:
    errors, gains = drawn.error(times), drawn.error(1.0) - drawn.error(times)
    value = float(law.error(times)[0])
    return Foretold(
        num_train=times * most,
        error=_middle(value, errors),
        gain=_middle(float(law.error(1.0)[0]) - value, gains),
    )


def _middle(value: float, draws: Floats) -> Interval:
    """Return the value with the range of 95 of 100 draws."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return within(value, float(low), float(high))


def _weights(wrong: Counts, scored: Counts) -> Floats:
    """Return the inverse binomial variance of each share; none is endless for want of mistakes."""
    share = (wrong + 0.5) / (scored + 1)
    weights: Floats = scored / (share * (1 - share))
    return weights


def _drawn(x: Floats, wrong: Counts, scored: Counts, seed: int) -> _Laws:
    """Return laws fitted to mistakes drawn anew, the latter half without a floor."""
    random = np.random.default_rng(seed)
    truth = random.beta(wrong + 0.5, scored - wrong + 0.5, (_NUM_DRAWS, len(x)))
    shares = random.binomial(scored, truth) / scored
    half, weights = _NUM_DRAWS // 2, _weights(wrong, scored)
    laws = (
        _fitted(shares[:half], x, weights, has_floor=True),
        _fitted(shares[half:], x, weights, has_floor=False),
    )
    return _Laws(
        floor=np.concatenate([one.floor for one in laws]),
        fall=np.concatenate([one.fall for one in laws]),
        exponent=np.concatenate([one.exponent for one in laws]),
    )


def _fitted(shares: Floats, x: Floats, weights: Floats, *, has_floor: bool) -> _Laws:
    """Return the law of least squares for each row of `shares` (D, K), over K places `x`.

    For each exponent of a fine grid the best floor and fall are a line's intercept and slope over
    x^-exponent; where one of them would be negative, it is 0 and the other is fitted alone.
    """
    exponents = _EXPONENTS if has_floor else _WITHOUT_FLOOR
    powers = x ** -exponents[:, None]  # (E, K)
    total = weights.sum()
    mean_x, mean_y = powers @ weights / total, shares @ weights / total  # (E,), (D,)
    alone = np.maximum(shares @ (weights * powers).T / (weights * powers**2).sum(axis=1), 0)
    if has_floor:
        away = powers - mean_x[:, None]
        fall = (shares - mean_y[:, None]) @ (weights * away).T / (weights * away**2).sum(axis=1)
        floor = mean_y[:, None] - fall * mean_x
        fall, floor = np.where(floor < 0, alone, fall), np.maximum(floor, 0)
        floor, fall = np.where(fall < 0, mean_y[:, None], floor), np.maximum(fall, 0)
    else:
        floor, fall = np.zeros_like(alone), alone
    misses = shares[:, None] - floor[..., None] - fall[..., None] * powers  # (D, E, K)
    best = (weights * misses**2).sum(axis=2).argmin(axis=1)
    rows = np.arange(len(shares))
    return _Laws(floor=floor[rows, best], fall=fall[rows, best], exponent=exponents[best])
