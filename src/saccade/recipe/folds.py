"""Cross-validation: pictures in folds, a training for each fold, and what they say together.

    folds = in_folds(prepared, settings)             # each with another test part
    judged = judge_each(folds, request, …)           # trains; finished ones are read
    verdict = verdict_of(judged, folds, prepared, …)

Every usable picture is in the test part of one fold (Stone, "Cross-validatory choice and assessment
of statistical predictions", 1974); what is left of the fold trains, but for a validation part of
its own. The classifier that is shipped is one more training, on all pictures but a validation part:
it has seen more than those that were judged, so the figures are a little too low for it, if
anything. What the folds say is kept beside the checkpoint, so that a stopped job goes on with the
fold that it was at.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from saccade.config import SEEDS, TrainSettings
from saccade.data import deal_folds, fold_apart, split_index
from saccade.evaluation import (
    Answers,
    Evaluation,
    Training,
    Trainings,
    apply_temperature,
    averaged,
    pooled,
    predicted_classes,
    widened,
)
from saccade.predict import Classifier
from saccade.progress import Progress
from saccade.recipe.balance import with_balance
from saccade.recipe.clock import Clock
from saccade.recipe.ending import Ending
from saccade.recipe.judge import Verdict, calibrate
from saccade.recipe.network import build, train_one, with_time_left
from saccade.recipe.prepare import Prepared, build_body
from saccade.recipe.request import Request
from saccade.recipe.views import choose_answering
from saccade.training import FitResult, logits_of
from saccade.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from saccade.types import TEST, VALIDATION


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """One training: what it says of its test pictures, and how it went."""

    rows: npt.NDArray[np.intp]  # (n,) of the index
    answers: Answers
    best_epoch: int
    seconds: float

    def told(self, figures: Evaluation, *, seed: int, repeat: int, fold: int | None) -> Training:
        """Return the training with its figures for the report; `repeat` and `fold` are from 0."""
        return Training.of(
            figures,
            seed=seed,
            repeat=repeat,
            fold=fold,
            best_epoch=self.best_epoch,
            seconds=self.seconds,
        )


def in_folds(prepared: Prepared, settings: TrainSettings) -> tuple[Prepared, ...]:
    """Return the same pictures once for each fold, which is the test part there.

    A repeat deals the folds anew; its folds come after those before. Each has a seed of its own, so
    that the trainings differ in all that chance decides. Raises DataError where a class has too few
    different pictures or groups.
    """
    with prepared.kinship.naming_series():
        return tuple(_folds(prepared, settings))


def _folds(prepared: Prepared, settings: TrainSettings) -> Iterator[Prepared]:
    index, digest, kin = prepared.index, prepared.cache.pixel_digest, prepared.kinship.kin
    num_folds, seed = settings.folds or 0, settings.seed
    for number in range(num_folds * settings.repeats):
        repeat, place = divmod(number, num_folds)
        if place == 0:
            dealt_seed = (seed + repeat) % SEEDS
            fold = deal_folds(index, digest, folds=num_folds, seed=dealt_seed, kin=kin)
        own_seed = (seed + 1 + number) % SEEDS
        split = split_index(fold_apart(index, fold == place), digest, seed=own_seed, kin=kin)
        plan = with_balance(prepared.plan, split, settings)
        yield replace(
            prepared,
            index=split,
            plan=replace(plan, seed=own_seed),
            featured=np.flatnonzero(split.usable),
        )


def judge_each(
    trainings: Sequence[Prepared],
    request: Request,
    *,
    share_s: float | None,
    ending: Ending | None,
    clock: Clock,
    progress: Progress,
) -> tuple[Judged, ...]:
    """Train each and ask the network about its test pictures; `share_s` is the time of each.

    Where time runs short, what is left less the `ending` and what comes with each is shared evenly.
    """
    judged: list[Judged] = []
    beside_s = 0.0 if ending is None else ending.asking_s  # what each takes besides training
    for number, training in enumerate(trainings, 1):
        kept = request.folder / "checkpoint" / f"training-{number}"
        found = _read(kept / "answers")
        if found is None:
            progress.note(f"training {number} of {len(trainings) + 1}")
            left = len(trainings) - number + 1
            after_s = None if ending is None else ending.shipping_s + left * beside_s
            began = clock.elapsed_s
            timed = with_share(
                training,
                request.settings,
                share_s,
                clock=clock,
                after_s=after_s,
                trainings=left + 1,
            )
            found = _judge(timed, request.settings, kept, clock=clock, progress=progress)
            beside_s = clock.elapsed_s - began - found.seconds
        judged.append(found)
    return tuple(judged)


def with_share(
    prepared: Prepared,
    settings: TrainSettings,
    share_s: float | None,
    *,
    clock: Clock,
    after_s: float | None,
    trainings: int,
) -> Prepared:
    """Return the same with `share_s` of time to train, or less where so many must do with less."""
    timed = with_time_left(prepared, settings, clock=clock, after_s=after_s, trainings=trainings)
    if share_s is None or timed.plan.budget_s is None:
        return timed
    plan = replace(timed.plan, budget_s=min(share_s, timed.plan.budget_s))
    return replace(timed, plan=plan)


def verdict_of(
    judged: Sequence[Judged],
    folds: Sequence[Prepared],
    prepared: Prepared,
    *,
    classifier: Classifier,
    settings: TrainSettings,
) -> Verdict:
    """Return what all folds say together of every picture, in the order of the rows.

    Of repeated foldings the figures are means, and the answers and counts those of the first.
    """
    num_folds = settings.folds or len(judged)
    figures, each = _figures([one.answers for one in judged], classifier, num_folds)
    first = judged[:num_folds]
    order = np.argsort(np.concatenate([one.rows for one in first]))

    def all_of(column: Callable[[Judged], Any]) -> Any:
        return np.concatenate([column(one) for one in first])[order]

    rows, labels = all_of(lambda one: one.rows), all_of(lambda one: one.answers.labels)
    predicted = all_of(lambda one: one.answers.predicted)
    trainings = tuple(
        one.told(alone, seed=fold.plan.seed, repeat=number // num_folds, fold=number % num_folds)
        for number, (one, fold, alone) in enumerate(zip(judged, folds, each, strict=True))
    )
    return Verdict(
        probabilities=all_of(lambda one: one.answers.probabilities),
        rows=rows,
        labels=labels,
        predicted=predicted,
        sure=all_of(lambda one: one.answers.sure),
        evaluation=figures,
        leak=prepared.kinship.leak(
            [one.index for one in folds[:num_folds]], rows, predicted == labels
        ),
        trainings=Trainings(
            folds=num_folds, repeats=settings.repeats, accuracy=figures.accuracy, each=trainings
        ),
        fold=np.repeat(np.arange(1, num_folds + 1), [len(one.rows) for one in first])[order],
    )


def _figures(
    answers: Sequence[Answers], classifier: Classifier, num_folds: int
) -> tuple[Evaluation, list[Evaluation]]:
    """Return the figures over all folds, and those of each by itself."""
    common = common_of(classifier)
    each = [pooled([one], threshold=one.threshold, **common) for one in answers]
    foldings = [
        pooled(
            answers[start : start + num_folds], threshold=classifier.manifest.threshold, **common
        )
        for start in range(0, len(answers), num_folds)
    ]
    return widened(averaged(foldings), each, held_out=1 / (num_folds - 1)), each


def common_of(classifier: Classifier) -> dict[str, Any]:
    """Return what `pooled` takes that is the same for all trainings."""
    manifest = classifier.manifest
    return {
        "classes": manifest.classes,
        "baseline_class": manifest.provenance["baseline_class"],
        "target_error_rate": manifest.target_error_rate,
        "point": manifest.operating_point,
    }


def _judge(
    fold: Prepared, settings: TrainSettings, kept: Path, *, clock: Clock, progress: Progress
) -> Judged:
    """Train for one fold and keep what the network says; its checkpoint has then served."""
    backbone = fold.plan.backbone
    if backbone is not None and backbone.fine_tune:  # else it would know what other folds taught it
        fold = replace(fold, body=build_body(backbone, fold.plan))
    network = build(fold, settings)
    with clock.stage("train"):
        fit = train_one(network, fold, checkpoint_dir=kept / "state", progress=progress)
    with clock.stage("test"):
        judged = _asked(network, fold, fit, settings, progress=progress)
    _write(kept / "answers", judged)
    shutil.rmtree(kept / "state", ignore_errors=True)
    return judged


def _asked(
    network: Any, fold: Prepared, fit: FitResult, settings: TrainSettings, *, progress: Progress
) -> Judged:
    """Calibrate the network on its validation part, and ask it about its test part."""
    classes = fold.index.classes
    validation, test = fold.pictures(VALIDATION), fold.pictures(TEST)
    answering = choose_answering(network, fold, fit, progress=progress)
    calibration = calibrate(
        answering.logits,
        validation.labels,
        classes=classes,
        wish=settings.wish,
        weights=fold.plan.class_weights,
    )
    logits = logits_of(answering.network, test, progress=progress)
    probabilities = apply_temperature(logits, calibration.temperature)
    predicted = predicted_classes(
        probabilities,
        classes=classes,
        point=calibration.operating_point,
        weights=calibration.class_weights,
    )
    return Judged(
        rows=test.rows,
        answers=Answers(
            labels=test.labels,
            probabilities=probabilities,
            predicted=predicted,
            threshold=calibration.threshold,
        ),
        best_epoch=fit.best_epoch,
        seconds=fit.seconds,
    )


def _write(folder: Path, judged: Judged) -> None:
    answers = judged.answers
    arrays = {
        "rows": judged.rows,
        "labels": answers.labels,
        "probabilities": answers.probabilities,
        "predicted": answers.predicted,
    }
    document = {
        "threshold": answers.threshold,
        "best_epoch": judged.best_epoch,
        "seconds": judged.seconds,
    }
    write_checkpoint(folder, Checkpoint(arrays=arrays, document=document))


def _read(folder: Path) -> Judged | None:
    """Return what a fold's training said before the job was stopped; None where it did not."""
    found = read_checkpoint(folder)
    if found is None:
        return None
    arrays = dict(found.arrays)
    return Judged(
        rows=arrays.pop("rows"),
        answers=Answers(**arrays, threshold=found.document["threshold"]),
        best_epoch=found.document["best_epoch"],
        seconds=found.document["seconds"],
    )
