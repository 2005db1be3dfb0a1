"""The whole journey, from pictures to a classifier with an honest report.

`train` reads from top to bottom; each stage is a function of the stages before it. The test
pictures are looked at in one place, `_judge`, after the last choice is made.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

import saccade
from saccade import machine
from saccade.bundle import Manifest, record_evaluation, write_bundle
from saccade.config import choose_settings, parse_wish
from saccade.data import write_index
from saccade.evaluation import (
    TARGET_ERROR_RATE,
    apply_temperature,
    precision_recall,
    reliability,
)
from saccade.files import write_json
from saccade.models import build_model, check_installed, describe_layers, engine_name, set_seed
from saccade.predict import Classifier, load
from saccade.progress import Progress, for_terminal
from saccade.recipe.advising import advise
from saccade.recipe.balancing import balance_note
from saccade.recipe.clock import Clock
from saccade.recipe.ending import seconds_of_ending
from saccade.recipe.judge import (
    calibrate,
    choose_gallery,
    most_frequent_class,
    probabilities_of,
    score,
    write_gallery,
    write_predictions,
)
from saccade.recipe.learning import (
    Learning,
    head_curve,
    network_curve,
    training_share,
    units,
)
from saccade.recipe.mirrored import Answering, choose_answering
from saccade.recipe.prepare import (
    TEST,
    TRAIN,
    VALIDATION,
    Prepared,
    data_notes,
    prepare,
    time_left,
    with_budget,
)
from saccade.recipe.preview import write_preview
from saccade.recipe.request import (
    Request,
    check_resume_alone,
    new_request,
    resumed_request,
    sweep,
    write_started,
)
from saccade.report import write_run_report
from saccade.run import FINISHED, Images, Run
from saccade.training import FitResult, Hooks, train_network
from saccade.transfer import fine_tune as tune
from saccade.transfer import train_head, with_head

_VERSIONED: Final = ("keras", "torch", "tensorflow", "numpy", "pillow", "onnxruntime")

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
    keeps pictures of one patient, product or burst on one side of the split: a table's column, or
    a pattern on the path such as ``r"patient(\\d+)"``. `exclude` is a CSV file of paths to leave
    out, as `saccade check --out` writes it. `augment` names the changes to training pictures, as
    ``"rotate=40,shift=0.2,flip"``, or ``"auto"``, which fits them (docs/augmentation.md).
    `learning_curve` measures what more pictures and more time are worth, out of the budget; for a
    head on frozen features that is always done. `resume` is the folder of a stopped run. Raises
    DataError and SettingsError for what the user can mend.
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
        "learning_curve": learning_curve,
    }
    if resume is not None:
        check_resume_alone(name=name, **asked)
        request = resumed_request(Path(resume), data, test)
        sweep(request.folder)
    else:
        settings = choose_settings(**asked)
        request = new_request(data, test=test, settings=settings, name=name, out=Path(out))
    return carry_out(request, clock=clock, progress=progress)


def carry_out(request: Request, *, clock: Clock, progress: Progress | None) -> Run:
    """Do what is asked, from the pictures to the report, each stage under the clock."""
    with progress or for_terminal() as shown:
        prepared = prepare(request, clock=clock, progress=shown)
        network = _build(request, prepared)
        if request.plan is None:
            prepared = _with_time_left(network, prepared, request, clock=clock, progress=shown)
            write_started(request, prepared.plan, prepared.data_digest)
        shown.note(f"plan: {prepared.plan.summary()}")
        with _resumable(request.folder, shown):
            with clock.stage("train"):
                fit = _fit(network, prepared, folder=request.folder, progress=shown)
            with clock.stage("learning curve"):
                learning = _learn(prepared, fit, request=request, progress=shown)
            with clock.stage("bundle"):
                answering = choose_answering(network, prepared, fit, progress=shown)
                classifier = _bundle(answering, prepared, fit, request=request)
            with clock.stage("test"):
                run, tested = _judge(
                    classifier, answering, prepared, fit, request=request, progress=shown
                )
            with clock.stage("advice"):
                unseen = apply_temperature(answering.logits, classifier.manifest.temperature)
                answers = {VALIDATION: unseen, TEST: tested}
                steps = advise(request, prepared, fit, learning, test=run.test, answers=answers)
            return _finish(replace(run, next_steps=steps), clock)


@contextmanager
def _resumable(folder: Path, progress: Progress) -> Iterator[None]:
    """Tell who stops the run how to go on with it."""
    try:
        yield
    except KeyboardInterrupt:
        progress.note(f"stopped; `saccade train --resume {folder}` goes on")
        raise


def _build(request: Request, prepared: Prepared) -> Any:
    plan = prepared.plan
    set_seed(plan.seed)  # the first weights are drawn while the network is built
    if prepared.body is not None:
        return with_head(prepared.body, len(prepared.index.classes))
    return build_model(
        request.settings.model,
        input_shape=plan.input_shape,
        num_classes=len(prepared.index.classes),
        design=plan.design,
    )


def _with_time_left(
    network: Any, prepared: Prepared, request: Request, *, clock: Clock, progress: Progress
) -> Prepared:
    """Return the same with what is left of the budget now, less what the ending takes."""
    budget_s = request.settings.budget_s
    backbone = prepared.plan.backbone
    if budget_s is None or (backbone is not None and not backbone.fine_tune):
        return prepared  # no work that time decides on
    with clock.stage("rehearse"):
        ending_s = seconds_of_ending(network, prepared, progress=progress)
    left_s = time_left(budget_s, clock, ending_s) * training_share(request.settings, backbone)
    return with_budget(prepared, left_s)


def _fit(network: Any, prepared: Prepared, *, folder: Path, progress: Progress) -> FitResult:
    plan, body, checkpoint_dir = prepared.plan, prepared.body, folder / "checkpoint"
    train, validation = prepared.pictures(TRAIN), prepared.pictures(VALIDATION)
    pictures: dict[str, Any] = {"train": train, "validation": validation, "progress": progress}
    if body is None or plan.backbone is None:
        return train_network(
            network, plan=plan, checkpoint_dir=checkpoint_dir, hooks=Hooks(), **pictures
        )
    fit = train_head(network, body, prepared.cache, seed=plan.seed, **pictures)
    if not plan.backbone.fine_tune:
        return fit
    return tune(network, fit, plan, checkpoint_dir=checkpoint_dir, **pictures)


def _learn(prepared: Prepared, fit: FitResult, *, request: Request, progress: Progress) -> Learning:
    """Measure what more pictures and more time are worth, where that is cheap or asked for."""
    index, body = prepared.index, prepared.body
    train, validation = prepared.pictures(TRAIN), prepared.pictures(VALIDATION)
    unit = units(prepared.kinship.kin, train.rows, prepared.cache.pixel_digest, index.label)
    parts: dict[str, Any] = {"train": train, "validation": validation, "unit": unit}
    backbone = prepared.plan.backbone
    if body is not None and backbone is not None:
        frozen = None if backbone.fine_tune else fit
        return head_curve(body, prepared.cache, frozen, progress=progress, **parts)
    if not request.settings.learning_curve:
        return Learning()
    build = partial(_build, request, prepared)
    return network_curve(build, prepared.plan, fit, progress=progress, **parts)


def _bundle(
    answering: Answering, prepared: Prepared, fit: FitResult, *, request: Request
) -> Classifier:
    """Calibrate on validation, write the bundle, and open it as any user would."""
    validation = prepared.pictures(VALIDATION)
    asked = request.settings.operating_point
    calibration = calibrate(
        answering.logits,
        validation.labels,
        classes=prepared.index.classes,
        wish=None if asked is None else parse_wish(asked),
        weights=prepared.plan.class_weights,
    )
    path = request.folder / "model.saccade"
    manifest = Manifest(
        name=request.folder.name,
        created=request.created,
        classes=prepared.index.classes,
        preprocessing=prepared.preprocessing,
        temperature=calibration.temperature,
        threshold=calibration.threshold,
        target_error_rate=TARGET_ERROR_RATE,
        operating_point=calibration.operating_point,
        class_weights=calibration.class_weights,
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
    )
    return load(path)


def _judge(
    classifier: Classifier,
    answering: Answering,
    prepared: Prepared,
    fit: FitResult,
    *,
    request: Request,
    progress: Progress,
) -> tuple[Run, npt.NDArray[np.float32]]:
    """Score the test pictures, once, with the bundle; keep what the report needs.

    Returns the run, and its (N, C) probabilities of the test pictures.
    """
    test, index, folder = prepared.pictures(TEST), prepared.index, request.folder
    probabilities = probabilities_of(classifier, test, progress=progress, name="test")
    named = classifier.manifest.named(probabilities)
    provenance = classifier.manifest.provenance
    evaluation = score(
        probabilities,
        test.labels,
        classifier=classifier,
        baseline_class=provenance["baseline_class"],
    )
    record_evaluation(folder / "model.saccade", evaluation)
    gallery = choose_gallery(probabilities, test.labels, named=named, seed=request.settings.seed)
    shown = np.unique(np.concatenate(list(gallery.values())))
    write_gallery(folder / "gallery.npz", test.pixels[test.rows[shown]])
    write_preview(
        folder / "augmented.npz",
        prepared.pictures(TRAIN),
        fit.augmentation,
        num_classes=len(index.classes),
        seed=request.settings.seed,
    )
    write_index(folder / "index.parquet", index)
    write_predictions(
        folder / "predictions.parquet",
        index=index,
        rows=test.rows,
        probabilities=probabilities,
        named=named,
    )
    groups = {name: np.searchsorted(shown, places).tolist() for name, places in gallery.items()}
    run = Run(
        folder=folder,
        created=request.created,
        classes=index.classes,
        test=evaluation,
        images=Images(
            train=len(index.rows_of(TRAIN)),
            validation=len(index.rows_of(VALIDATION)),
            test=len(test.rows),
            left_out=int((~index.usable).sum()),
        ),
        seconds={},
        settings=request.settings.to_json(),
        plan=prepared.plan.to_json(),
        fit=fit.to_json(),
        provenance=provenance,
        layers=describe_layers(answering.network),
        reliability=tuple(
            asdict(row) for row in reliability(probabilities, test.labels) if row.num_images
        ),
        precision_recall=_precision_recall(classifier, probabilities, test.labels),
        gallery=_gallery_entries(classifier, prepared, probabilities, named, shown),
        gallery_groups=groups,
        data_notes=data_notes(prepared),
        leak=prepared.kinship.leak(index, test.rows, named == test.labels),
        notes=_notes(classifier, answering, prepared, fit),
    )
    return run, probabilities


def _notes(
    classifier: Classifier, answering: Answering, prepared: Prepared, fit: FitResult
) -> tuple[str, ...]:
    why, point = prepared.plan.why, classifier.manifest.operating_point
    chosen = [] if point is None else [f"operating point: {point.sentence()}"]
    if classifier.manifest.class_weights is not None:
        chosen = [balance_note(prepared)]
    return tuple(note for note in (why, *fit.notes, answering.note, *chosen) if note)


def _precision_recall(
    classifier: Classifier, probabilities: Any, labels: Any
) -> tuple[Mapping[str, float], ...]:
    point = classifier.manifest.operating_point
    if point is None:
        return ()
    curve = precision_recall(
        probabilities, labels, classes=classifier.classes, class_name=point.class_name
    )
    return tuple(place._asdict() for place in curve)


def _gallery_entries(
    classifier: Classifier, prepared: Prepared, probabilities: Any, named: Any, shown: Any
) -> tuple[Mapping[str, Any], ...]:
    test, index = prepared.pictures(TEST), prepared.index
    entries = []
    for place in shown:
        row, best = test.rows[place], named[place]
        probability = float(probabilities[place, best])
        entries.append(
            {
                "path": index.path[row],
                "label": index.classes[index.label[row]],
                "predicted": index.classes[best],
                "probability": probability,
                "unsure": probability < classifier.manifest.threshold,
            }
        )
    return tuple(entries)


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
    for name in _VERSIONED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


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
    by_epochs = run.plan.get("backbone") is None  # a head has penalties instead
    if by_epochs and run.fit["num_epochs"] >= run.plan["max_epochs"]:
        return (
            f"ended early, after {taken_s:.0f} s of {budget_s:g} s: so few pictures teach no more "
            f"in over {run.plan['max_epochs']} epochs",
        )
    return ()
