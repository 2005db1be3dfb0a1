"""The whole journey, from pictures to a classifier with an honest report.

`train` reads from top to bottom; each stage is a function of the stages before it. The test
pictures are looked at in one place, `_judge`, after the last choice is made. With folds every
picture is a test picture once: `carry_out_several`, and folds.py.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

import saccade
from saccade import machine
from saccade.bundle import Manifest, record_evaluation, write_bundle
from saccade.config import TrainSettings, choose_settings
from saccade.data import write_index
from saccade.evaluation import (
    TARGET_ERROR_RATE,
    LabelEvaluation,
    apply_temperature,
    has_too_few,
)
from saccade.files import write_json
from saccade.models import check_installed, describe_layers, engine_name
from saccade.predict import Classifier, load
from saccade.progress import Progress, for_terminal
from saccade.recipe.balance import balance_note
from saccade.recipe.clock import Clock
from saccade.recipe.folds import Judged, in_folds, judge_each, verdict_of, with_share
from saccade.recipe.judge import (
    Verdict,
    all_right,
    calibrate,
    most_frequent_class,
    outputs_of,
    score,
    write_gallery,
    write_predictions,
)
from saccade.recipe.learning import Learning
from saccade.recipe.network import build, learn, note_mistakes, rehearsed, train_one, with_time_left
from saccade.recipe.next_steps import advise, advise_labels
from saccade.recipe.prepare import Prepared, data_notes, prepare
from saccade.recipe.preview import write_preview
from saccade.recipe.repeats import in_repeats, with_repeats
from saccade.recipe.request import (
    Request,
    check_resume_alone,
    new_request,
    resumed_request,
    sweep,
    write_started,
)
from saccade.recipe.shown import Shown, shown_of
from saccade.recipe.unknown import (
    known_pictures,
    rate_of_unknown,
    refused_elsewhere,
    why_no_score,
)
from saccade.recipe.views import Answering, choose_answering
from saccade.report import write_run_report
from saccade.run import FINISHED, Images, Run
from saccade.training import FitResult
from saccade.types import TEST, TRAIN, VALIDATION

_BUDGET_MET: Final = 1.05


def train(  # noqa: PLR0913  (the public call: one keyword a setting)
    data: Any = None,
    *,
    test: Any = None,
    budget: str | float | None = None,
    epochs: int | None = None,
    model: str = "auto",
    augment: str | Mapping[str, Any] = "auto",
    name: str | None = None,
    out: str | os.PathLike[str] = "runs",
    seed: int = 0,
    group: str | None = None,
    exclude: str | os.PathLike[str] | None = None,
    weights: str | os.PathLike[str] | None = None,
    cut: str | None = None,
    fine_tune: bool = False,
    operating_point: str | None = None,
    balance: str = "auto",
    folds: int | None = None,
    multi_label: bool = False,
    repeats: int = 1,
    learning_curve: bool = False,
    resume: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Run:
    """Train on labelled pictures, judge the result once on pictures it never saw; return the run.

    >>> run = saccade.train("photos/", budget="5m")      # doctest: +SKIP
    >>> run.test.accuracy                                # doctest: +SKIP
    Interval(value=0.981, low=0.969, high=0.989)

    `data` is a folder of class folders, an archive or a table of them, a named set, or arrays
    ``(x, y)``; `test`, of the same kinds, is kept for the final score. `budget` is the time of the
    whole run, such as ``"5m"`` or seconds; `epochs` fixes the work instead. `model` is ``"auto"``,
    a tutorial's network, a ``.keras`` file, ``"module:function"``, or a network of
    `keras.applications` such as ``"InceptionV3"``: then a head is trained on its frozen features,
    up to the layer `cut`, with ImageNet's weights or those in the file `weights`; `fine_tune`
    trains the layers below too. `operating_point`, for two classes, is a wish that decides the
    label, such as ``"recall:dogs=0.95"``; `balance` is whether labels are to find small classes
    too: ``"on"``, ``"off"`` or, where classes are uneven, ``"auto"`` (docs/figures.md). `group`
    keeps pictures of one patient, product or burst on one side of the split: a table's column, or a
    path's pattern such as ``r"patient(\\d+)"``; series that look alike are kept so unless it is
    ``"none"``. `exclude` is a CSV file of paths to leave out, from `saccade check --out`. `augment`
    names the changes to training pictures, as ``"rotate=40,shift=0.2,flip"``, or ``"auto"``, which
    fits them (docs/augmentation.md). `folds` has every picture judge once, each fold by a training
    that never saw it, where the data are few (docs/folds.md); `repeats` trains so many times with
    other seeds. `learning_curve` measures what more pictures and more time are worth, out of the
    budget (docs/next.md). `multi_label` is for any number of labels a picture, of a table or of
    arrays with `y` of 0 and 1, (N, labels), and its figures are others (docs/labels.md). `resume`
    is the folder of a stopped run. Raises DataError and SettingsError for what the user can mend.
    """
    clock = Clock()
    check_installed()
    asked: dict[str, Any] = {
        "budget": budget,
        "epochs": epochs,
        "model": model,
        "seed": seed,
        "group": group,
        "exclude": exclude,
        "augment": augment,
        "weights": weights,
        "cut": cut,
        "fine_tune": fine_tune,
        "operating_point": operating_point,
        "balance": balance,
        "folds": folds,
        "multi_label": multi_label,
        "repeats": repeats,
        "learning_curve": learning_curve,
    }
    if resume is not None:
        check_resume_alone(name=name, **asked)
        request = resumed_request(Path(resume), data, test)
        sweep(request.folder)
    else:
        settings = choose_settings(**asked)
        request = new_request(data, test=test, settings=settings, name=name, out=Path(out))
    journey = carry_out if request.settings.num_trainings == 1 else carry_out_several
    return journey(request, clock=clock, progress=progress)


def carry_out(request: Request, *, clock: Clock, progress: Progress | None) -> Run:
    """Do what is asked, from the pictures to the report, each stage under the clock."""
    with progress or for_terminal() as shown:
        prepared = prepare(request, clock=clock, progress=shown)
        network = build(prepared, request.settings)
        if request.plan is None:
            note_mistakes(network, prepared, request.settings, progress=shown)
            ending = rehearsed(network, prepared, request.settings, clock=clock, progress=shown)
            after_s = None if ending is None else ending.after_s()
            prepared = with_time_left(prepared, request.settings, clock=clock, after_s=after_s)
            write_started(request, prepared.plan, prepared.data_digest)
        shown.note(f"plan: {prepared.plan.summary()}")
        with _resumable(request.folder, shown):
            shipped = _ship(network, prepared, request, clock=clock, progress=shown)
            with clock.stage("test"):
                verdict = _judge(shipped.classifier, prepared, progress=shown)
                run = _record(verdict, shipped, prepared, request)
            return _finish(_advised(run, verdict, shipped, prepared, request, clock), clock)


def carry_out_several(request: Request, *, clock: Clock, progress: Progress | None) -> Run:
    """Do the same with trainings beside: one for each fold, or repeats with other seeds."""
    settings = request.settings
    with progress or for_terminal() as shown:
        prepared = prepare(request, clock=clock, progress=shown)
        split = in_repeats if settings.folds is None else in_folds
        beside, ending = split(prepared, settings), None
        if request.plan is None:
            network = build(beside[0], settings)
            note_mistakes(network, beside[0], settings, progress=shown)
            ending = rehearsed(network, beside[0], settings, clock=clock, progress=shown)
            after_s = None if ending is None else ending.after_s(len(beside))
            time: dict[str, Any] = {"after_s": after_s, "trainings": settings.num_trainings}
            prepared = with_time_left(prepared, settings, clock=clock, **time)
            write_started(request, prepared.plan, prepared.data_digest)
        plan, last = prepared.plan, settings.num_trainings
        shown.note(f"plan: {plan.summary()}; {last} trainings")
        with _resumable(request.folder, shown):
            share: dict[str, Any] = {"share_s": plan.budget_s, "clock": clock}
            judged = judge_each(beside, request, ending=ending, progress=shown, **share)
            shown.note(f"training {last} of {last}: the classifier to ship")
            after_s = None if ending is None else ending.after_s()
            prepared = with_share(prepared, settings, after_s=after_s, trainings=1, **share)
            network = build(prepared, settings)
            shipped = _ship(network, prepared, request, clock=clock, progress=shown)
            with clock.stage("test"):
                verdict = _judge_all(judged, beside, shipped, prepared, settings, progress=shown)
                run = _record(verdict, shipped, prepared, request)
            return _finish(_advised(run, verdict, shipped, prepared, request, clock), clock)


@contextmanager
def _resumable(folder: Path, progress: Progress) -> Iterator[None]:
    """Tell who stops the run how to go on with it."""
    try:
        yield
    except KeyboardInterrupt:
        progress.note(f"stopped; `saccade train --resume {folder}` goes on")
        raise


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Shipped:
    """The network that goes into the bundle, and the bundle, opened as any user would."""

    answering: Answering
    fit: FitResult
    learning: Learning
    classifier: Classifier


def _ship(
    network: Any, prepared: Prepared, request: Request, *, clock: Clock, progress: Progress
) -> _Shipped:
    folder = request.folder / "checkpoint"
    with clock.stage("train"):
        fit = train_one(network, prepared, checkpoint_dir=folder, progress=progress)
    learning = learn(prepared, request.settings, fit, clock=clock, progress=progress)
    with clock.stage("bundle"):
        answering = choose_answering(network, prepared, fit, progress=progress)
        classifier = _bundle(answering, prepared, fit, request=request)
    return _Shipped(answering=answering, fit=fit, learning=learning, classifier=classifier)


def _bundle(
    answering: Answering, prepared: Prepared, fit: FitResult, *, request: Request
) -> Classifier:
    """Calibrate on validation, write the bundle, and open it as any user would."""
    validation = prepared.pictures(VALIDATION)
    calibration = calibrate(
        answering.logits,
        validation.labels,
        classes=prepared.classes,
        wish=request.settings.wish,
        weights=prepared.plan.class_weights,
    )
    path = request.folder / "model.saccade"
    manifest = Manifest(
        name=request.folder.name,
        created=request.created,
        classes=prepared.classes,
        preprocessing=prepared.preprocessing,
        temperature=calibration.temperature,
        threshold=calibration.threshold,
        target_error_rate=TARGET_ERROR_RATE,
        operating_point=calibration.operating_point,
        class_weights=calibration.class_weights,
        label_thresholds=calibration.label_thresholds,
        provenance=_provenance(request, prepared, fit),
    )
    used = np.concatenate([prepared.pictures(part).rows for part in (TRAIN, VALIDATION)])
    write_bundle(
        path,
        manifest,
        model=answering.network,
        seen=np.unique(prepared.cache.pixel_digest[used]),
        parity_pixels=validation.batches(),
        parity_logits=answering.logits,
        known=known_pictures(prepared),
    )
    return load(path)


def _judge(classifier: Classifier, prepared: Prepared, *, progress: Progress) -> Verdict:
    """Score the test pictures, once, with the bundle."""
    test, manifest = prepared.pictures(TEST), classifier.manifest
    probabilities, unusualness = outputs_of(classifier, test, progress=progress, name="test")
    predicted, sure = manifest.answers(probabilities), np.ones(len(test.rows), np.bool_)
    if not manifest.several_labels:
        sure = probabilities[np.arange(len(predicted)), predicted] >= manifest.threshold
    return Verdict(
        probabilities=probabilities,
        rows=test.rows,
        labels=test.labels,
        predicted=predicted,
        sure=sure,
        evaluation=score(
            probabilities,
            test.labels,
            classifier=classifier,
            baseline_class=manifest.provenance["baseline_class"],
        ),
        leak=prepared.kinship.leak([prepared.index], test.rows, all_right(predicted, test.labels)),
        unknown=rate_of_unknown(classifier, unusualness),
    )


def _judge_all(
    judged: Sequence[Judged],
    beside: Sequence[Prepared],
    shipped: _Shipped,
    prepared: Prepared,
    settings: TrainSettings,
    *,
    progress: Progress,
) -> Verdict:
    """Return what the folds say, or what the shipped network and its repeats do."""
    classifier = shipped.classifier
    if settings.folds is not None:
        return verdict_of(judged, beside, prepared, classifier=classifier, settings=settings)
    own: dict[str, Any] = {"classifier": classifier, "fit": shipped.fit, "seed": settings.seed}
    return with_repeats(_judge(classifier, prepared, progress=progress), judged, beside, **own)


def _record(verdict: Verdict, shipped: _Shipped, prepared: Prepared, request: Request) -> Run:
    """Keep the verdict, in the bundle too, and what the report needs."""
    classifier, fit = shipped.classifier, shipped.fit
    index, folder, seed = prepared.index, request.folder, request.settings.seed
    refused = refused_elsewhere(classifier)
    record_evaluation(folder / "model.saccade", verdict.evaluation, refused=refused)
    shown = shown_of(verdict, classifier, seed=seed)
    places = np.unique(np.concatenate(list(shown.gallery.values())))
    write_gallery(folder / "gallery.npz", prepared.cache.pixels[verdict.rows[places]])
    write_preview(
        folder / "augmented.npz",
        prepared.pictures(TRAIN),
        fit.augmentation,
        num_classes=len(prepared.classes),
        seed=seed,
    )
    write_index(folder / "index.parquet", index)
    write_predictions(
        folder / "predictions.parquet",
        paths=index.path[verdict.rows].tolist(),
        truth=shown.truth,
        said=shown.said,
        confidence=shown.confidence,
        fold=verdict.fold,
        by_label=shown.by_label,
    )
    groups = {
        name: np.searchsorted(places, chosen).tolist() for name, chosen in shown.gallery.items()
    }
    return Run(
        folder=folder,
        created=request.created,
        classes=prepared.classes,
        test=verdict.evaluation,
        images=Images(
            train=len(index.rows_of(TRAIN)),
            validation=len(index.rows_of(VALIDATION)),
            test=len(index.rows_of(TEST)),
            left_out=int((~index.usable).sum()),
        ),
        seconds={},
        settings=request.settings.to_json(),
        plan=prepared.plan.to_json(),
        fit=fit.to_json(),
        provenance=classifier.manifest.provenance,
        layers=describe_layers(shipped.answering.network),
        reliability=shown.reliability,
        precision_recall=shown.precision_recall,
        gallery=tuple(_gallery_entry(verdict, shown, prepared, place) for place in places),
        gallery_groups=groups,
        data_notes=data_notes(prepared),
        leak=verdict.leak,
        trainings=verdict.trainings,
        unknown=verdict.unknown,
        refused=refused,
        notes=_notes(shipped, prepared, request.settings),
    )


def _advised(
    run: Run,
    verdict: Verdict,
    shipped: _Shipped,
    prepared: Prepared,
    request: Request,
    clock: Clock,
) -> Run:
    """Say what to do next; validation pictures count too, where folds have not judged them all."""
    test = run.test
    rows, told = verdict.rows, verdict.probabilities
    with clock.stage("advice"):
        if isinstance(test, LabelEvaluation):
            steps = advise_labels(request, prepared, shipped.fit, verdict, test)
            return replace(run, next_steps=steps)
        if request.settings.folds is None:
            temperature = shipped.classifier.manifest.temperature
            unseen = apply_temperature(shipped.answering.logits, temperature)
            rows = np.concatenate([prepared.pictures(VALIDATION).rows, rows])
            told = np.concatenate([unseen, told])
        steps = advise(
            request, prepared, shipped.fit, shipped.learning, test=test, answers=(rows, told)
        )
    return replace(run, next_steps=steps)


def _notes(shipped: _Shipped, prepared: Prepared, settings: TrainSettings) -> tuple[str, ...]:
    classifier, fit, answering = shipped.classifier, shipped.fit, shipped.answering
    why, point = prepared.plan.why, classifier.manifest.operating_point
    chosen = [] if point is None else [f"operating point: {point.sentence()}"]
    if point is None and prepared.sets is None:
        chosen = [balance_note(prepared, settings)]
    if prepared.sets is not None:
        chosen = _few_note(prepared)
    said = (why, *fit.notes, answering.note, *chosen, why_no_score(classifier, prepared))
    return tuple(note for note in said if note)


def _few_note(prepared: Prepared) -> list[str]:
    few = has_too_few(prepared.pictures(VALIDATION).labels)
    names = [repr(prepared.classes[place]) for place in np.flatnonzero(few)]
    if not names:
        return []
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return [
        f"too few validation pictures with, or without, {', '.join(names[:5])}{more} to choose a "
        "threshold by: said from one half on"
    ]


def _gallery_entry(
    verdict: Verdict, shown: Shown, prepared: Prepared, place: int
) -> Mapping[str, Any]:
    return {
        "path": prepared.index.path[verdict.rows[place]],
        "label": shown.truth[place],
        "predicted": shown.said[place],
        "probability": float(shown.confidence[place]),
        "unsure": not verdict.sure[place],
    }


def _provenance(request: Request, prepared: Prepared, fit: FitResult) -> dict[str, Any]:
    return {
        "data": Path(prepared.name).name,
        "data_digest": prepared.data_digest,
        "exclude_digest": prepared.exclude_digest,
        "settings": _shipped(request),
        "plan": prepared.plan.to_json(),
        "engine": engine_name(),
        "precision": fit.precision,
        "train_seconds": fit.seconds,
        "machine": machine.describe_machine(),
        "baseline_class": most_frequent_class(prepared),
        "versions": _versions(),
    }


def _shipped(request: Request) -> dict[str, Any]:
    """Return the settings for the bundle, which tells nobody where the user's files lie."""
    exclude = request.settings.exclude
    return request.settings.to_json() | {"exclude": exclude and Path(exclude).name}


def _versions() -> dict[str, str]:
    versions = {"saccade": saccade.__version__, "python": platform.python_version()}
    return versions | {name: found for name, found in machine.installed().items() if found}


def _finish(run: Run, clock: Clock) -> Run:
    """Write the report and, last, ``run.json``; the checkpoint has served."""
    finished = replace(run, seconds=clock.seconds(), notes=(*run.notes, *missed(run, clock)))
    with clock.stage("report"):
        write_run_report(finished)
    finished = replace(finished, seconds=clock.seconds())
    write_json(run.folder / FINISHED, finished.to_json())
    shutil.rmtree(run.folder / "checkpoint", ignore_errors=True)
    return finished


def missed(run: Run, clock: Clock) -> tuple[str, ...]:
    """Return a sentence where the run took longer than it was given, or ran out of epochs."""
    budget_s, taken_s = run.settings["budget_s"], clock.elapsed_s
    if budget_s is None:
        return ()
    if taken_s > _BUDGET_MET * budget_s:
        return (f"took {taken_s:.0f} s, longer than the budget of {budget_s:g} s",)
    by_epochs = run.plan["backbone"] is None  # a head has penalties instead
    if by_epochs and run.fit["num_epochs"] >= run.plan["max_epochs"]:
        return (
            f"ended early, after {taken_s:.0f} s of {budget_s:g} s: so few pictures teach no more "
            f"in over {run.plan['max_epochs']} epochs",
        )
    return ()
