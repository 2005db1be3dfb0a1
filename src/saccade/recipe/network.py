"""The network of one training: built, given its time, trained, and what more would teach it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from saccade.config import TrainSettings
from saccade.doctor import Case, DataFacts, warnings_before_training
from saccade.models import MODEL_NAMES, build_model, set_seed
from saccade.progress import Progress
from saccade.recipe.clock import Clock
from saccade.recipe.ending import Ending, seconds_of_ending
from saccade.recipe.learning import Learning, head_curve, network_curve, training_share, units
from saccade.recipe.prepare import Prepared, time_left, with_budget
from saccade.training import FitResult, train_network
from saccade.transfer import fine_tune as tune
from saccade.transfer import head_mistakes, train_head, with_head
from saccade.types import TRAIN, VALIDATION


def build(prepared: Prepared, settings: TrainSettings) -> Any:
    """Return the network before its first step."""
    plan = prepared.plan
    set_seed(plan.seed)  # the first weights are drawn while the network is built
    if prepared.body is not None:
        return with_head(prepared.body, len(prepared.classes))
    return build_model(
        settings.model,
        input_shape=plan.input_shape,
        num_classes=len(prepared.classes),
        design=plan.design,
        several_labels=prepared.sets is not None,
    )


def note_mistakes(
    network: Any, prepared: Prepared, settings: TrainSettings, *, progress: Progress
) -> None:
    """Say before training what the doctor finds seriously wrong with a network of the user's."""
    if prepared.body is not None or settings.model in MODEL_NAMES:
        return
    facts = DataFacts(
        low=0.0,  # what training hands over, whatever the pictures hold
        high=255.0,
        num_rows=len(prepared.pictures(TRAIN).rows),
        are_pictures=True,
        num_classes=len(prepared.classes),
    )
    for text in warnings_before_training(Case.of(network, data=facts)):
        progress.note(text)


def rehearsed(
    network: Any, prepared: Prepared, settings: TrainSettings, *, clock: Clock, progress: Progress
) -> Ending | None:
    """Return how long the ending will take; None where no work hangs on time."""
    backbone = prepared.plan.backbone
    if settings.budget_s is None or (backbone is not None and not backbone.fine_tune):
        return None
    with clock.stage("rehearse"):
        return seconds_of_ending(network, prepared, progress=progress)


def with_time_left(
    prepared: Prepared,
    settings: TrainSettings,
    *,
    clock: Clock,
    after_s: float | None,
    trainings: int = 1,
) -> Prepared:
    """Return the same with its share of the time left, which so many trainings have in common.

    `after_s` is what else is still to be done, in seconds; None where no work hangs on time.
    """
    if after_s is None or settings.budget_s is None:
        return prepared
    left_s = time_left(settings.budget_s, clock, after_s) / trainings
    return with_budget(prepared, left_s * training_share(settings, prepared.plan.backbone))


def train_one(
    network: Any, prepared: Prepared, *, checkpoint_dir: Path, progress: Progress
) -> FitResult:
    """Train the network in place, or go on from the checkpoint; return how it went."""
    plan, body = prepared.plan, prepared.body
    train, validation = prepared.pictures(TRAIN), prepared.pictures(VALIDATION)
    pictures: dict[str, Any] = {"train": train, "validation": validation, "progress": progress}
    if body is None or plan.backbone is None:
        return train_network(network, plan=plan, checkpoint_dir=checkpoint_dir, **pictures)
    fit = train_head(
        network, body, prepared.cache, seed=plan.seed, featured=prepared.featured, **pictures
    )
    if not plan.backbone.fine_tune:
        return fit
    return tune(network, fit, plan, checkpoint_dir=checkpoint_dir, **pictures)


def learn(
    prepared: Prepared,
    settings: TrainSettings,
    fit: FitResult,
    *,
    clock: Clock,
    progress: Progress,
) -> Learning:
    """Measure what more pictures and more time are worth, where that is cheap or asked for.

    Of several labels a picture nothing is: the curve counts pictures that are named wrong.
    """
    if settings.multi_label or (prepared.body is None and not settings.learning_curve):
        return Learning()
    with clock.stage("learning curve"):
        return _measured(prepared, settings, fit, progress=progress)


def _measured(
    prepared: Prepared, settings: TrainSettings, fit: FitResult, *, progress: Progress
) -> Learning:
    body, backbone = prepared.body, prepared.plan.backbone
    train, validation = prepared.pictures(TRAIN), prepared.pictures(VALIDATION)
    digest, label = prepared.cache.pixel_digest, prepared.index.label
    unit = units(prepared.kinship.kin, train.rows, digest, label)
    parts: dict[str, Any] = {"train": train, "validation": validation, "unit": unit}
    if body is None or backbone is None:
        untrained = partial(build, prepared, settings)
        return network_curve(untrained, prepared.plan, fit, progress=progress, **parts)
    mistakes = partial(
        head_mistakes,
        body,
        prepared.cache,
        train=train,
        validation=validation,
        featured=prepared.featured,
        progress=progress,
    )
    return head_curve(mistakes, None if backbone.fine_tune else fit, **parts)
