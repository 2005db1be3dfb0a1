"""What a classifier says of pictures that it was not trained on: out-of-fold probabilities.

    guesses = guess(source, index, looks, LabelSettings(budget_s=120), progress=progress)
    guesses.probabilities[7]  # (C,), of picture guesses.rows[7], by a classifier that never saw it

The labelled pictures are dealt into four folds, each class alike; equal pictures, near copies and
the user's groups into one, since a wrong label that its copy was learned with would look right.
Each fold is asked of a classifier that was trained on the other three (Stone, "Cross-validatory
choice and assessment of statistical predictions", 1974). The classifier is `auto`'s network,
trained for a share of the budget, or, with the weights of a network that was trained on other
pictures, a logistic regression on its features. Pictures of a test part take no part: labels
changed after what a network thinks of them would make its score too good.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from saccade.check.thumbnails import Looks
from saccade.check.units import askable, chosen, units_of
from saccade.data import (
    ALONE,
    Cache,
    Index,
    Kin,
    Source,
    build_cache,
    deal_folds,
    group_rows,
)
from saccade.errors import DataError, MissingExtraError, SettingsError
from saccade.evaluation import apply_temperature, fit_temperature
from saccade.progress import Progress, Silence

if TYPE_CHECKING:
    from saccade.training import Facts, TrainPlan

DEFAULT_BUDGET_S: Final = 120.0
NUM_FOLDS: Final = 4
LEAST: Final = 20  # different pictures of a class; of fewer, three quarters teach nothing
TOO_FEW: Final = (
    f"judging labels takes two classes of {LEAST} different pictures outside the test part, in "
    f"{NUM_FOLDS} or more groups that hold no copies of each other"
)
_WATCHING: Final = 10  # one in so many of the fitted pictures says when to stop
_LEAST_S: Final = 1.0  # of training a fold, whatever the budget
# Inverse strength of the regression's penalty: of 2,000 training pictures of cats and dogs with 5 %
# of the labels flipped, three times, 0.001, 0.01 and 0.1 found 73, 73 and 66 % of them.
_RIDGE: Final = 0.003

_Floats = npt.NDArray[np.float32]
_Rows = npt.NDArray[np.intp]
# From places of fitted and of held pictures, and seconds to train, to the held ones' probabilities.
_Answer = Callable[[_Rows, _Rows, float], _Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSettings:
    """What judging the labels may take."""

    budget_s: float = DEFAULT_BUDGET_S  # for training all folds; a regression takes what it takes
    epochs: int | None = None  # in place of the time: the same on every machine
    weights: Path | None = None  # a file of Keras's, such as mobilenet_2_5_224_tf_no_top.h5
    group: str | None = None  # which pictures belong together, as for `saccade train --group`


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Guesses:
    """Out-of-fold probabilities; all columns have one entry a picture that was asked about."""

    rows: _Rows  # (n,) of the index
    classes: tuple[str, ...]  # those with enough pictures
    label: _Rows  # (n,) the picture's label as it stands, a place in `classes`
    probabilities: _Floats  # (n, classes), each row sums to 1


def check(settings: LabelSettings) -> None:
    """Raise what can be known before a picture is read; imports nothing heavy.

    MissingExtraError unless what judges labels is installed, SettingsError for weights that are no
    file, or do not say whose they are.
    """
    from saccade import models

    models.check_installed()
    for package in ("cleanlab", "sklearn"):
        if find_spec(package) is None:
            raise MissingExtraError(
                needed_for=f"judging labels ({package} is missing)", extra="train"
            )
    if settings.weights is not None:
        _named(settings.weights)
        if not settings.weights.is_file():
            raise SettingsError(f"no weights file {settings.weights}; give the path of an .h5 file")


def named_groups(source: Source, index: Index, settings: LabelSettings) -> _Rows | None:
    """Return an (N,) number for each group that the user names, -1 for none; None without any.

    Raises SettingsError where the text of the groups finds nothing.
    """
    if settings.group in (None, ALONE):
        return None
    return group_rows(source, index, settings.group)


def guess(
    source: Source,
    index: Index,
    looks: Looks,
    settings: LabelSettings,
    *,
    kin: Kin | None = None,
    progress: Progress,
) -> Guesses:
    """Return out-of-fold probabilities of the labelled pictures that are in no test part.

    Pictures that belong together by `kin` are asked about together. Raises DataError without two
    classes of 20 pictures, SettingsError for weights that are no such file.
    """
    began = time.monotonic()
    kin = kin or Kin()
    codes = large_classes(index, looks, kin)
    if len(codes) < 2:
        raise DataError(f"{source.name}: {TOO_FEW}, found {len(codes)}")
    rows = np.flatnonzero(askable(index, looks) & np.isin(index.label, codes))
    label = np.searchsorted(codes, index.label[rows])
    asked = _Asked(source=source, index=index, rows=rows, label=label, progress=progress)
    fold = deal(index, looks, rows, kin)
    if settings.weights is None:
        answer = _network(asked, settings)
    else:
        answer = _regression(asked, settings.weights, settings)
    probabilities = np.empty((len(rows), len(codes)), np.float32)
    with progress.stage("labels", NUM_FOLDS) as stage:
        for number in range(NUM_FOLDS):
            left_s = (settings.budget_s - (time.monotonic() - began)) / (NUM_FOLDS - number)
            fitted, held = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
            probabilities[held] = answer(fitted, held, max(left_s, _LEAST_S))
            stage.advance()
    classes = tuple(index.classes[code] for code in codes)
    return Guesses(rows=rows, classes=classes, label=label, probabilities=probabilities)


def deal(index: Index, looks: Looks, rows: _Rows, kin: Kin) -> _Rows:
    """Return the fold of each of `rows`, (n,) from 0: classes alike in all, kin in one.

    Raises DataError where groups leave a class too few to lie in every fold.
    """
    try:
        some, digest, kin = chosen(index, looks, rows, kin)
        return deal_folds(some, digest, folds=NUM_FOLDS, seed=0, kin=kin)[rows]
    except DataError as error:  # whose cure speaks of the folds of training
        raise DataError(
            f"judging labels takes {NUM_FOLDS} groups of each class that have no picture in common;"
            " name smaller groups, or none"
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Asked:
    """The pictures that are asked about."""

    source: Source
    index: Index
    rows: _Rows
    label: _Rows
    progress: Progress

    @property
    def num_classes(self) -> int:
        return int(self.label.max()) + 1

    def cached(self, plan: TrainPlan) -> Cache:
        return build_cache(self.source, self.index, plan.preprocessing, progress=self.progress)[0]


def large_classes(index: Index, looks: Looks, kin: Kin | None = None) -> _Rows:
    """Return the codes of the classes with enough different pictures to judge labels, in order.

    And with a unit for each fold, where copies and the groups of `kin` are one. These are the
    classes that `deal` can deal: a class less may change what belongs together in the others.
    """
    codes, num_classes = present(index, looks), len(index.classes)
    rows = np.flatnonzero(askable(index, looks))
    _, first = np.unique(looks.digest[rows].astype(str), return_index=True)
    num_different = np.bincount(index.label[rows[first]], minlength=num_classes)
    codes = codes[num_different[codes] >= LEAST]
    while len(codes):
        some = rows[np.isin(index.label[rows], codes)]
        unit = units_of(index, looks, some, kin or Kin(), num_parts=NUM_FOLDS)
        pairs = np.unique(np.stack([index.label[some], unit]), axis=1)
        left = codes[np.bincount(pairs[0], minlength=num_classes)[codes] >= NUM_FOLDS]
        if len(left) == len(codes):
            break
        codes = left
    return codes


def present(index: Index, looks: Looks) -> _Rows:
    """Return the codes of the classes with a picture to ask about, in order."""
    codes: _Rows = np.unique(index.label[askable(index, looks)]).astype(np.intp)
    return codes


def _network(asked: _Asked, settings: LabelSettings) -> _Answer:
    """Return what trains `auto`'s network on some pictures and asks it about others."""
    from saccade.models import build_model, engine_name, set_seed
    from saccade.training import Pictures, derive_plan, logits_of, train_network

    engine_name()  # imports what trains
    plan = derive_plan(_facts(asked, settings))
    cache = asked.cached(plan)

    def some(places: _Rows) -> Pictures:
        return Pictures(cache.pixels, asked.rows[places], asked.label[places])

    def answer(fitted: _Rows, held: _Rows, seconds: float) -> _Floats:
        set_seed(plan.seed)
        network = build_model(
            "auto", input_shape=plan.input_shape, num_classes=asked.num_classes, design=plan.design
        )
        fitted = np.random.default_rng(0).permutation(fitted)
        num_watching = len(fitted) // _WATCHING
        watching = some(fitted[:num_watching])
        train_network(
            network,
            train=some(fitted[num_watching:]),
            validation=watching,
            plan=replace(plan, budget_s=None if settings.epochs else seconds),
            checkpoint_dir=None,
            progress=Silence(),
        )
        temperature = fit_temperature(
            logits_of(network, watching, progress=Silence()), watching.labels
        )
        return apply_temperature(logits_of(network, some(held), progress=Silence()), temperature)

    return answer


def _facts(asked: _Asked, settings: LabelSettings) -> Facts:
    from saccade.training import Facts

    return Facts.measured(
        asked.index,
        asked.rows,
        num_classes=asked.num_classes,
        num_train=len(asked.rows) * (NUM_FOLDS - 1) // NUM_FOLDS,
        budget_s=None if settings.epochs else settings.budget_s / NUM_FOLDS,
        epochs=settings.epochs,
    )


def _regression(asked: _Asked, weights: Path, settings: LabelSettings) -> _Answer:
    """Return what fits a regression on features of some pictures and asks it about others."""
    from saccade.models import BackboneDesign
    from saccade.training import derive_plan
    from saccade.transfer import backbone, kept_features

    name = _named(weights)
    design = BackboneDesign(name=name, weights=str(weights), cut=None, fine_tune=False)
    plan = derive_plan(_facts(asked, settings), backbone=design)
    body = backbone(name, plan.height_px, weights=weights)
    features = kept_features(body, asked.cached(plan), progress=asked.progress)[asked.rows]

    def answer(fitted: _Rows, held: _Rows, _: float) -> _Floats:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        model = make_pipeline(StandardScaler(), LogisticRegression(C=_RIDGE, max_iter=1_000))
        model.fit(features[fitted], asked.label[fitted])
        told = np.zeros((len(held), asked.num_classes), np.float32)
        told[:, model.classes_] = model.predict_proba(features[held])
        return told

    return answer


def _named(weights: Path) -> str:
    """Return the backbone whose weights a file holds, by the file's name."""
    from saccade.models import backbone_of_file

    name = backbone_of_file(weights)
    if name is None:
        raise SettingsError(
            "--weights takes a file of keras.applications under its own name, such as "
            f"mobilenet_2_5_224_tf_no_top.h5, got {weights.name}"
        )
    return name
