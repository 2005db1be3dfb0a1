"""Pictures that the finished classifier should know, and how many of these it calls unknown."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from saccade.bundle.unusualness import FEWEST_VALIDATION, Known
from saccade.evaluation import Unknown, measure_unknown
from saccade.predict import Classifier
from saccade.recipe.prepare import TRAIN, VALIDATION, Prepared
from saccade.training import Pictures

_MOST: Final = 600  # of each part: more are hardly better, and take time (docs/figures.md)


def known_pictures(prepared: Prepared) -> Known | None:
    """Return what unusualness is measured by; None with too few validation pictures."""
    train, validation = (_some(prepared, part) for part in (TRAIN, VALIDATION))
    if len(validation.rows) < FEWEST_VALIDATION:
        return None
    return Known(train=train.batches(), validation=validation.batches())


def num_known(prepared: Prepared) -> int:
    """Return how many pictures `known_pictures` gives."""
    return sum(len(_some(prepared, part).rows) for part in (TRAIN, VALIDATION))


def _some(prepared: Prepared, part: int) -> Pictures:
    """Return some of a part, drawn by chance, in order: a memory map is read fastest so."""
    pictures = prepared.pictures(part)
    random = np.random.default_rng(prepared.plan.seed)
    places = np.sort(random.permutation(len(pictures.rows))[:_MOST])
    return Pictures(pictures.pixels, pictures.rows[places], pictures.labels[places])


def rate_of_unknown(
    classifier: Classifier, unusualness: npt.NDArray[np.float32] | None
) -> Unknown | None:
    """Return how many test pictures, of that `unusualness` (N,), are called unknown.

    None where the classifier has no such score.
    """
    target = classifier.manifest.unknown_rate
    if unusualness is None or target is None:
        return None
    return measure_unknown(unusualness > 1, target=target)


def why_no_score(classifier: Classifier, prepared: Prepared) -> str | None:
    """Return a sentence where the classifier cannot say that a picture is unknown to it."""
    if classifier.manifest.unknown_rate is not None:
        return None
    if (number := len(prepared.pictures(VALIDATION).rows)) < FEWEST_VALIDATION:
        why = f"that takes {FEWEST_VALIDATION} validation pictures, and there are {number}"
    else:
        why = "the network has neither feature maps nor a Dense layer at its end to compare by"
    return f"it cannot tell that a picture is like nothing in training: {why}"
