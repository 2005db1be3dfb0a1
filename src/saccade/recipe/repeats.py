"""Repeats: the same split, trained again with other seeds, to tell how much of a figure is chance.

    repeats = in_repeats(prepared, settings)         # all but the one that is shipped
    judged = judge_each(repeats, request, …)
    verdict = with_repeats(verdict, judged, …)

The network of the seed that was asked for is shipped, as it would be without repeats, and the run's
figures are its own. The others have other first weights and another order of the pictures, and are
asked about the same test pictures. What they say beside the first gives the accuracy over trainings
and pictures (`saccade.evaluation.trainings.crossed`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from saccade.config import SEEDS, TrainSettings
from saccade.errors import SettingsError
from saccade.evaluation import Evaluation, Training, Trainings, crossed, pooled
from saccade.predict import Classifier
from saccade.recipe.folds import Judged, common_of
from saccade.recipe.judge import Verdict
from saccade.recipe.prepare import Prepared
from saccade.training import FitResult


def in_repeats(prepared: Prepared, settings: TrainSettings) -> tuple[Prepared, ...]:
    """Return the same split once for each further repeat, with another seed to train by.

    Raises SettingsError for a head on frozen features, which comes out the same from every seed.
    """
    backbone = prepared.plan.backbone
    if backbone is not None and not backbone.fine_tune:
        raise SettingsError(
            f"--repeats trains with other seeds, and a head on {backbone.name}, frozen, hangs on "
            "none; add --folds 5, for other folds each time, or leave --repeats out"
        )
    return tuple(
        replace(prepared, plan=replace(prepared.plan, seed=(settings.seed + number) % SEEDS))
        for number in range(1, settings.repeats)
    )


def with_repeats(
    verdict: Verdict,
    judged: Sequence[Judged],
    repeats: Sequence[Prepared],
    *,
    classifier: Classifier,
    fit: FitResult,
    seed: int,
) -> Verdict:
    """Return the verdict on the network that is shipped, with those on the others beside it."""
    own = verdict.evaluation
    if not isinstance(own, Evaluation):
        raise ValueError("repeats are of one class a picture")
    shipped = Training.of(
        own, seed=seed, repeat=0, fold=None, best_epoch=fit.best_epoch, seconds=fit.seconds
    )
    common = common_of(classifier)
    others = tuple(
        one.told(
            pooled([one.answers], threshold=one.answers.threshold, **common),
            seed=training.plan.seed,
            repeat=number,
            fold=None,
        )
        for number, (one, training) in enumerate(zip(judged, repeats, strict=True), 1)
    )
    predicted = [verdict.predicted, *(one.answers.predicted for one in judged)]
    trainings = Trainings(
        folds=None,
        repeats=1 + len(judged),
        accuracy=crossed(np.stack(predicted) == verdict.labels),
        each=(shipped, *others),
    )
    return replace(verdict, trainings=trainings)
