"""An operating point: of two classes, from which probability on a picture gets one's name.

    point = choose_operating_point(probabilities, labels, classes=classes, wish=wish)
    point.predicted(probabilities)  # (N,) class numbers

The threshold is chosen on validation, so that the wish holds for new pictures with 95 % confidence.

Recall. Among n pictures of the class, let the threshold be the k-th highest of their probabilities.
Whatever the probabilities' distribution, the recall there is at least that of a beta variable with
k and n - k + 1 (Wilks, Annals of Mathematical Statistics 12, 1941), so its 5 % quantile, which is
Clopper and Pearson's one-sided bound, is what can be promised. The smallest k that serves gives the
highest threshold. Only the ranks decide, so looking for it costs no confidence.

Precision rises and falls with the threshold, and the luckiest one must not be picked. Candidates
are taken without a look at the labels: the m pictures with the highest probabilities, m falling by
a fifth from one to the next. Each is judged at 5 % divided by their number (Bonferroni).

Where too few pictures are at hand for such a promise, the threshold with the highest bound is
taken, and the point says that it promises less.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from saccade.config import Measure, Wish
from saccade.evaluation.beta import Floats
from saccade.evaluation.intervals import lower_bounds, proportion
from saccade.evaluation.naming import predicted_by_weight
from saccade.evaluation.scores import Labels, Probabilities, check_labels
from saccade.types import Interval

_DOUBT: Final = 0.05  # one less the confidence of the promise
_FALL: Final = 0.8  # of the number of pictures named, from one candidate to the next
_MOST_DRAWN: Final = 200  # points of the curve


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """Where one class of two begins. Raises ValueError for values out of range."""

    measure: Measure
    class_name: str
    target: float  # the wish: at least so much recall or precision
    threshold: float  # a picture whose probability of the class reaches it is named so
    promised: float  # what validation shows with 95 % confidence; below the target: too few

    def __post_init__(self) -> None:
        if self.measure not in ("recall", "precision"):
            raise ValueError(f"measure is recall or precision, got {self.measure!r:.80}")
        if not isinstance(self.class_name, str):
            raise ValueError(f"class_name is text, got {self.class_name!r:.80}")
        for name in ("target", "threshold", "promised"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise ValueError(f"{name} is from 0 to 1, got {value!r:.80}")

    @property
    def is_promised(self) -> bool:
        """Whether validation shows that the wish holds."""
        return self.promised >= self.target

    def predicted(
        self, probabilities: Probabilities, classes: tuple[str, ...]
    ) -> npt.NDArray[np.int64]:
        """Return each row's class number, of (N, 2) probabilities."""
        place = classes.index(self.class_name)
        reached = probabilities[:, place].astype(np.float64) >= self.threshold
        return np.where(reached, place, 1 - place)

    def sentence(self) -> str:
        """Return how the threshold was chosen, for a person."""
        begins = (
            f"a picture is named {self.class_name!r} from a probability of {self.threshold:.3g} on"
        )
        wished, shown = f"{100 * self.target:g} %", f"{100 * self.promised:.1f} %"
        if self.is_promised:
            return (
                f"{begins}: on validation the lowest {self.measure} that this gives, with 95 % "
                f"confidence, is {shown}, and at least {wished} is wanted"
            )
        return (
            f"{begins}: too few validation pictures, or too hard ones, for the {self.measure} of "
            f"{wished} that is wanted; with 95 % confidence it is {shown} or more, the highest "
            "that a threshold reaches"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the point as a JSON document; `from_json` reads it back, equal."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> OperatingPoint:
        """Read what `to_json` wrote; ValueError or TypeError where the document is another."""
        return cls(**document)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """How a classifier fares at its operating point, on pictures that did not choose it."""

    point: OperatingPoint
    precision: Interval | None  # of the class; None where nothing is named so
    recall: Interval | None  # None where no picture is of the class

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a JSON document; `from_json` reads it back, equal."""
        return {
            "point": self.point.to_json(),
            "precision": None if self.precision is None else self.precision.to_json(),
            "recall": None if self.recall is None else self.recall.to_json(),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Operation:
        """Read what `to_json` wrote."""
        precision, recall = document["precision"], document["recall"]
        return cls(
            point=OperatingPoint.from_json(document["point"]),
            precision=None if precision is None else Interval.from_json(precision),
            recall=None if recall is None else Interval.from_json(recall),
        )


class CurvePoint(NamedTuple):
    """One point of a precision-recall curve: what naming from `threshold` on gives."""

    threshold: float
    precision: float
    recall: float


def choose_operating_point(
    probabilities: Probabilities, labels: Labels, *, classes: tuple[str, ...], wish: Wish
) -> OperatingPoint:
    """Return the operating point for a wish, from (N, 2) validation probabilities and labels.

    Raises ValueError for another number of classes, an unknown one, or none of its pictures.
    """
    check_labels(probabilities, labels)
    if len(classes) != 2 or wish.class_name not in classes:
        raise ValueError(f"wanted one of two classes, got {wish.class_name!r} of {classes}")
    place = classes.index(wish.class_name)
    sure, is_it = _by_falling(probabilities[:, place], np.asarray(labels) == place)
    if not is_it.any():
        raise ValueError(f"wanted at least one picture of {wish.class_name!r}, got none")
    choose = _for_recall if wish.measure == "recall" else _for_precision
    last, promised = choose(sure, is_it, wish.target)
    return OperatingPoint(
        measure=wish.measure,
        class_name=wish.class_name,
        target=wish.target,
        threshold=_below(sure, last),
        promised=promised,
    )


def _for_recall(sure: Floats, is_it: npt.NDArray[np.bool_], target: float) -> tuple[int, float]:
    """Return the place of the last picture to name, and the recall that this promises."""
    places = np.flatnonzero(is_it)
    hits = np.arange(1, len(places) + 1)
    bounds = lower_bounds(hits, np.full(len(hits), len(hits)), _DOUBT)
    chosen = _first(bounds >= target, otherwise=len(places) - 1)
    return int(places[chosen]), float(bounds[chosen])


def _for_precision(sure: Floats, is_it: npt.NDArray[np.bool_], target: float) -> tuple[int, float]:
    """Return the place of the last picture to name, and the precision that this promises."""
    fewest = math.log(_DOUBT) / math.log(target)  # even a flawless set of fewer shows nothing
    counts = [len(sure)]
    while (fewer := int(_FALL * counts[-1])) >= max(fewest, 1):
        counts.append(fewer)
    # Pictures as sure as each other get one name; `last` is the end of such a tie.
    ends = np.unique(np.searchsorted(-sure, -sure[np.array(counts) - 1], side="right"))[::-1]
    hits = np.cumsum(is_it)[ends - 1]
    bounds = lower_bounds(hits, ends, _DOUBT / len(ends))
    chosen = _first(bounds >= target, otherwise=int(bounds.argmax()))
    return int(ends[chosen]) - 1, float(bounds[chosen])


def _first(serves: npt.NDArray[np.bool_], *, otherwise: int) -> int:
    return int(serves.argmax()) if serves.any() else otherwise


def _by_falling(
    sure: npt.NDArray[Any], is_it: npt.NDArray[np.bool_]
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    order = np.argsort(-sure, kind="stable")
    return sure[order].astype(np.float64), is_it[order]


def _below(sure: Floats, last: int) -> float:
    """Return a threshold half-way to the next picture, so that rounding changes no name."""
    value = float(sure[last])
    lower = sure[sure < value]
    middle = (value + float(lower[0])) / 2 if len(lower) else value / 2
    return middle if middle < value else value


def predicted_classes(
    probabilities: npt.NDArray[np.float32],
    *,
    classes: tuple[str, ...],
    point: OperatingPoint | None,
    weights: tuple[float, ...] | None,
) -> npt.NDArray[np.int64]:
    """Return which class each row of (N, C) probabilities is named, as its number.

    The most probable one, unless an operating point or class weights decide.
    """
    if point is not None:
        return point.predicted(probabilities, classes)
    return predicted_by_weight(probabilities, weights or (1.0,) * len(classes))


def operate(
    probabilities: Probabilities, labels: Labels, *, classes: tuple[str, ...], point: OperatingPoint
) -> Operation:
    """Return precision and recall at a point, of (N, 2) probabilities against labels."""
    place = classes.index(point.class_name)
    is_it, predicted = np.asarray(labels) == place, point.predicted(probabilities, classes) == place
    hits = int((is_it & predicted).sum())
    return Operation(
        point=point,
        precision=proportion(hits, int(predicted.sum())) if predicted.any() else None,
        recall=proportion(hits, int(is_it.sum())) if is_it.any() else None,
    )


def precision_recall(
    probabilities: Probabilities, labels: Labels, *, classes: tuple[str, ...], class_name: str
) -> tuple[CurvePoint, ...]:
    """Return the precision-recall curve of one class, by falling threshold; at most 200 points.

    Empty where no picture is of the class. Each point is one that a threshold gives.
    """
    place = classes.index(class_name)
    sure, is_it = _by_falling(probabilities[:, place], np.asarray(labels) == place)
    if not is_it.any():
        return ()
    ends = np.flatnonzero(np.append(sure[:-1] > sure[1:], True))
    hits = np.cumsum(is_it)[ends]
    kept = np.unique(np.linspace(0, len(ends) - 1, _MOST_DRAWN).round().astype(int))
    return tuple(
        CurvePoint(float(sure[ends[k]]), float(hits[k] / (ends[k] + 1)), float(hits[k] / hits[-1]))
        for k in kept
    )
