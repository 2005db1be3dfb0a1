"""Pictures that the finished classifier should know, and how many of these it calls unknown.

And how many that it was not trained on. Left out are kinds that share a picture with the training,
and digits where most classes are called like them.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import numpy.typing as npt

from saccade.bundle.unusualness import FEWEST_VALIDATION, Known
from saccade.data.picture import digest_of
from saccade.data.raster import Pixels
from saccade.data.references import DIGITS, found, made
from saccade.evaluation import Refused, Unknown, measure_refused, measure_unknown
from saccade.predict import Classifier
from saccade.recipe.prepare import Prepared
from saccade.training import Pictures
from saccade.types import TRAIN, VALIDATION

_DIGITS: Final = "zero one two three four five six seven eight nine".split()
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
    return pictures.some(places)


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


def refused_elsewhere(classifier: Classifier) -> tuple[Refused, ...]:
    """Return what share of pictures that did not train it the classifier calls unknown, by kind.

    Kinds that it was trained on are left out. Empty where the classifier has no such score.
    """
    if classifier.manifest.unknown_rate is None:
        return ()
    read = classifier.preprocessing.read
    kinds = {kind: [read(one) for one in some] for kind, some in found().items()}
    kinds = {kind: some for kind, some in kinds.items() if not _is_known(kind, some, classifier)}
    return tuple(
        measure_refused(_called_unknown(classifier, np.stack(some)), pictures=kind)
        for kind, some in (kinds | made(classifier.preprocessing.shape)).items()
    )


def _is_known(kind: str, pictures: list[Pixels], classifier: Classifier) -> bool:
    """Return whether pictures of that kind, as the classifier reads them, trained it."""
    if kind == DIGITS and _are_digits(classifier.classes):
        return True
    digests = np.array([digest_of(one) for one in pictures], np.uint64)
    return bool(np.isin(digests, classifier.seen).any())


def _are_digits(classes: tuple[str, ...]) -> bool:
    """Return whether most names, and two at least, are digits."""
    number = sum(map(_is_digit, classes))
    return number > 1 and 2 * number > len(classes)


def _is_digit(name: str) -> bool:
    """Return whether a name is a digit, its word or both, such as "0 - zero" or "digit 0"."""
    words = set(re.findall(r"\d+|[^\W\d_]+", name.casefold()))
    return any(
        words & {str(digit), word} and words <= {str(digit), word, "digit"}
        for digit, word in enumerate(_DIGITS)
    )


def _called_unknown(classifier: Classifier, pixels: Pixels) -> npt.NDArray[np.bool_]:
    pictures = Pictures(pixels, np.arange(len(pixels)), np.zeros(len(pixels), np.intp))
    scores = [classifier.run_batch(some).unusualness for some in pictures.batches()]
    return np.concatenate([score > 1 for score in scores if score is not None])


def why_no_score(classifier: Classifier, prepared: Prepared) -> str | None:
    """Return a sentence where the classifier cannot say that a picture is unknown to it."""
    if classifier.manifest.unknown_rate is not None:
        return None
    if (number := len(prepared.pictures(VALIDATION).rows)) < FEWEST_VALIDATION:
        why = f"that takes {FEWEST_VALIDATION} validation pictures, and there are {number}"
    else:
        why = "the network has neither feature maps nor a Dense layer at its end to compare by"
    return f"it cannot tell that a picture is like nothing in training: {why}"
