"""The figures of one scored set of pictures, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from saccade.evaluation.operating import Operation
from saccade.types import Interval

VERSION: Final = 1  # of the JSON document
_FIGURES: Final = (
    "accuracy",
    "balanced_accuracy",
    "worst_recall",
    "macro_f1",
    "log_loss",
    "brier",
    "calibration_error",
    "baseline_accuracy",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFigures:
    """How one class fares; a figure is None where no picture allows it (0 divided by 0)."""

    name: str
    num_images: int  # pictures whose true label is this class
    num_predicted: int  # pictures predicted as this class
    precision: Interval | None
    recall: Interval | None
    f1: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sureness:
    """When the classifier says "unsure", and what that buys."""

    threshold: float  # a top probability below this is "unsure"; 0 answers always
    target_error_rate: float  # the error rate that the threshold was chosen for, on validation
    answered: Interval  # share of pictures answered
    error_rate: Interval | None  # among the answered; None where nothing is answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Every figure of one scored set; `confusion[true][predicted]` counts pictures."""

    classes: tuple[str, ...]
    num_images: int
    accuracy: Interval
    balanced_accuracy: Interval  # mean recall
    worst_recall: Interval  # of the class with the lowest
    worst_class: str
    macro_f1: Interval
    log_loss: Interval
    brier: Interval
    calibration_error: Interval  # expected calibration error, see docs/figures.md
    baseline_accuracy: Interval  # always answering the training set's most frequent class
    baseline_class: str
    per_class: tuple[ClassFigures, ...]
    confusion: tuple[tuple[int, ...], ...]
    sureness: Sureness
    operation: Operation | None = None  # at the operating point, where there is one

    def __post_init__(self) -> None:
        size = len(self.classes)
        if len(self.per_class) != size or [len(row) for row in self.confusion] != [size] * size:
            raise ValueError(f"wanted figures and a confusion row for each of {size} classes")

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a JSON document (docs/figures.md); `from_json` reads it, equal."""
        document: dict[str, Any] = {"version": VERSION, "classes": list(self.classes)}
        document["num_images"] = self.num_images
        document |= {name: getattr(self, name).to_json() for name in _FIGURES}
        document["worst_class"] = self.worst_class
        document["baseline_class"] = self.baseline_class
        document["per_class"] = [_class_to_json(figures) for figures in self.per_class]
        document["confusion"] = [list(row) for row in self.confusion]
        document["sureness"] = {
            "threshold": self.sureness.threshold,
            "target_error_rate": self.sureness.target_error_rate,
            "answered": self.sureness.answered.to_json(),
            "error_rate": _optional_to_json(self.sureness.error_rate),
        }
        document["operation"] = None if self.operation is None else self.operation.to_json()
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Evaluation:
        """Read what `to_json` wrote; ValueError where the document is another or damaged."""
        try:
            return cls(**_fields(document))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a document of figures: {error!r}") from error


def _fields(document: Mapping[str, Any]) -> dict[str, Any]:
    if document["version"] != VERSION:
        raise ValueError(f"wanted figures of version {VERSION}, got {document['version']!r}")
    sureness, operation = document["sureness"], document["operation"]
    fields: dict[str, Any] = {name: _interval(document[name]) for name in _FIGURES}
    return fields | {
        "classes": tuple(document["classes"]),
        "num_images": int(document["num_images"]),
        "worst_class": str(document["worst_class"]),
        "baseline_class": str(document["baseline_class"]),
        "per_class": tuple(_class_from_json(figures) for figures in document["per_class"]),
        "confusion": tuple(tuple(int(count) for count in row) for row in document["confusion"]),
        "sureness": Sureness(
            threshold=float(sureness["threshold"]),
            target_error_rate=float(sureness["target_error_rate"]),
            answered=_interval(sureness["answered"]),
            error_rate=_optional_interval(sureness["error_rate"]),
        ),
        "operation": None if operation is None else Operation.from_json(operation),
    }


def _class_to_json(figures: ClassFigures) -> dict[str, Any]:
    return {
        "name": figures.name,
        "num_images": figures.num_images,
        "num_predicted": figures.num_predicted,
        "precision": _optional_to_json(figures.precision),
        "recall": _optional_to_json(figures.recall),
        "f1": _optional_to_json(figures.f1),
    }


def _class_from_json(document: Mapping[str, Any]) -> ClassFigures:
    return ClassFigures(
        name=str(document["name"]),
        num_images=int(document["num_images"]),
        num_predicted=int(document["num_predicted"]),
        precision=_optional_interval(document["precision"]),
        recall=_optional_interval(document["recall"]),
        f1=_optional_interval(document["f1"]),
    )


def _interval(document: Mapping[str, Any]) -> Interval:
    return Interval(**{key: float(document[key]) for key in ("value", "low", "high")})


def _optional_interval(document: Mapping[str, Any] | None) -> Interval | None:
    return None if document is None else _interval(document)


def _optional_to_json(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else interval.to_json()
