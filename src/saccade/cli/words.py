"""The answer in words: what a person reads at the end of a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saccade.cli.text import one_line

if TYPE_CHECKING:
    from saccade.evaluation import Evaluation
    from saccade.recipe import Scored
    from saccade.run import Run, RunEntry
    from saccade.types import Interval


def answer(run: Run) -> str:
    """Return what `saccade train` prints when it is done."""
    images, seconds = run.images, run.seconds
    return "\n".join(
        [
            *_figures(run.test),
            f"Pictures  {images.used:,} used ({images.train:,} to train, {images.validation:,} to "
            f"validate, {images.test:,} to test), {images.left_out:,} left out",
            f"Time      {seconds['total']:.0f} s, of which training {seconds['train']:.0f} s",
            *(f"Note      {one_line(note)}" for note in (*run.data_notes, *run.notes)),
            f"Model     {one_line(str(run.model))}",
            f"Report    {one_line(str(run.report))}",
            f"Use it    saccade predict {one_line(str(run.model))} PICTURE",
        ]
    )


def scored(result: Scored) -> str:
    """Return what `saccade evaluate` prints."""
    lines = [*_figures(result.test)]
    lines += [f"Pictures  {result.images_used:,} scored, {result.images_left_out:,} left out"]
    return "\n".join([*lines, *(f"Note      {note}" for note in result.notes)])


def run_line(entry: RunEntry) -> str:
    """Return one line of `saccade runs`."""
    if entry.run is None:
        return f"{entry.folder}  {entry.error or 'not finished; train --resume goes on'}"
    run = entry.run
    return f"{entry.folder}  {percent(run.test.accuracy)} of {run.test.num_images:,} test pictures"


def percent(figure: Interval) -> str:
    """Return such as ``98.1 % (95 % interval 96.1 to 99.1 %)``."""
    value, low, high = (100 * share for share in (figure.value, figure.low, figure.high))
    return f"{value:.1f} % (95 % interval {low:.1f} to {high:.1f} %)"


def _figures(test: Evaluation) -> list[str]:
    baseline, sure = test.baseline_accuracy, test.sureness
    lines = [
        f"Right     {percent(test.accuracy)} of {test.num_images:,} test pictures; "
        f'always "{one_line(test.baseline_class)}" would get {100 * baseline.value:.1f} %',
        f"Macro F1  {percent(test.macro_f1)}",
        f"Log loss  {test.log_loss.value:.3f} "
        f"(95 % interval {test.log_loss.low:.3f} to {test.log_loss.high:.3f})",
    ]
    if sure.error_rate is None:
        return [*lines, 'Sure      of nothing: every picture is answered with "unsure"']
    if sure.threshold == 0:
        return [*lines, 'Sure      of every picture: it never answers "unsure"']
    return [
        *lines,
        f"Sure      of {percent(sure.answered)} of the pictures, those at "
        f"{100 * sure.threshold:.0f} % and above; of these {percent(sure.error_rate)} are wrong",
    ]
