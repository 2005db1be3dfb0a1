"""The figures of pictures with several labels each: the value, and its JSON document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from saccade.evaluation.evaluation import Evaluation
from saccade.types import Interval

VERSION: Final = 1  # of the JSON document
KIND: Final = "labels"
_FIGURES: Final = ("accuracy", "baseline_accuracy", "log_loss")
_WHERE_THERE_ARE_ANY: Final = ("macro_f1", "micro_f1", "mean_average_precision")
_OF_A_LABEL: Final = ("precision", "recall", "f1", "average_precision")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFigures:
    """How one label fares; a figure is None where no picture allows it (0 divided by 0)."""

    name: str
    threshold: float  # the label is said from this probability on; chosen on validation
    num_images: int  # pictures that have the label
    num_predicted: int  # pictures that it was said of
    precision: Interval | None
    recall: Interval | None
    f1: Interval | None
    average_precision: Interval | None  # of the probabilities, whatever the threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelEvaluation:
    """Every figure of one scored set of pictures with any number of labels each."""

    classes: tuple[str, ...]  # the labels, (L,)
    num_images: int
    accuracy: Interval  # share of pictures with every label right (exact match)
    baseline_accuracy: Interval  # always answering the training set's most frequent set of labels
    baseline_class: str  # that set, as `saccade.data.labelsets` writes it; "" is no label
    macro_f1: Interval | None  # mean F1 of the labels that are had or said
    micro_f1: Interval | None  # F1 over all labels of all pictures together
    mean_average_precision: Interval | None  # mean over the labels that some picture has
    log_loss: Interval  # cross-entropy of a label's probability in nats, mean over labels, pictures
    per_class: tuple[LabelFigures, ...]  # in the order of `classes`

    def __post_init__(self) -> None:
        if tuple(one.name for one in self.per_class) != self.classes:
            raise ValueError("wanted figures for each label, in their order")

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a JSON document (docs/figures.md); `from_json` reads it, equal."""
        document: dict[str, Any] = {"version": VERSION, "kind": KIND, "classes": list(self.classes)}
        document["num_images"] = self.num_images
        for name in (*_FIGURES, *_WHERE_THERE_ARE_ANY):
            document[name] = _to_json(getattr(self, name))
        document["baseline_class"] = self.baseline_class
        document["per_class"] = [
            {
                "name": one.name,
                "threshold": one.threshold,
                "num_images": one.num_images,
                "num_predicted": one.num_predicted,
                **{name: _to_json(getattr(one, name)) for name in _OF_A_LABEL},
            }
            for one in self.per_class
        ]
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> LabelEvaluation:
        """Read what `to_json` wrote; ValueError where the document is another or damaged."""
        try:
            return cls(**_fields(document))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a document of labels' figures: {error!r}") from error


def figures_from_json(document: Mapping[str, Any]) -> Evaluation | LabelEvaluation:
    """Read the figures of either kind; ValueError where the document is another or damaged."""
    if isinstance(document, Mapping) and document.get("kind") == KIND:
        return LabelEvaluation.from_json(document)
    return Evaluation.from_json(document)


def _fields(document: Mapping[str, Any]) -> dict[str, Any]:
    if (document["version"], document["kind"]) != (VERSION, KIND):
        raise ValueError(
            f"wanted labels' figures of version {VERSION}, got {document['version']!r}"
        )
    return {
        "classes": tuple(document["classes"]),
        "num_images": int(document["num_images"]),
        **{name: Interval.from_json(document[name]) for name in _FIGURES},
        **{name: _from_json(document[name]) for name in _WHERE_THERE_ARE_ANY},
        "baseline_class": str(document["baseline_class"]),
        "per_class": tuple(
            LabelFigures(
                name=str(one["name"]),
                threshold=float(one["threshold"]),
                num_images=int(one["num_images"]),
                num_predicted=int(one["num_predicted"]),
                **{name: _from_json(one[name]) for name in _OF_A_LABEL},
            )
            for one in document["per_class"]
        ),
    }


def _to_json(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else interval.to_json()


def _from_json(document: Mapping[str, Any] | None) -> Interval | None:
    return None if document is None else Interval.from_json(document)
