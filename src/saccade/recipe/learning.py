"""What more pictures and more time are worth, measured: trained on fewer, and for half as long.

Heads on frozen features are solved in a moment, so their learning curve always is. A network that
is trained from scratch takes time for every point, which is the user's: `--learning-curve` spends
it, out of the budget. Each point is trained by the main training's plan, for as many epochs, on an
eighth, a quarter and half of the training pictures; one more is trained on all of them for half the
epochs. All are scored on the validation pictures, none on a test picture.

The parts are nested, alike in their classes, and keep pictures that belong together together: half
of every burst would look as if half of the pictures taught as much as all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from saccade.config import TrainSettings
from saccade.data import Kin
from saccade.data.kin import joined
from saccade.evaluation import LEAST_POINTS, LearningCurve, LearningPoint, fit_learning_curve
from saccade.models import BackboneDesign
from saccade.progress import Progress, Silence
from saccade.training import FitResult, Pictures, TrainPlan, train_network

SHARES: Final = (1 / 8, 1 / 4, 1 / 2)
_SCORING: Final = 0.2  # of an epoch's time; after each epoch, however few pictures it trained on
# Training pictures a class, on average, at a point. Of fewer, errors follow no power law yet: in 40
# draws of 300 digits a discriminant's gain lay inside 32 times with a point at 3.7, always without.
_LEAST: Final = 4

_Rows = npt.NDArray[np.intp]


def _seconds_of(share: float) -> float:
    """Return the time of a point, in that of the main training."""
    return _SCORING + (1 - _SCORING) * share


EXTRA: Final = sum(_seconds_of(share) for share in SHARES) + 0.5  # in the main training's time


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """What was measured: the curve, and, from scratch, all pictures for half the epochs and all."""

    curve: LearningCurve | None = None
    half: LearningPoint | None = None
    whole: LearningPoint | None = None
    why_not: str = ""  # where there is no curve


def training_share(settings: TrainSettings, backbone: BackboneDesign | None) -> float:
    """Return the share of the time for training that the main training gets; the rest measures."""
    return 1.0 if backbone is not None or not settings.learning_curve else 1 / (1 + EXTRA)


def head_curve(
    mistakes: Callable[[Sequence[_Rows]], Sequence[int]],
    fit: FitResult | None,
    *,
    train: Pictures,
    validation: Pictures,
    unit: _Rows,
) -> Learning:
    """Return the learning curve of heads on frozen features.

    `mistakes` solves a head for each part of `train`, given by places, and returns its validation
    mistakes; `fit` is the head on all of them, and without it that one is solved too. `unit` (N,)
    has one number for pictures that stay together.
    """
    shares = SHARES if fit is not None else (*SHARES, 1.0)
    parts = _parts(unit, train, validation, shares)
    wrong = mistakes(parts)
    points = [_point(len(places), w, validation) for places, w in zip(parts, wrong, strict=True)]
    if fit is not None:
        points.append(_point_of(fit, len(train.rows), validation))
    return _curve(points)


def network_curve(
    build: Callable[[], Any],
    plan: TrainPlan,
    fit: FitResult,
    *,
    train: Pictures,
    validation: Pictures,
    unit: _Rows,
    progress: Progress,
) -> Learning:
    """Return what networks learn from fewer pictures, and in half the epochs that `fit` took.

    `build` returns the untrained network, `unit` is as in `head_curve`.
    """
    parts = _parts(unit, train, validation, SHARES)
    whole = _point_of(fit, len(train.rows), validation)
    epochs = plan.max_epochs if plan.budget_s is None else fit.num_epochs
    # Fewer pictures would perhaps decide otherwise, and the curve say what the change did.
    alike = replace(plan, augmentation=fit.augmentation, augmentation_is_asked=True)

    def learnt(places: _Rows | None, *, share: float, num_epochs: int) -> LearningPoint:
        some = train if places is None else train.some(places)
        budget_s = None if plan.budget_s is None else plan.budget_s * share
        done = train_network(
            build(),
            train=some,
            validation=validation,
            plan=replace(alike, budget_s=budget_s, max_epochs=num_epochs),
            checkpoint_dir=None,
            progress=Silence(),
        )
        return _point_of(done, len(some.rows), validation)

    with progress.stage("learning curve", total=len(parts) + 1) as stage:
        points = []
        for places in parts:
            share = _seconds_of(len(places) / len(train.rows))
            points.append(learnt(places, share=share, num_epochs=epochs))
            stage.advance(1)
        half = learnt(None, share=0.5, num_epochs=math.ceil(epochs / 2))
        stage.advance(1)
    return replace(_curve([*points, whole]), half=half, whole=whole)


def _parts(
    unit: _Rows, train: Pictures, validation: Pictures, shares: Sequence[float]
) -> list[_Rows]:
    """Return parts of the training pictures that are large enough for a point each."""
    num_classes = 1 + int(max(train.labels.max(), validation.labels.max()))
    return subsets(unit, train.labels, shares, least=_LEAST * num_classes)


def subsets(
    unit: _Rows, label: npt.NDArray[np.integer[Any]], shares: Sequence[float], *, least: int
) -> list[_Rows]:
    """Return places of parts of the training pictures, each in the next, units undivided.

    `unit` and `label` are (N,). Each class gives its share, rounded up to whole units; a part of
    fewer than `least` pictures, or as large as the one before, is left out.
    """
    random = np.random.default_rng(0)
    _, first, unit, size = np.unique(
        unit, return_index=True, return_inverse=True, return_counts=True
    )
    before = np.empty(len(size))  # the share of its class that comes before a unit
    for code in np.unique(label[first]):
        mine = random.permutation(np.flatnonzero(label[first] == code))
        total = np.cumsum(size[mine])
        before[mine] = (total - size[mine]) / total[-1]
    parts: list[_Rows] = []
    for share in shares:
        places = np.flatnonzero(before[unit] < share)
        if len(places) >= least and (not parts or len(places) > len(parts[-1])):
            parts.append(places)
    return parts


def units(
    kin: Kin, rows: _Rows, digest: npt.NDArray[np.uint64], label: npt.NDArray[np.integer[Any]]
) -> _Rows:
    """Return a number for each of `rows`, equal for pictures that belong together.

    `digest` and `label` are those of the whole index: copies, near copies and the user's groups.
    """
    number = np.unique(digest[rows], return_inverse=True)[1]
    if kin.groups is not None:
        groups = kin.groups[rows]
        alone = int(kin.groups.max()) + 1 + np.arange(len(rows))
        number = _whole(number, np.where(groups < 0, alone, groups))
    group = np.full(len(label), -1, np.intp)
    group[rows] = np.unique(number, return_inverse=True)[1]
    if kin.near is not None:
        group = joined(group, kin.near, np.maximum(label, 0))
    return group[rows]


def _whole(one: _Rows, other: _Rows) -> _Rows:
    """Return numbers (n,), equal where `one` or `other` is, and along any chain of these.

    Both are facts, so nothing bounds what they join, as the near pairs that are judged are bounded.
    """
    ties = [np.unique(column, return_inverse=True)[1] for column in (one, other)]
    number = np.arange(len(one))
    while True:
        before = number
        for tie in ties:
            least = np.full(len(number), len(number))
            np.minimum.at(least, tie, number)
            number = least[tie]
        if np.array_equal(number, before):
            return number


def _curve(points: list[LearningPoint]) -> Learning:
    if len({point.num_train for point in points}) < LEAST_POINTS:
        return Learning(why_not="cannot be told: they are too few to train on parts of them")
    return Learning(curve=fit_learning_curve(points))


def _point(num_train: int, num_wrong: int, validation: Pictures) -> LearningPoint:
    return LearningPoint(num_train=num_train, num_wrong=num_wrong, num_scored=len(validation.rows))


def _point_of(fit: FitResult, num_train: int, validation: Pictures) -> LearningPoint:
    """Return the point of the epoch that was kept."""
    right = fit.history["val_accuracy"][fit.best_epoch - 1]
    return _point(num_train, round((1 - right) * len(validation.rows)), validation)
