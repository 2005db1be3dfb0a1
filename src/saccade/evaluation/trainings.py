"""Figures over several trainings: cross-validation, and intervals that are honest over it.

    folding = pooled(answers, threshold=0.6, target_error_rate=0.05, …)   # a training each fold
    figures = widened(folding, each, held_out=1 / 4)

Every picture is judged by a training that never saw it, and all answers together give each figure
its value. The answers are of several networks, though, which share most of their training pictures:
an interval over pictures alone is too narrow. So each interval reaches, on either side, as far as
the wider of two does: that over the pooled pictures, and Nadeau and Bengio's corrected resampled t
("Inference for the Generalization Error", Machine Learning 52, 2003; for repeated foldings
Bouckaert and Frank, PAKDD 2004):

    value ± t · sqrt((1 / J + held_out) · s²),  t the 97.5 % quantile with J - 1 degrees of freedom

with J trainings, s² the variance of their figures, and held_out the tested pictures for each one
that a training had. With few trainings it is wide: s² of five is known badly, and t says so. The
first interval is there for the trainings that agree by chance: five folds without a mistake would
else leave no doubt. docs/folds.md has the coverage.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from saccade.evaluation.beta import student_quantile_975
from saccade.evaluation.evaluation import ClassFigures, Evaluation, Sureness
from saccade.evaluation.intervals import proportion
from saccade.evaluation.metrics import SMALLEST_PROBABILITY, evaluate
from saccade.evaluation.operating import OperatingPoint, Operation
from saccade.evaluation.scores import Labels, Probabilities
from saccade.types import Interval

_MOST_LOG_LOSS: Final = -math.log(SMALLEST_PROBABILITY)
_MOST_BRIER: Final = 2.0
_SHOWN: Final = ("accuracy", "macro_f1", "log_loss")

_Getter = Callable[[Evaluation], Any]  # from all figures to an interval, or None
_Rule = Callable[[_Getter, float], Any]  # a figure's new interval; the number is its most


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """What one training says of the pictures that were held back from it."""

    labels: Labels  # (n,)
    probabilities: Probabilities  # (n, C), calibrated
    predicted: Labels  # (n,) class numbers
    threshold: float  # a probability of the name below it is "unsure"

    @property
    def sure(self) -> npt.NDArray[np.bool_]:
        """Which answers are not "unsure", (n,)."""
        chosen = self.probabilities[np.arange(len(self.predicted)), self.predicted]
        sure: npt.NDArray[np.bool_] = chosen >= self.threshold
        return sure


def pooled(
    answers: Sequence[Answers],
    *,
    classes: tuple[str, ...],
    baseline_class: str,
    threshold: float,
    target_error_rate: float,
    point: OperatingPoint | None = None,
) -> Evaluation:
    """Return the figures of all answers together, intervals over pictures alone.

    Each training says "unsure" below its own threshold, and names by its own operating point;
    `threshold` and `point` are those of the classifier that is shipped, and are only noted.
    """
    labels = np.concatenate([one.labels for one in answers])
    predicted = np.concatenate([one.predicted for one in answers])
    sure = np.concatenate([one.sure for one in answers])
    figures = evaluate(
        np.concatenate([one.probabilities for one in answers]),
        labels,
        classes=classes,
        baseline_class=baseline_class,
        threshold=threshold,
        target_error_rate=target_error_rate,
        predicted=predicted,
    )
    num_sure, wrong = int(sure.sum()), int((sure & (predicted != labels)).sum())
    sureness = Sureness(
        threshold=threshold,
        target_error_rate=target_error_rate,
        answered=proportion(num_sure, len(labels)),
        error_rate=proportion(wrong, num_sure) if num_sure else None,
    )
    operation = None
    if point is not None:
        one = figures.per_class[classes.index(point.class_name)]
        operation = Operation(point=point, precision=one.precision, recall=one.recall)
    return replace(figures, sureness=sureness, operation=operation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One training of several, by itself."""

    fold: int | None  # from 1; None where the test part is the same for all
    repeat: int  # from 1
    seed: int
    num_images: int  # pictures that judged it
    accuracy: Interval  # over these pictures
    macro_f1: Interval
    log_loss: Interval
    best_epoch: int
    seconds: float  # of training

    @classmethod
    def of(
        cls,
        figures: Evaluation,
        *,
        seed: int,
        repeat: int,
        fold: int | None,
        best_epoch: int,
        seconds: float,
    ) -> Training:
        """Return a training with its figures; `repeat` and `fold` are counted from 0."""
        return cls(
            fold=None if fold is None else fold + 1,
            repeat=repeat + 1,
            seed=seed,
            num_images=figures.num_images,
            accuracy=figures.accuracy,
            macro_f1=figures.macro_f1,
            log_loss=figures.log_loss,
            best_epoch=best_epoch,
            seconds=seconds,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the training as it stands in ``run.json``; `from_json` reads it, equal."""
        figures = {name: getattr(self, name).to_json() for name in _SHOWN}
        return {field.name: getattr(self, field.name) for field in fields(self)} | figures

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Training:
        """Read what `to_json` wrote."""
        figures = {name: Interval.from_json(document[name]) for name in _SHOWN}
        return cls(**{**document, **figures})


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainings:
    """Several trainings of one recipe, and the accuracy over them."""

    folds: int | None  # None where all have one test part
    repeats: int  # of the folding, or of the one split
    accuracy: Interval  # the mean, and an interval that holds what differs between trainings
    each: tuple[Training, ...]  # two or more

    @property
    def spread(self) -> float:
        """The standard deviation of the trainings' accuracies, 0 to 1."""
        return float(np.std([one.accuracy.value for one in self.each], ddof=1))

    def sentence(self) -> str:
        """Return the trainings in words."""
        values = [100 * one.accuracy.value for one in self.each]
        return (
            f"{len(values)} trainings: {min(values):.1f} to {max(values):.1f} % right, mean "
            f"{100 * self.accuracy.value:.1f} %, standard deviation {100 * self.spread:.1f} points"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the trainings as they stand in ``run.json``; `from_json` reads them, equal."""
        return {
            "folds": self.folds,
            "repeats": self.repeats,
            "accuracy": self.accuracy.to_json(),
            "spread": self.spread,
            "each": [one.to_json() for one in self.each],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Trainings:
        """Read what `to_json` wrote."""
        return cls(
            folds=document["folds"],
            repeats=document["repeats"],
            accuracy=Interval.from_json(document["accuracy"]),
            each=tuple(Training.from_json(one) for one in document["each"]),
        )


def averaged(foldings: Sequence[Evaluation]) -> Evaluation:
    """Return the mean figures of several foldings of the same pictures; counts are the first's."""

    def mean(get: _Getter, most: float) -> Interval | None:
        there = [figure for one in foldings if (figure := get(one)) is not None]
        if not there:
            return None
        value, low, high = np.mean([(one.value, one.low, one.high) for one in there], axis=0)
        return _within(float(value), float(low), float(high), most)

    averages: Evaluation = _by_rule(foldings[0], mean)
    return averages


def widened(figures: Evaluation, each: Sequence[Evaluation], *, held_out: float) -> Evaluation:
    """Return the figures with intervals that also hold what differs between trainings.

    `each` are the figures of every training by itself; `held_out` is the number of tested pictures
    divided by those that a training had, 1/4 for five folds. `worst_recall` becomes the lowest of
    the classes' recalls, with that class's own interval.
    """

    def wider(get: _Getter, most: float) -> Interval | None:
        figure = get(figures)
        values = [one.value for evaluation in each if (one := get(evaluation)) is not None]
        return None if figure is None else corrected(figure, values, held_out=held_out, most=most)

    found = _by_rule(figures, wider)
    # The lowest of each folding may be of another class each time: their mean would be of none.
    recalls = {one.name: one.recall for one in found.per_class if one.recall is not None}
    worst = min(recalls, key=lambda name: recalls[name].value)
    return replace(found, worst_recall=recalls[worst], worst_class=worst)


def corrected(
    figure: Interval, values: Sequence[float], *, held_out: float, most: float = 1.0
) -> Interval:
    """Return a figure with the wider of its own interval and the corrected t over trainings.

    `values` are the figure in each training, 0 to `most`; of fewer than two nothing is learnt.
    """
    if len(values) < 2:
        return figure
    variance = (1 / len(values) + held_out) * float(np.var(values, ddof=1))
    reach = student_quantile_975(len(values) - 1) * math.sqrt(variance)
    low, high = min(figure.low, figure.value - reach), max(figure.high, figure.value + reach)
    return _within(figure.value, low, high, most)


def crossed(right: npt.NDArray[np.bool_]) -> Interval:
    """Return the accuracy over trainings and pictures, both new, from (R, N) right answers.

    R trainings, two or more, answered the same N pictures. Both are random: other pictures and
    other seeds would have come out otherwise. The mean's variance is that of a crossed design, as
    for readers and cases in radiology (Dorfman, Berbaum and Metz, Investigative Radiology 27, 1992;
    degrees of freedom by Satterthwaite): (MS pictures + MS trainings - MS rest) / (R N). The
    interval reaches as far as Clopper and Pearson's of one training does, on average over them.
    """
    num_trainings, num_images = right.shape
    table = right.astype(np.float64)
    value, trainings, images = table.mean(), table.mean(axis=1), table.mean(axis=0)
    rest = table - trainings[:, None] - images + value
    degrees = np.array([num_trainings - 1, max(num_images - 1, 1)])
    squares = np.array(
        [
            num_images * ((trainings - value) ** 2).sum() / degrees[0],
            num_trainings * ((images - value) ** 2).sum() / degrees[1],
            (rest**2).sum() / degrees.prod(),
        ]
    )
    total = max(squares[0] + squares[1] - squares[2], squares[:2].max())
    alone = [proportion(int(one.sum()), num_images) for one in right]
    low, high = (float(np.mean([getattr(one, end) for one in alone])) for end in ("low", "high"))
    if total > 0:
        freedom = total**2 / (squares**2 / np.append(degrees, degrees.prod())).sum()
        reach = student_quantile_975(freedom) * math.sqrt(total / (num_trainings * num_images))
        low, high = min(low, value - reach), max(high, value + reach)
    return _within(float(value), low, high, 1.0)


def _within(value: float, low: float, high: float, most: float) -> Interval:
    return Interval(value=value, low=min(max(low, 0.0), value), high=max(min(high, most), value))


def _by_rule(figures: Evaluation, rule: _Rule) -> Evaluation:
    """Return the figures with every interval as the rule gives it, but for the baseline's.

    What the most frequent class would get hangs on no training.
    """

    operation = figures.operation
    if operation is not None:
        operation = replace(
            operation,
            precision=rule(lambda one: one.operation and one.operation.precision, 1.0),
            recall=rule(lambda one: one.operation and one.operation.recall, 1.0),
        )
    return replace(
        figures,
        accuracy=rule(lambda one: one.accuracy, 1.0),
        macro_f1=rule(lambda one: one.macro_f1, 1.0),
        log_loss=rule(lambda one: one.log_loss, _MOST_LOG_LOSS),
        brier=rule(lambda one: one.brier, _MOST_BRIER),
        calibration_error=rule(lambda one: one.calibration_error, 1.0),
        per_class=tuple(_class_by_rule(figures, k, rule) for k in range(len(figures.classes))),
        sureness=replace(
            figures.sureness,
            answered=rule(lambda one: one.sureness.answered, 1.0),
            error_rate=rule(lambda one: one.sureness.error_rate, 1.0),
        ),
        balanced_accuracy=rule(lambda one: one.balanced_accuracy, 1.0),
        worst_recall=rule(lambda one: one.worst_recall, 1.0),
        operation=operation,
    )


def _class_by_rule(figures: Evaluation, number: int, rule: _Rule) -> ClassFigures:
    return replace(
        figures.per_class[number],
        precision=rule(lambda one: one.per_class[number].precision, 1.0),
        recall=rule(lambda one: one.per_class[number].recall, 1.0),
        f1=rule(lambda one: one.per_class[number].f1, 1.0),
    )
