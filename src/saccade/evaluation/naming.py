"""Names for uneven classes: which class a picture is named, of calibrated probabilities.

Where one class has many times the pictures of another, the most probable class is mostly the large
one: right most often, and the small class is hardly ever found. Dividing the probabilities by the
classes' shares of the training pictures before taking the largest (Menon et al., ICLR 2021, the
post-hoc logit adjustment) finds all classes equally well, but names so much wrongly that F1 falls.
Half of it, in the exponent, is taken: the root of the share.

    label = argmax p / share^(1/2)

Networks are trained as ever, and the probabilities are not touched, so they stay calibrated for
pictures that come as unevenly as the user's. What was measured beside it stands in
docs/figures.md.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from saccade.evaluation.beta import Floats

UNEVEN: Final = 10.0  # the largest class's pictures to the smallest's; `saccade check` says so too
_POWER: Final = 0.5  # of a class's share; 0 names the most probable, 1 finds all classes alike


def are_uneven(counts: npt.NDArray[np.integer[Any]]) -> bool:
    """Return whether the largest class has ten times the training pictures of the smallest.

    `counts` (C,) are those of each class; classes without any are passed over.
    """
    some = counts[counts > 0]
    return len(some) > 1 and bool(some.max() >= UNEVEN * some.min())


def class_weights(counts: npt.NDArray[np.integer[Any]]) -> tuple[float, ...]:
    """Return what each class's probability is multiplied by, 1 for the largest class, from counts.

    A class without training pictures, of which the network knows nothing, keeps 1.
    """
    weights = np.where(counts > 0, (counts.max() / np.maximum(counts, 1)) ** _POWER, 1.0)
    return tuple(weights.tolist())


def predicted_by_weight(
    probabilities: npt.NDArray[np.floating[Any]], weights: tuple[float, ...]
) -> npt.NDArray[np.int64]:
    """Return the class number of each row of (N, C) probabilities; the first wins a tie."""
    weighted: Floats = probabilities.astype(np.float64) * np.asarray(weights)
    predicted: npt.NDArray[np.int64] = weighted.argmax(axis=1).astype(np.int64)
    return predicted
