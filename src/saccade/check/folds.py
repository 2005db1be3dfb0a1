"""What a classifier says of pictures that it was not trained on: out-of-fold probabilities.

    guesses = guess(source, index, looks, LabelSettings(budget_s=120), progress=progress)
    guesses.probabilities[7]  # (C,), of picture guesses.rows[7], by a classifier that never saw it

The labelled pictures are dealt into four folds, class by class, equal pictures into one; each fold
is asked of a classifier that was trained on the other three (Stone, "Cross-validatory choice and
assessment of statistical predictions", 1974). The classifier is `auto`'s network, trained for a
share of the budget, or, with the weights of a network that was trained on other pictures, a
logistic regression on its features. Pictures of a test part take no part: labels changed after what
a network thinks of them would make its score too good.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from saccade.check.thumbnails import Looks
from saccade.data import Cache, Index, Preprocessing, Source, build_cache
from saccade.errors import DataError, MissingExtraError, SettingsError
from saccade.evaluation import apply_temperature, fit_temperature
from saccade.progress import Progress, Silence
from saccade.types import PARTS

if TYPE_CHECKING:
    from saccade.training import Facts

DEFAULT_BUDGET_S: Final = 120.0
NUM_FOLDS: Final = 4
LEAST: Final = 20  # pictures of a class; of fewer, three quarters teach nothing
_WATCHING: Final = 10  # one in so many of the fitted pictures says when to stop
_LEAST_S: Final = 1.0  # of training a fold, whatever the budget
# How Keras names the files of its MobileNets without their heads: width in percent, and side.
_FILE_NAME: Final = re.compile(r"mobilenet_(\d+)_(\d)_(\d+)_tf_no_top\.h5")
# Inverse strength of the regression's penalty: of 2,000 training pictures of cats and dogs with 5 %
# of the labels flipped, three times, 0.001, 0.01 and 0.1 found 73, 73 and 66 % of them.
_RIDGE: Final = 0.003
_HALVED: Final = 32  # px; a MobileNet halves a picture five times

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Guesses:
    """Out-of-fold probabilities; all columns have one entry a picture that was asked about."""

    rows: _Rows  # (n,) of the index
    classes: tuple[str, ...]  # those with enough pictures
    label: _Rows  # (n,) the picture's label as it stands, a place in `classes`
    probabilities: _Floats  # (n, classes), each row sums to 1


def check_installed() -> None:
    """Raise MissingExtraError unless what judges labels is installed; imports none of it."""
    from saccade import models

    models.check_installed()
    for package in ("cleanlab", "sklearn"):
        if find_spec(package) is None:
            raise MissingExtraError(
                needed_for=f"judging labels ({package} is missing)", extra="train"
            )


def guess(
    source: Source, index: Index, looks: Looks, settings: LabelSettings, *, progress: Progress
) -> Guesses:
    """Return out-of-fold probabilities of the labelled pictures that are in no test part.

    Raises DataError without two classes of 20 pictures, SettingsError for weights that are no such
    file.
    """
    began = time.monotonic()
    rows, codes = _asked(index, looks, source.name)
    label = np.searchsorted(codes, index.label[rows])
    asked = _Asked(source=source, index=index, rows=rows, label=label, progress=progress)
    if settings.weights is None:
        answer = _network(asked, settings)
    else:
        answer = _regression(asked, settings.weights)
    fold = deal(label, looks.digest[rows].astype(str))
    probabilities = np.empty((len(rows), len(codes)), np.float32)
    with progress.stage("labels", NUM_FOLDS) as stage:
        for number in range(NUM_FOLDS):
            left_s = (settings.budget_s - (time.monotonic() - began)) / (NUM_FOLDS - number)
            fitted, held = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
            probabilities[held] = answer(fitted, held, max(left_s, _LEAST_S))
            stage.advance()
    classes = tuple(index.classes[code] for code in codes)
    return Guesses(rows=rows, classes=classes, label=label, probabilities=probabilities)


def deal(label: _Rows, digest: npt.NDArray[np.str_]) -> _Rows:
    """Return each picture's fold, (n,) from 0: classes alike in all, equal pictures in one."""
    _, first, group = np.unique(digest, return_index=True, return_inverse=True)
    order = np.random.default_rng(0).permutation(len(first))
    order = order[np.argsort(label[first[order]], kind="stable")]
    fold_of_group = np.empty(len(first), np.intp)
    fold_of_group[order] = np.arange(len(first)) % NUM_FOLDS
    fold: _Rows = fold_of_group[group]
    return fold


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Asked:
    """The pictures that are asked about."""

    source: Source
    index: Index
    rows: _Rows
    label: _Rows
    progress: Progress

    def cached(self, preprocessing: Preprocessing) -> Cache:
        return build_cache(self.source, self.index, preprocessing, progress=self.progress)[0]


def _asked(index: Index, looks: Looks, name: str) -> tuple[_Rows, _Rows]:
    """Return the rows to ask about, and the codes of their classes, in order."""
    mask = looks.seen & (index.label >= 0) & (index.part != PARTS.index("test"))
    counts = np.bincount(index.label[mask], minlength=len(index.classes))
    codes = np.flatnonzero(counts >= LEAST)
    if len(codes) < 2:
        raise DataError(
            f"{name}: labels can be judged where two classes have {LEAST} usable pictures outside "
            f"the test part, found {len(codes)} such; add pictures, or leave out --labels"
        )
    return np.flatnonzero(mask & np.isin(index.label, codes)), codes


def _network(asked: _Asked, settings: LabelSettings) -> _Answer:
    """Return what trains `auto`'s network on some pictures and asks it about others."""
    from saccade.models import build_model, engine_name, set_seed
    from saccade.training import Hooks, Pictures, derive_plan, logits_of, train_network

    engine_name()  # imports what trains
    num_classes = int(asked.label.max()) + 1
    plan = derive_plan(_facts(asked, num_classes, settings))
    cache = asked.cached(
        Preprocessing(
            height_px=plan.height_px, width_px=plan.width_px, channels=plan.channels, fit=plan.fit
        )
    )

    def some(places: _Rows) -> Pictures:
        return Pictures(cache.pixels, asked.rows[places], asked.label[places])

    def answer(fitted: _Rows, held: _Rows, seconds: float) -> _Floats:
        set_seed(plan.seed)
        network = build_model(
            "auto", input_shape=plan.input_shape, num_classes=num_classes, design=plan.design
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
            hooks=Hooks(),
            progress=Silence(),
        )
        temperature = fit_temperature(
            logits_of(network, watching, progress=Silence()), watching.labels
        )
        return apply_temperature(logits_of(network, some(held), progress=Silence()), temperature)

    return answer


def _facts(asked: _Asked, num_classes: int, settings: LabelSettings) -> Facts:
    from saccade.training import Facts, measure_rate

    index, rows = asked.index, asked.rows
    sizes = np.stack([index.width_px[rows], index.height_px[rows]])
    width, height = np.median(sizes, axis=1)
    return Facts(
        width_px=int(width),
        height_px=int(height),
        same_size=bool((sizes == sizes[:, :1]).all()),
        channels=1 if all("grey" in flags.split(";") for flags in index.flags[rows]) else 3,
        num_classes=num_classes,
        num_train=len(rows) * (NUM_FOLDS - 1) // NUM_FOLDS,
        budget_s=None if settings.epochs else settings.budget_s / NUM_FOLDS,
        epochs=settings.epochs,
        rate=measure_rate(),
    )


def _regression(asked: _Asked, weights: Path) -> _Answer:
    """Return what fits a regression on features of some pictures and asks it about others."""
    from saccade.transfer import backbone, kept_features

    name, largest = _named(weights)
    side = _side(asked, largest)
    body = backbone(name, side, weights=weights)
    cache = asked.cached(Preprocessing(height_px=side, width_px=side, channels=3, fit="pad"))
    features = kept_features(body, cache, progress=asked.progress)[asked.rows]

    def answer(fitted: _Rows, held: _Rows, _: float) -> _Floats:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        model = make_pipeline(StandardScaler(), LogisticRegression(C=_RIDGE, max_iter=1_000))
        model.fit(features[fitted], asked.label[fitted])
        told = np.zeros((len(held), int(asked.label.max()) + 1), np.float32)
        told[:, model.classes_] = model.predict_proba(features[held])
        return told

    return answer


def _side(asked: _Asked, largest: int) -> int:
    """Return the pictures' own longer side, rounded up to what halves five times, within limits."""
    rows = asked.rows
    own = np.median(np.maximum(asked.index.width_px[rows], asked.index.height_px[rows]))
    return int(min(largest, max(_HALVED, np.ceil(own / _HALVED) * _HALVED)))


def _named(weights: Path) -> tuple[str, int]:
    """Return the backbone, and the side of what it was trained on, by the name of its file."""
    found = _FILE_NAME.fullmatch(weights.name)
    if found is None:
        raise SettingsError(
            f"--weights takes a file of Keras's MobileNet under its own name, such as "
            f"mobilenet_2_5_224_tf_no_top.h5, got {weights.name}"
        )
    whole, tenths, side = found.groups()
    width = float(f"{whole}.{tenths}") / (1 if whole == "1" else 10)
    return f"MobileNet-{width:g}", int(side)
