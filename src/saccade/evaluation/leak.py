"""Test pictures that the network has seen nearly so in training, and what they do to the accuracy.

leak = measure_leak(right, leaked, copies=[("test/7.jpg", "train/2.jpg", 0.98)])
leak.sentence()
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from saccade.evaluation.intervals import percent, proportion
from saccade.types import Interval

_LISTED: Final = 200

_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """The accuracy with and without the test pictures that have a near copy in another part."""

    num_images: int  # test pictures with a near copy in training or validation
    num_test: int
    accuracy: Interval  # of all test pictures
    accuracy_without: Interval | None  # of those without a copy; None where none is left
    copies: tuple[Mapping[str, Any], ...]  # path, other, score: the first 200

    def sentence(self) -> str:
        """Return the finding in words."""
        has = "picture has" if self.num_images == 1 else "pictures have"
        without = self.accuracy_without
        rest = "none is without one" if without is None else f"without them {percent(without)}"
        return (
            f"{self.num_images:,} of {self.num_test:,} test {has} a near copy in training or "
            f"validation; right on all {percent(self.accuracy)}, {rest}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the leak as it stands in ``run.json``; `from_json` reads it, equal."""
        without = self.accuracy_without
        return {
            "num_images": self.num_images,
            "num_test": self.num_test,
            "accuracy": self.accuracy.to_json(),
            "accuracy_without": None if without is None else without.to_json(),
            "copies": [dict(copy) for copy in self.copies],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Leak:
        """Read what `to_json` wrote."""
        without = document["accuracy_without"]
        return cls(
            num_images=int(document["num_images"]),
            num_test=int(document["num_test"]),
            accuracy=Interval.from_json(document["accuracy"]),
            accuracy_without=None if without is None else Interval.from_json(without),
            copies=tuple(document["copies"]),
        )


def measure_leak(
    right: _Mask, leaked: _Mask, *, copies: Sequence[tuple[str, str, float]]
) -> Leak | None:
    """Return what leaks, None where nothing does.

    `right` and `leaked` are (N,) of the test pictures: named correctly, and with a near copy in
    another part. `copies` are (test picture, other, score from 0 to 1).
    """
    if not leaked.any():
        return None
    rest = right[~leaked]
    return Leak(
        num_images=int(leaked.sum()),
        num_test=len(right),
        accuracy=proportion(int(right.sum()), len(right)),
        accuracy_without=proportion(int(rest.sum()), len(rest)) if len(rest) else None,
        copies=tuple(
            {"path": path, "other": other, "score": round(float(score), 4)}
            for path, other, score in copies[:_LISTED]
        ),
    )
