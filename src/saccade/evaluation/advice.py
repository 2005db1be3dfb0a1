"""What to do next, by what it is worth: labels, a class, more pictures, more time, or nothing.

    steps = ranked([class_advice(test, num_train), data_advice(curve), ...], test)
    steps[0].sentence

The test figures are told here, and decide nothing: no model and no setting of the run follows from
them. A worth is in points of accuracy (from 90 to 92 % is 2 points), and mostly an upper bound; its
sentence says so. What was not measured has no worth, and mostly a command that would measure it.

What is worth less than half the width of the test accuracy's interval could not be seen on these
test pictures. Where all is, the advice is to stop; where that interval is wide, to judge more
pictures instead. A classifier that is not shown to be better than guessing has first to learn.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from saccade.evaluation.evaluation import Evaluation
from saccade.evaluation.guessing import against_guessing
from saccade.evaluation.intervals import is_wide, percent, proportion, within
from saccade.evaluation.labels import LabelEvaluation
from saccade.evaluation.learning_curve import LearningCurve, LearningPoint
from saccade.types import Interval

Action = Literal["learn", "labels", "class", "data", "budget", "test", "stop"]

TAIL: Final = 0.025
MOST_WRONG: Final = 0.3  # of sure answers: more speak of a weak classifier, not of labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One thing that could be done next.

    `worth` is in points of accuracy, 0 to 100; None where it is not known. `measured` is whether
    anything was measured to know it. `command` does it, or measures it; empty where none does.
    """

    action: Action
    sentence: str
    worth: Interval | None = None
    measured: bool = False
    command: str = ""

    @property
    def unknown(self) -> bool:
        """Whether nothing says what it is worth."""
        return self.worth is None and not self.measured

    def to_json(self) -> dict[str, Any]:
        """Return the advice as it stands in ``run.json``; `from_json` reads it, equal."""
        return {
            "action": self.action,
            "sentence": self.sentence,
            "worth": None if self.worth is None else self.worth.to_json(),
            "measured": self.measured,
            "command": self.command,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Advice:
        """Read what `to_json` wrote."""
        worth = document["worth"]
        return cls(
            action=document["action"],
            sentence=str(document["sentence"]),
            worth=None if worth is None else Interval.from_json(worth),
            measured=bool(document["measured"]),
            command=str(document["command"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A validation or test picture whose label the classifier surely contradicts."""

    path: str
    label: str
    looks_like: str
    probability: float  # of what it looks like


@dataclass(frozen=True, slots=True, kw_only=True)
class NextSteps:
    """What to do next, the best first, and what it rests on."""

    advice: tuple[Advice, ...]
    curve: LearningCurve | None = None
    suspects: tuple[Suspect, ...] = ()  # the least probable label first

    def to_json(self) -> dict[str, Any]:
        """Return the steps as they stand in ``run.json``; `from_json` reads them, equal."""
        return {
            "advice": [one.to_json() for one in self.advice],
            "learning_curve": None if self.curve is None else self.curve.to_json(),
            "suspects": [
                {
                    "path": one.path,
                    "label": one.label,
                    "looks_like": one.looks_like,
                    "probability": one.probability,
                }
                for one in self.suspects
            ],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> NextSteps:
        """Read what `to_json` wrote."""
        curve = document["learning_curve"]
        return cls(
            advice=tuple(Advice.from_json(one) for one in document["advice"]),
            curve=None if curve is None else LearningCurve.from_json(curve),
            suspects=tuple(Suspect(**one) for one in document["suspects"]),
        )


def noise_points(accuracy: Interval) -> float:
    """Return half the width of the accuracy's interval, in points: less cannot be seen."""
    return 50 * (accuracy.high - accuracy.low)


def ranked(
    found: Iterable[Advice | None], test: Evaluation | LabelEvaluation, *, command: str = ""
) -> tuple[Advice, ...]:
    """Return the advice, the best first: what shows, what was not measured, what does not show.

    Where nothing shows and nothing more could, `stop` comes first, or `test` where the pictures are
    too few to say so; `command` judges more of them. `learn` comes before all, or behind `test`
    where so few may not do it justice.
    """
    noise, few = noise_points(test.accuracy), is_wide(test.accuracy)
    there = sorted((one for one in found if one is not None), key=_value, reverse=True)
    learn = [one for one in there if one.action == "learn"]
    shows = [one for one in there if one.worth is not None and one.worth.value > noise]
    unknown = [one for one in there if one.unknown and one not in learn]
    rest = [one for one in there if one not in (*learn, *shows, *unknown)]
    wrong = 100 * (1 - test.accuracy.value)
    first: list[Advice] = []
    if learn:
        first = [_more_tests(test, command)] if few and learn[0].unknown else []
    elif wrong <= noise or not (shows or unknown):
        first = [_more_tests(test, command) if few else _stop(test, wrong, noise)]
    return (*first, *learn, *shows, *unknown, *rest)


def _value(advice: Advice) -> float:
    return -1.0 if advice.worth is None else advice.worth.value


def _num_wrong(test: Evaluation | LabelEvaluation) -> int:
    if isinstance(test, LabelEvaluation):
        return round(test.num_images * (1 - test.accuracy.value))
    return test.num_images - sum(row[k] for k, row in enumerate(test.confusion))


def _stop(test: Evaluation | LabelEvaluation, wrong: float, noise: float) -> Advice:
    if wrong <= noise:
        why = (
            f"{_num_wrong(test):,} of {test.num_images:,} test pictures are wrong, so nothing can "
            f"gain more than {wrong:.1f} points"
        )
    else:
        why = "nothing that was measured is worth more than that"
    return Advice(
        action="stop",
        sentence=f"Stop here: {why}, and these test pictures show differences from about "
        f"{noise:.1f} points on. To see a smaller gain takes more test pictures.",
        worth=Interval(value=0.0, low=0.0, high=0.0),
        measured=True,
    )


def _more_tests(test: Evaluation | LabelEvaluation, command: str) -> Advice:
    """Return that the pictures which judge are too few to tell what is left to gain."""
    low, high = 100 * test.accuracy.low, 100 * test.accuracy.high
    folds = " The command lets every picture judge, by folds." if command else ""
    return Advice(
        action="test",
        sentence=f"Judge more pictures: {_num_wrong(test):,} of {test.num_images:,} are wrong, so "
        f"of others {low:.0f} to {high:.0f} % may be right. That is too wide to tell what is left "
        f"to gain, or to stop.{folds}",
        command=command,
    )


def learn_advice(
    test: Evaluation,
    *,
    folded: bool = False,
    own: bool = False,
    ended: bool = False,
    longer: str = "",
) -> Advice | None:
    """Return what makes a classifier learn at all; None where it is better than guessing.

    Collecting pictures of a class mends no network that does not look at them. `folded` is whether
    folds judged, `own` whether the network is the user's, `ended` whether more time would not be
    used; `longer` is a command with more. That it learnt nothing is measured where it names one
    class alone, or is worse than guessing.
    """
    alone = _predicted_alone(test)
    verdict = against_guessing(test, folded=folded).verdict
    if alone is None and verdict == "better":
        return None
    what = f"it names “{alone}” alone, whatever the picture shows"
    if alone is None:
        what = "it is worse than guessing the most frequent class"
    if alone is None and verdict == "not shown":
        what = "it is not shown to be better than guessing the most frequent class"
    time = "More time would not be used:" if ended else "Give it more time. Where that is no help,"
    mistakes = "the network may be at fault, or " if own else ""
    check = " (saccade check, given the network, looks for mistakes in it)" if own else ""
    return Advice(
        action="learn",
        sentence=f"Let it learn first: {what}. {time} {mistakes}these pictures may not tell the "
        f"classes apart: look at some of each, and at their labels{check}.",
        measured=alone is not None or verdict == "worse",
        command="" if ended else longer,
    )


def _predicted_alone(test: Evaluation) -> str | None:
    """Return the one class that every picture is named, where it is one."""
    said = [one.name for one in test.per_class if one.num_predicted]
    return said[0] if len(said) == 1 else None


def class_advice(
    test: Evaluation, num_train: Sequence[int], *, folded: bool = False
) -> Advice | None:
    """Return which class to collect; None where none is found less often than the others.

    `num_train` (C,) are the classes' training pictures. A class with more of them than the average
    is not for want of its own so often wrong, and is passed over; there is none at all where
    `learn_advice` says what comes first. The worth is at most what accuracy would
    gain were the class found as often as the others together: its gap in recall times its share of
    the test pictures. The interval joins the two recalls' Clopper-Pearson bounds (Newcombe,
    Statistics in Medicine 17, 1998), each at 2.5 % divided by the number of classes, since the one
    that costs most is chosen among them.
    """
    confusion = np.array(test.confusion, np.int64)
    support, hits = confusion.sum(axis=1), np.diagonal(confusion)
    total, right = int(support.sum()), int(hits.sum())
    trained = np.array(num_train)
    asked = np.flatnonzero((support > 0) & (support < total) & (trained <= trained.mean()))
    if not len(asked) or learn_advice(test, folded=folded) is not None:
        return None
    others = (right - hits[asked]) / (total - support[asked])
    cost = (others - hits[asked] / support[asked]) * support[asked]
    k = int(asked[cost.argmax()])
    if cost.max() <= 0:
        return None
    gap = _difference(
        (right - int(hits[k]), total - int(support[k])),
        (int(hits[k]), int(support[k])),
        tail=TAIL / len(asked),
    )
    return Advice(
        action="class",
        sentence=_class_sentence(test, k, float(others[cost.argmax()]), num_train),
        worth=points(gap, share=float(support[k]) / total),
        measured=True,
    )


def _class_sentence(test: Evaluation, k: int, others: float, num_train: Sequence[int]) -> str:
    figures, row = test.per_class[k], np.array(test.confusion[k])
    wrong = int(row.sum() - row[k])
    row[k] = 0
    taken = int(row.argmax())
    recall = "" if figures.recall is None else percent(figures.recall)
    mistakes = ""
    if len(row) > 2:  # of two classes it is plain
        mistakes = (
            f"{int(row[taken]):,} of its {wrong:,} mistakes are taken for “{test.classes[taken]}”. "
        )
    return (
        f"Collect “{figures.name}”: of its {figures.num_images:,} test pictures {recall} are "
        f"right, of the others {100 * others:.1f} %. {mistakes}It has {num_train[k]:,} training "
        f"pictures, a class has {np.mean(num_train):,.0f} on average. Were it as often right as "
        "the others, that is what there is to gain, at most."
    )


def data_advice(curve: LearningCurve | None, *, basis: str, why_not: str, command: str) -> Advice:
    """Return what more pictures are worth: the gain that the learning curve foretells for twice.

    `basis` says what the curve was measured with; without a curve `why_not` says why there is none.
    """
    if curve is None:
        return Advice(
            action="data",
            sentence=f"What more training pictures are worth {why_not}.",
            command=command,
        )
    twice, four = curve.foretold
    now = 100 * curve.error_at(curve.points[-1].num_train)  # of the same law as what is foretold
    return Advice(
        action="data",
        sentence=f"Collect more pictures of every class: with twice as many, {twice.num_train:,} "
        f"to train on, about {percent(twice.error)} of validation pictures would be wrong in "
        f"place of {now:.1f} %, as the curve has it; with four times as many "
        f"{percent(four.error)}. {basis}",
        worth=points(twice.gain),
        measured=True,
        command=command,
    )


def budget_advice(half: LearningPoint, whole: LearningPoint, *, command: str) -> Advice:
    """Return what twice the time is worth at most: what the last doubling gained on validation."""
    gain = _difference(
        (whole.num_scored - whole.num_wrong, whole.num_scored),
        (half.num_scored - half.num_wrong, half.num_scored),
        tail=TAIL,
    )
    return Advice(
        action="budget",
        sentence=f"Give it more time: with half of the training {percent(half.error)} of "
        f"validation pictures were wrong, with all of it {percent(whole.error)}. Twice the time "
        "gains as much again at most, as a rule.",
        worth=points(gain),
        measured=True,
        command=command,
    )


def labels_advice(
    share: Interval | None,
    *,
    num_suspects: int = 0,
    num_sure: int = 0,
    least: int,
    command: str,
) -> Advice:
    """Return what correcting labels is worth at most: the share of sure answers against a label.

    `share` is `num_suspects` of the `num_sure` surest answers, None where there are not two classes
    of `least` pictures to judge. Sure answers are nearly always right, so a label that one of them
    contradicts is likely wrong; spread evenly, wrong labels are the same share of all pictures, and
    each costs a mistake, whatever the classifier does. Where the `share` is above `MOST_WRONG`,
    they are not nearly always right, and nothing is known.
    """
    if share is None:
        return Advice(
            action="labels",
            sentence="Whether labels are wrong was not measured: of validation and test pictures "
            f"that takes two classes of {least}. This judges all but the test pictures, by folds.",
            command=command,
        )
    if share.value > MOST_WRONG:
        return Advice(
            action="labels",
            sentence=f"Whether labels are wrong cannot be told yet: of the {num_sure:,} surest "
            f"answers on validation and test pictures {num_suspects:,} contradict the label, "
            f"{percent(share)}. A classifier that is surely wrong so often does not know the "
            "classes well enough to doubt labels, unless that many are wrong. The command judges "
            "all but the test pictures, by folds.",
            command=command,
        )
    if not num_suspects:
        return Advice(
            action="labels",
            sentence=f"The labels look right: none of the {num_sure:,} surest answers on "
            "validation and test pictures contradicts one.",
            worth=points(share),
            measured=True,
            command=command,
        )
    return Advice(
        action="labels",
        sentence=f"Look at the labels: of the {num_sure:,} surest answers on validation and test "
        f"pictures {num_suspects:,} contradict the label, {percent(share)}. About so many of all "
        "labels are wrong, at most, and count as mistakes. The command judges those to train on.",
        worth=points(share),
        measured=True,
        command=command,
    )


def points(gain: Interval, *, share: float = 1.0) -> Interval:
    """Return a gain in shares as points of accuracy; what would be lost counts as nothing."""
    value, low, high = (max(0.0, 100 * share * end) for end in (gain.value, gain.low, gain.high))
    return Interval(value=value, low=low, high=high)


def _difference(more: tuple[int, int], less: tuple[int, int], *, tail: float) -> Interval:
    """Return the difference of two proportions, each (successes, total), by Newcombe's method."""
    one, other = (proportion(*counts, tail=tail) for counts in (more, less))
    below = math.hypot(one.value - one.low, other.high - other.value)
    above = math.hypot(one.high - one.value, other.value - other.low)
    gap = one.value - other.value
    return within(gap, gap - below, gap + above)
