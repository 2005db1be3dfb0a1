"""What to do next, of what a finished run knows: gathered here, reckoned in `evaluation.advice`."""

from __future__ import annotations

import math
import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from saccade.check.folds import LEAST
from saccade.check.labels import contradicted
from saccade.config import TrainSettings
from saccade.data import ALONE, Index
from saccade.evaluation import (
    Advice,
    Evaluation,
    LabelEvaluation,
    NextSteps,
    Suspect,
    budget_advice,
    class_advice,
    data_advice,
    labels_advice,
    learn_advice,
    proportion,
    ranked,
    ranked_labels,
    scarce,
    weakness,
)
from saccade.recipe.judge import Verdict
from saccade.recipe.learning import EXTRA, Learning
from saccade.recipe.prepare import Prepared
from saccade.recipe.request import Request
from saccade.training import FitResult
from saccade.types import TRAIN, VALIDATION

_LISTED: Final = 100
_SUREST: Final = 4  # one in so many answers is sure enough to doubt a label
_LARGEST_PX: Final = 224  # no plan of ours shows larger pictures
_MUCH_LONGER: Final = 4.0  # times the work, for what has not learnt
_FOLDS: Final = 5
_ONE_CLASS: Final = "was not measured: that takes one class a picture"


def advise(
    request: Request,
    prepared: Prepared,
    fit: FitResult,
    learning: Learning,
    *,
    test: Evaluation,
    answers: tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]],
) -> NextSteps:
    """Return what to do next.

    `answers` are rows of the index (n,) and calibrated probabilities (n, C), of pictures that the
    network which gave them was not trained on.
    """
    index = prepared.index
    counts = index.counts_of(TRAIN)
    labels, suspects = _labels(index, *answers, command=_command(request, "check", "--labels"))
    folded = request.settings.folds is not None
    found: list[Advice | None] = [
        labels,
        _data(request, prepared, fit, learning),
        _budget(request, prepared, fit, learning),
    ]
    if test.operation is None:  # which names by a wish, and not for the most right
        found += [
            class_advice(test, counts.tolist(), folded=folded),
            learn_advice(
                test,
                folded=folded,
                own=prepared.plan.design is None and prepared.plan.backbone is None,
                ended=_done(request, prepared, fit) is not None,
                longer=_command(request, "train", times=_MUCH_LONGER),
            ),
        ]
    return NextSteps(
        advice=ranked(found, test, command=_by_folds(request, prepared)),
        curve=learning.curve,
        suspects=suspects,
    )


def advise_labels(
    request: Request, prepared: Prepared, fit: FitResult, verdict: Verdict, test: LabelEvaluation
) -> NextSteps:
    """Return what to do next where a picture has several labels; `verdict` is what `test` scores.

    No learning curve is measured, and no label judged, of several labels a picture. No run could,
    so that is told last, and keeps nothing from being the advice.
    """
    time = _done(request, prepared, fit) or _longer(request, prepared, fit)
    never = (
        data_advice(None, basis="", why_not=_ONE_CLASS, command=""),
        Advice(action="labels", sentence=f"Whether labels are wrong {_ONE_CLASS}."),
    )
    validation = prepared.pictures(VALIDATION).labels
    weak = weakness(test, verdict.predicted, verdict.labels)
    few = scarce(test, verdict.labels, validation)
    return NextSteps(advice=(*ranked_labels(weak, few, [time], test), *never))


def _labels(
    index: Index,
    rows: npt.NDArray[np.intp],
    probabilities: npt.NDArray[np.float32],
    *,
    command: str,
) -> tuple[Advice | None, tuple[Suspect, ...]]:
    """Return what correcting labels is worth, and the labels most likely wrong.

    `rows` (n,) are of the index, `probabilities` (n, C) what the classifier says of them.
    Only of the surest quarter of the answers: of a picture that the classifier is unsure about,
    its contradiction says that the picture is hard, and little of its label (docs/next.md has what
    was measured with more and with fewer).
    """
    label = index.label[rows]
    codes = np.flatnonzero(np.bincount(label, minlength=len(index.classes)) >= LEAST)
    asked = np.isin(label, codes)
    if len(codes) < 2:
        return labels_advice(None, least=LEAST, command=command), ()
    rows, shares = rows[asked], probabilities[asked][:, codes]
    shares = shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-12)
    top, best = shares.max(axis=1), shares.argmax(axis=1)
    sure = np.zeros(len(rows), bool)
    sure[np.argsort(-top, kind="stable")[: math.ceil(len(rows) / _SUREST)]] = True
    code = np.searchsorted(codes, index.label[rows])
    found = contradicted(code, shares.astype(np.float32))
    places = found[sure[found]].tolist()
    share = proportion(len(places), int(sure.sum()))
    advice = labels_advice(
        share, num_suspects=len(places), num_sure=int(sure.sum()), least=LEAST, command=command
    )
    if advice.worth is None:  # such a classifier's doubts would be a list of its mistakes
        return advice, ()
    suspects = tuple(
        Suspect(
            path=str(index.path[rows[place]]),
            label=index.classes[index.label[rows[place]]],
            looks_like=index.classes[codes[best[place]]],
            probability=float(top[place]),
        )
        for place in places[:_LISTED]
    )
    return advice, suspects


def _data(request: Request, prepared: Prepared, fit: FitResult, learning: Learning) -> Advice:
    backbone = prepared.plan.backbone
    basis = "Measured with the same plan and as many epochs: more pictures take more time."
    if backbone is not None:
        basis = "Measured with heads on the frozen network."
    if learning.curve is None and not learning.why_not:
        why_not, command = _not_measured(request, fit)
    else:
        why_not, command = learning.why_not, ""
    return data_advice(learning.curve, basis=basis, why_not=why_not, command=command)


def _budget(request: Request, prepared: Prepared, fit: FitResult, learning: Learning) -> Advice:
    if learning.half is not None and learning.whole is not None:
        twice = _command(request, "train", times=2.0)
        return budget_advice(learning.half, learning.whole, command=twice)
    if (done := _done(request, prepared, fit)) is not None:
        return done
    why_not, command = _not_measured(request, fit)
    sentence = f"What more time is worth {why_not}.{_shortened(prepared, request.settings)}"
    return Advice(action="budget", sentence=sentence, command=command)


def _done(request: Request, prepared: Prepared, fit: FitResult) -> Advice | None:
    """Return that more time would not be used, where that is so."""
    plan = prepared.plan
    if plan.backbone is not None and not plan.backbone.fine_tune:
        return Advice(
            action="budget",
            sentence="More time changes nothing as it is: the head on frozen features is solved to "
            "its end. --fine-tune would spend time on the layers below, and keep that only where "
            "validation is better for it; what it is worth was not measured.",
            command=_command(request, "train", "--fine-tune"),
        )
    if fit.ended_early or (plan.budget_s is not None and fit.num_epochs >= plan.max_epochs):
        return Advice(
            action="budget",
            sentence="More time would not be used: training ended by itself, after "
            f"{fit.num_epochs:,} epochs.",
            measured=True,
        )
    return None


def _longer(request: Request, prepared: Prepared, fit: FitResult) -> Advice:
    """Return whether training was still improving at its end, by its best epoch."""
    shortened = _shortened(prepared, request.settings)
    if fit.best_epoch < fit.num_epochs:
        return Advice(
            action="budget",
            sentence="More time is not shown to help: on validation the best of "
            f"{fit.num_epochs:,} epochs was number {fit.best_epoch:,}.{shortened}",
            measured=True,
        )
    # The rate falls to the end of any training, so the last epoch is often the best: no promise.
    return Advice(
        action="budget",
        sentence=f"More time may help: the last of {fit.num_epochs:,} epochs was the best on "
        "validation, so training still improved at its end. What twice the time is worth was not "
        f"measured.{shortened}",
        command=_command(request, "train", times=2.0),
    )


def _not_measured(request: Request, fit: FitResult) -> tuple[str, str]:
    """Return that nothing was measured, with the seconds it would take, and the command."""
    extra_s = EXTRA * fit.seconds
    budget_s = request.settings.budget_s
    times = 1.0 if budget_s is None else 1.0 + extra_s / budget_s
    command = _command(request, "train", "--learning-curve", times=times)
    return f"was not measured; --learning-curve does so, in about {max(extra_s, 1):.0f} s", command


def _by_folds(request: Request, prepared: Prepared) -> str:
    """Return the command that lets every picture judge; empty where folds already do, or cannot."""
    if request.settings.folds is not None or prepared.parts_given:
        return ""
    return _command(request, "train", "--folds")


def _shortened(prepared: Prepared, settings: TrainSettings) -> str:
    """Return a sentence where the time made the plan take smaller pictures than there are."""
    plan, rows = prepared.plan, prepared.index.rows_of(TRAIN)
    if settings.budget_s is None or plan.design is None:
        return ""
    width, height = (
        int(np.median(side[rows])) for side in (prepared.index.width_px, prepared.index.height_px)
    )
    if max(plan.width_px, plan.height_px) >= min(_LARGEST_PX, max(width, height)):
        return ""
    return (
        f" In this time the plan took pictures of {plan.width_px}×{plan.height_px} px, and yours "
        f"are {width}×{height}: more time would also show it larger ones."
    )


def _command(request: Request, name: str, *flags: str, times: float = 1.0) -> str:
    """Return the line for a terminal that asks the same again, with other `flags` or more time.

    Of data that was given as arrays there is none: then it is empty.
    """
    settings = request.settings
    if not isinstance(request.data, str | os.PathLike):
        return ""
    words = ["saccade", name, os.fspath(request.data)]
    if request.test is not None:
        if not isinstance(request.test, str | os.PathLike):
            return ""
        words += ["--test", os.fspath(request.test)]
    if name == "check" and settings.group not in (None, ALONE):
        words += ["--group", settings.group]
    if name == "train":
        if "--learning-curve" in flags:
            settings = replace(settings, folds=None, repeats=1)  # which do not go with it
        if "--folds" in flags:
            settings = replace(settings, folds=_FOLDS, learning_curve=False)
        words += _flags(settings, times)
        if request.folder.parent != Path("runs"):
            words += ["--out", str(request.folder.parent)]
    return shlex.join([*words, *(flag for flag in flags if flag not in words)])


def _flags(settings: TrainSettings, times: float) -> list[str]:
    """Return the settings as a user types them, those that are not the default."""
    default = TrainSettings(epochs=1)
    asked: dict[str, Any] = settings.to_json()
    if settings.budget_s is not None:
        words = ["--budget", f"{np.ceil(times * settings.budget_s):.0f}s"]
    else:
        words = ["--epochs", f"{np.ceil(times * (settings.epochs or 1)):.0f}"]
    for name, value in asked.items():
        if name in ("budget_s", "epochs") or value == getattr(default, name):
            continue
        words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return words
