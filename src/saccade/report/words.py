"""Figures and judgements in plain words."""

from __future__ import annotations

import math
import re
import shlex
from dataclasses import dataclass

from saccade.evaluation.evaluation import Evaluation, Sureness
from saccade.evaluation.guessing import Guessing, against_guessing
from saccade.evaluation.intervals import is_wide
from saccade.evaluation.labels import LabelEvaluation
from saccade.evaluation.operating import Operation
from saccade.evaluation.trainings import Trainings
from saccade.types import Interval

NARROW = "\u202f"  # a space that does not break: "97.3 %", "12 000"
_LONGEST = 120  # characters of a name that are shown; the rest is cut from its middle
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters, but for tab and new line
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # line separators, writing direction
    "\ud800-\udfff]"  # bytes of file names that are no UTF-8
)


def visible(text: str) -> str:
    """Return `text` with what would not show, would reorder the page or cannot be written, named.

    A file name may hold any of it; a new line is kept, since HTML shows it as a space.
    """
    return _INVISIBLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def shortened(name: str) -> str:
    """Return a class name or path, its middle cut where it is too long to read."""
    if len(name) <= _LONGEST:
        return name
    half = (_LONGEST - 1) // 2
    return f"{name[:half]}…{name[-half:]}"


def percent(share: float, decimals: int = 1) -> str:
    """Return a share as "97.3 %"; never 0 % or 100 % for what is not exactly that."""
    value = 100 * share
    for places in (decimals, decimals + 1):
        text = f"{value:.{places}f}"
        if float(text) not in (0.0, 100.0) or share in (0.0, 1.0):
            return f"{text}{NARROW}%"
    step = 10.0**-decimals / 10
    if share < 0.5:
        return f"<{NARROW}{step:.{decimals + 1}f}{NARROW}%"
    return f">{NARROW}{100 - step:.{decimals + 1}f}{NARROW}%"


def whole_percent(share: float) -> str:
    """Return a share as "97 %", for captions; 0.9996 is "99.9 %", never more than it is."""
    if 0.995 <= share < 1:
        return f"{math.floor(1000 * share) / 10}{NARROW}%"
    return f"{100 * share:.0f}{NARROW}%"


def percent_range(interval: Interval) -> str:
    """Return the ends of a share's interval as "95.3 % to 98.7 %"."""
    return f"{percent(interval.low)} to {percent(interval.high)}"


def count(number: int) -> str:
    """Return a count as "12,345"."""
    return f"{number:,}"


def pictures(number: int) -> str:
    """Return "1 picture" or "12,345 pictures"."""
    return "1 picture" if number == 1 else f"{count(number)} pictures"


def duration(seconds: float) -> str:
    """Return "0.4 s", "12 s", "3 min 5 s" or "2 h 4 min"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The report's first lines."""

    verdict: str  # what the figures allow one to say against the baseline
    sureness: str  # when it says "unsure", what share it answers, and whether the target was missed
    # (of labels: from where on each is said)
    sample: str  # how many pictures that rests on


def answer(evaluation: Evaluation | LabelEvaluation, trainings: Trainings | None = None) -> Answer:
    """Return the answer in words; no word is stronger than the figures allow."""
    folded = _folded(trainings)
    if isinstance(evaluation, LabelEvaluation):
        return Answer(
            verdict=_verdict(evaluation, "the most frequent set of labels", folded=folded),
            sureness="Each label is said from a probability of its own on, chosen on validation "
            "for the highest F1; the table of labels has them.",
            sample=_sample(evaluation, trainings),
        )
    return Answer(
        verdict=_verdict(evaluation, folded=folded),
        sureness=_sureness(evaluation.sureness, several=folded)
        if evaluation.operation is None
        else _operation(evaluation.operation),
        sample=_sample(evaluation, trainings),
    )


def _folded(trainings: Trainings | None) -> bool:
    return trainings is not None and trainings.folds is not None


def _verdict(
    evaluation: Evaluation | LabelEvaluation,
    guess: str = "the most frequent class",
    *,
    folded: bool,
) -> str:
    found = against_guessing(evaluation, folded=folded)
    grounds = _grounds(evaluation, found)
    if found.verdict == "better":
        return f"Clearly better than guessing {guess}: {grounds}."
    if found.verdict == "worse":
        return f"Worse than guessing {guess}, do not use this model: {grounds}."
    return f"Not shown to be better than guessing {guess}: {grounds}."


def _grounds(evaluation: Evaluation | LabelEvaluation, found: Guessing) -> str:
    """Return what the comparison with guessing rests on, as a clause."""
    if found.won is None or found.lost is None:
        holds = "holds" if found.verdict == "not shown" else "leaves out"
        baseline = percent(evaluation.baseline_accuracy.value)
        return f"its range, {percent_range(evaluation.accuracy)}, {holds} the {baseline} of that"
    alone = found.won + found.lost
    if not alone:
        return "on these pictures both are right and wrong alike"
    chance = ", which chance may do" if found.verdict == "not shown" else ""
    return (
        f"of the {pictures(alone)} that only one of the two has right, it has "
        f"{count(found.won)}{chance}"
    )


def _sureness(sureness: Sureness, *, several: bool) -> str:
    rate, target = sureness.error_rate, _target(sureness)
    chosen = f"chosen on validation so that at most {target} of answers are wrong"
    if rate is None:
        return f"It says “unsure” to every test picture: {_why_silent(sureness, chosen)}."
    wrong = f"{percent(rate.value)} of those answers are wrong ({percent_range(rate)})."
    if several:
        answers = (
            f"It says “unsure” below {percent(min(sureness.threshold, 1.0))} confidence, {chosen}. "
            "Judged were trainings with thresholds of their own: they answer "
            f"{percent(sureness.answered.value)} of the pictures "
            f"({percent_range(sureness.answered)});"
        )
    elif sureness.threshold <= 0:
        answers = f"It answers every picture and never says “unsure”, as {chosen};"
    else:
        answers = (
            f"It says “unsure” below {percent(sureness.threshold)} confidence, {chosen}. "
            f"It answers {percent(sureness.answered.value)} of the pictures "
            f"({percent_range(sureness.answered)});"
        )
    return f"{answers} {wrong}{_miss(rate, sureness)}"


def _operation(operation: Operation) -> str:
    point = operation.point
    figures = [
        f"{name} is {percent(figure.value)} ({percent_range(figure)})"
        for name, figure in (("recall", operation.recall), ("precision", operation.precision))
        if figure is not None
    ]
    return (
        f"It answers every picture: an operating point decides. It says “{point.class_name}” from "
        f"{percent(point.threshold)} on; of the test pictures its {' and its '.join(figures)}."
    )


def _why_silent(sureness: Sureness, chosen: str) -> str:
    if sureness.threshold <= 1:
        return f"none reaches {percent(sureness.threshold)} confidence, {chosen}"
    return f"no confidence kept to at most {_target(sureness)} of answers wrong on validation"


def _miss(rate: Interval, sureness: Sureness) -> str:
    """Return the sentence on a missed target; none where the interval allows that it was kept."""
    if rate.low <= sureness.target_error_rate:
        return ""
    over, least, most = (
        100 * (share - sureness.target_error_rate) for share in (rate.value, rate.low, rate.high)
    )
    return (
        f" On the test pictures that misses the target of {_target(sureness)} by {over:.1f} points "
        f"({least:.1f} to {most:.1f})."
    )


def _target(sureness: Sureness) -> str:
    return f"{100 * sureness.target_error_rate:g}{NARROW}%"


def _sample(evaluation: Evaluation | LabelEvaluation, trainings: Trainings | None) -> str:
    width = evaluation.accuracy.high - evaluation.accuracy.low
    judged = f"Judged once, on {pictures(evaluation.num_images)} held back from training."
    if trainings is not None and _folded(trainings):
        times = "once" if trainings.repeats == 1 else f"{trainings.repeats} times"
        judged = (
            f"Each of {pictures(evaluation.num_images)} was judged {times}, by one of "
            f"{trainings.folds} trainings, which never saw it."
        )
    if is_wide(evaluation.accuracy):
        return f"{judged} That is few: the range is {100 * width:.0f} points wide."
    return judged


def python_lines(model_path: str) -> str:
    """Return the three lines of Python that use a model."""
    return (
        "import saccade\n"
        f"classifier = saccade.load({_ascii_literal(model_path)})\n"
        'print(classifier.predict("picture.jpg"))'
    )


def shell_lines(model_path: str) -> str:
    """Return the three lines for a shell that use a model."""
    quoted = shlex.quote(model_path)
    return (
        f"saccade predict {quoted} picture.jpg\n"
        f"saccade predict {quoted} folder/ --format csv --output predictions.csv\n"
        f"saccade evaluate {quoted} labelled-folder/"
    )


def _ascii_literal(text: str) -> str:
    literal = repr(text)[1:-1]
    return f'"{literal}"' if '"' not in literal and "'" not in literal else repr(text)
