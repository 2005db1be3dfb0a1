"""How often a classifier calls pictures of its own kind unknown, and how often some of other data.

unknown = measure_unknown(called, target=0.05)
unknown.sentence()
refused = (measure_refused(called, pictures="gradients"), ...)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from saccade.evaluation.intervals import proportion
from saccade.types import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """What a limit chosen on validation does to the test pictures."""

    target_rate: float  # share of known pictures called unknown, at most, by the limit
    rate: Interval  # share of the test pictures called unknown

    def sentence(self) -> str:
        """Return the finding in words, and what it does not say."""
        value, low, high = (100 * s for s in (self.rate.value, self.rate.low, self.rate.high))
        return (
            f"It calls {value:.1f} % of the test pictures unknown (95 % interval {low:.1f} to "
            f"{high:.1f} %), by a limit set on validation for at most "
            f"{100 * self.target_rate:g} %. One that is not called so may still be of another kind"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the figures as they stand in ``run.json``; `from_json` reads them, equal."""
        return {"target_rate": self.target_rate, "rate": self.rate.to_json()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Unknown:
        """Read what `to_json` wrote."""
        return cls(
            target_rate=float(document["target_rate"]), rate=Interval.from_json(document["rate"])
        )


def measure_unknown(called: npt.NDArray[np.bool_], *, target: float) -> Unknown:
    """Return the rate, Clopper–Pearson; `called` is (N,), which test pictures are called unknown.

    `target` is the share of known pictures, at most, that the limit was chosen for.
    """
    return Unknown(target_rate=target, rate=proportion(int(called.sum()), len(called)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """What share of pictures of one kind, which did not train it, is called unknown."""

    pictures: str  # what they are, in the plural
    num_images: int
    rate: Interval  # share called unknown

    def to_json(self) -> dict[str, Any]:
        """Return the figures as they stand in a manifest; `from_json` reads them, equal."""
        return {
            "pictures": self.pictures,
            "num_images": self.num_images,
            "rate": self.rate.to_json(),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Refused:
        """Read what `to_json` wrote."""
        return cls(
            pictures=str(document["pictures"]),
            num_images=int(document["num_images"]),
            rate=Interval.from_json(document["rate"]),
        )


def measure_refused(called: npt.NDArray[np.bool_], *, pictures: str) -> Refused:
    """Return the rate, Clopper–Pearson; `called` is (N,), which of them are called unknown."""
    rate = proportion(int(called.sum()), len(called))
    return Refused(pictures=pictures, num_images=len(called), rate=rate)
