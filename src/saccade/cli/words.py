"""The answer in words: what a person reads at the end of a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saccade.cli.text import one_line
from saccade.evaluation.intervals import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from saccade.evaluation import (
        Evaluation,
        LabelEvaluation,
        NextSteps,
        Operation,
        Refused,
        Sureness,
        Trainings,
        Unknown,
    )
    from saccade.recipe import Scored
    from saccade.run import Run, RunEntry
    from saccade.types import Interval


def answer(run: Run) -> str:
    """Return what `saccade train` prints when it is done."""
    images, seconds = run.images, run.seconds
    parts = f"{images.train:,} to train, {images.validation:,} to validate, {images.test:,} to test"
    if run.trainings is not None and run.trainings.folds is not None:
        parts = (
            f"each to test once; the classifier to ship: {images.train:,} to train, "
            f"{images.validation:,} to validate"
        )
    return "\n".join(
        [
            *figures(run.test, run.trainings),
            *_unknown(run.unknown),
            *refused_lines(run.refused),
            f"Pictures  {images.used:,} used ({parts}), {images.left_out:,} left out",
            *([] if run.leak is None else [f"Leak      {run.leak.sentence()}"]),
            f"Time      {seconds['total']:.0f} s, of which training {seconds['train']:.0f} s",
            *(f"Note      {one_line(note)}" for note in (*run.data_notes, *run.notes)),
            *next_lines(run.next_steps),
            f"Model     {one_line(str(run.model))}",
            f"Report    {one_line(str(run.report))}",
            f"Use it    saccade predict {one_line(str(run.model))} PICTURE",
        ]
    )


def next_lines(steps: NextSteps | None) -> list[str]:
    """Return the first thing to do next, and how; nothing before that is worked out."""
    if steps is None:
        return []
    first = steps.advice[0]
    worth = first.worth
    gain = "" if worth is None or first.action == "stop" else f"{points(worth)}: "
    lines = [f"Next      {gain}{one_line(first.sentence)}"]
    return [*lines, *([f"          {one_line(first.command)}"] if first.command else [])]


def points(worth: Interval) -> str:
    """Return such as ``+1.3 points (95 % interval 0.4 to 2.9)``, of a worth in points."""
    return f"+{worth.value:.1f} points (95 % interval {worth.low:.1f} to {worth.high:.1f})"


def scored(result: Scored) -> str:
    """Return what `saccade evaluate` prints."""
    lines = [*figures(result.test), *_wish(result.test), *_unknown(result.unknown)]
    lines += [f"Pictures  {result.images_used:,} scored, {result.images_left_out:,} left out"]
    return "\n".join([*lines, *(f"Note      {one_line(note)}" for note in result.notes)])


def run_line(entry: RunEntry) -> str:
    """Return one line of `saccade runs`."""
    if entry.run is None:
        return f"{entry.folder}  {entry.error or 'not finished; train --resume goes on'}"
    run = entry.run
    return f"{entry.folder}  {percent(run.test.accuracy)} of {run.test.num_images:,} test pictures"


def figures(test: Evaluation | LabelEvaluation, trainings: Trainings | None = None) -> list[str]:
    """Return the lines on the figures of some pictures."""
    from saccade.evaluation import LabelEvaluation

    if isinstance(test, LabelEvaluation):
        return _of_labels(test)
    return _of_classes(test, trainings)


def _of_labels(test: LabelEvaluation) -> list[str]:
    from saccade.data import readable_set

    shown = {
        "Macro F1": test.macro_f1,
        "Micro F1": test.micro_f1,
        "Mean AP": test.mean_average_precision,
    }
    return [
        f"Exact     {percent(test.accuracy)} of {test.num_images:,} test pictures have every label "
        f'right; always "{one_line(readable_set(test.baseline_class))}" would get '
        f"{percent(test.baseline_accuracy)}",
        *(f"{name:<9} {percent(figure) if figure else 'none'}" for name, figure in shown.items()),
        *_weakest(test),
        f"Log loss  {test.log_loss.value:.3f} "
        f"(95 % interval {test.log_loss.low:.3f} to {test.log_loss.high:.3f}), of a label",
    ]


def _weakest(test: LabelEvaluation) -> list[str]:
    found = [(one.f1, one.name) for one in test.per_class if one.f1 is not None]
    if not found:
        return []
    f1, name = min(found, key=lambda pair: pair[0].value)
    return [f'Weakest   "{one_line(name)}": F1 {percent(f1)}']


def _of_classes(test: Evaluation, trainings: Trainings | None = None) -> list[str]:
    baseline, pictures = test.baseline_accuracy, f"{test.num_images:,} test pictures"
    folded = trainings is not None and trainings.folds is not None
    if folded:
        pictures = f"{test.num_images:,} pictures, each judged by a training that never saw it"
    return [
        f"Right     {percent(test.accuracy)} of {pictures}; "
        f'always "{one_line(test.baseline_class)}" would get {percent(baseline)}',
        *([] if trainings is None else [_trainings(trainings)]),
        *_classes(test),
        f"Macro F1  {percent(test.macro_f1)}",
        f"Log loss  {test.log_loss.value:.3f} "
        f"(95 % interval {test.log_loss.low:.3f} to {test.log_loss.high:.3f})",
        *(
            _sureness(test.sureness, several=folded)
            if test.operation is None
            else _operation(test.operation)
        ),
    ]


def _trainings(trainings: Trainings) -> str:
    if trainings.folds is not None:
        return f"Folds     {trainings.sentence()}"
    return (
        f"Repeats   {trainings.sentence()}; over trainings and pictures "
        f"{percent(trainings.accuracy)}"
    )


def _unknown(unknown: Unknown | None) -> list[str]:
    if unknown is None:
        return []
    return [
        f"Unknown   {percent(unknown.rate)} of the test pictures are called so, by a limit set on "
        f"validation for at most {100 * unknown.target_rate:g} %"
    ]


def refused_lines(refused: Sequence[Refused]) -> list[str]:
    """Return which share of other pictures the model calls unknown; nothing where none is known.

    A bundle may come from a stranger, and so may what it says of these pictures.
    """
    if not refused:
        return []
    kinds = ", ".join(f"{one_line(one.pictures)} {_short(one.rate)}" for one in refused)
    return [f"Refuses   as unknown, of what it was not trained on: {kinds}"]


def _short(share: Interval) -> str:
    """Return such as ``84 % (74 to 92)``."""
    return f"{100 * share.value:.0f} % ({100 * share.low:.0f} to {100 * share.high:.0f})"


def _classes(test: Evaluation) -> list[str]:
    """Return what accuracy hides where classes are uneven."""
    return [
        f"By class  {percent(test.balanced_accuracy)}, each class counted alike; the weakest, "
        f'"{one_line(test.worst_class)}": {percent(test.worst_recall)}'
    ]


def _operation(operation: Operation) -> list[str]:
    """Return how the operating point does on the test pictures."""
    point = operation.point
    shown = {"recall": operation.recall, "precision": operation.precision}
    figures = ", ".join(
        f"{name} {percent(figure) if figure else 'none'}" for name, figure in shown.items()
    )
    return [
        f'Point     "{one_line(point.class_name)}" from {100 * point.threshold:.3g} % on: {figures}'
    ]


def _wish(test: Evaluation | LabelEvaluation) -> list[str]:
    """Return how the operating point was chosen, which of a run its notes say."""
    from saccade.evaluation import LabelEvaluation

    if isinstance(test, LabelEvaluation) or test.operation is None:
        return []
    return [f"Wish      {one_line(test.operation.point.sentence())}"]


def _sureness(sure: Sureness, *, several: bool) -> list[str]:
    rate, target = sure.error_rate, f"{100 * sure.target_error_rate:g} %"
    if rate is None:
        answers = 'of nothing: every picture is answered with "unsure"'
    elif several:
        answers = (
            f"of {percent(sure.answered)} of the pictures, each training from a confidence of its "
            f"own, the shipped one from {100 * min(sure.threshold, 1):.0f} % on; "
            f"of these {percent(rate)} are wrong"
        )
    elif sure.threshold == 0:
        answers = f'of every picture, never "unsure"; of these {percent(rate)} are wrong'
    else:
        answers = (
            f"of {percent(sure.answered)} of the pictures, those at "
            f"{100 * sure.threshold:.0f} % and above; of these {percent(rate)} are wrong"
        )
    chosen = f"chosen on validation so that at most {target} of answers are wrong"
    if sure.threshold > 1:
        chosen = f"no confidence kept to at most {target} of answers wrong on validation"
    return [f"Sure      {answers}", f"Target    {chosen}{_miss(rate, sure.target_error_rate)}"]


def _miss(rate: Interval | None, target: float) -> str:
    """Return by what the target was missed; nothing where the interval allows that it was kept."""
    if rate is None or rate.low <= target:
        return ""
    over, least, most = (100 * (share - target) for share in (rate.value, rate.low, rate.high))
    return f"; missed on the test pictures by {over:.1f} points ({least:.1f} to {most:.1f})"
