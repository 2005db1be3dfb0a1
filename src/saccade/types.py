"""Values that every part of Saccade shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Part = Literal["train", "validation", "test"]
PARTS: Final[tuple[Part, ...]] = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(len(PARTS))  # their codes, which an index holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A figure with the range that holds its true value in 95 of 100 repetitions.

    Raises ValueError unless ``low <= value <= high``.
    """

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"an interval holds its value, got {self!r}")

    def to_json(self) -> dict[str, float]:
        """Return ``{"value", "low", "high"}``, the form of every figure in our documents."""
        return {"value": self.value, "low": self.low, "high": self.high}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Interval:
        """Read what `to_json` wrote."""
        return cls(value=document["value"], low=document["low"], high=document["high"])
