"""The figures of one scored set of pictures, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from saccade.types import Interval


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
    macro_f1: Interval
    log_loss: Interval
    brier: Interval
    calibration_error: Interval  # expected calibration error, see docs/figures.md
    baseline_accuracy: Interval  # always answering the training set's most frequent class
    baseline_class: str
    per_class: tuple[ClassFigures, ...]
    confusion: tuple[tuple[int, ...], ...]
    sureness: Sureness

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a JSON document; `from_json` reads it back, equal."""
        raise NotImplementedError

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Evaluation:
        """Read what `to_json` wrote."""
        raise NotImplementedError
