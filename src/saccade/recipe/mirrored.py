"""Whether each picture is answered together with its mirror image.

Where classes survive a mirror, the mean of both answers is right more often, and it takes twice the
work. Validation pictures decide, by the loss after calibration, as they decide on the best epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from saccade.evaluation import (
    apply_temperature,
    fit_label_temperature,
    fit_temperature,
    label_probabilities,
)
from saccade.models import build_compact
from saccade.progress import Progress
from saccade.recipe.prepare import VALIDATION, Prepared
from saccade.training import FitResult, Pictures, logits_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answering:
    """The network that is shipped, and what it says of the validation pictures."""

    network: Any  # a Keras model
    logits: npt.NDArray[np.float32]  # (N, C), of the validation pictures
    note: str | None = None  # on the mirror, where it was tried


def choose_answering(
    network: Any, prepared: Prepared, fit: FitResult, *, progress: Progress
) -> Answering:
    """Return the trained network, or the same with a mirror where that answers better."""
    validation = prepared.pictures(VALIDATION)
    logits = logits_of(network, validation, progress=progress)
    plain = Answering(network=network, logits=logits)
    if prepared.plan.design is None or not fit.augmentation.flip:
        return plain
    mirrored = validation._replace(pixels=validation.pixels[:, :, ::-1])
    both = (logits + logits_of(network, mirrored, progress=progress)) / np.float32(2)
    before, after = (_loss(each, validation) for each in (logits, both))
    if after >= before:
        return plain
    note = (
        "each picture is answered together with its mirror image, at twice the work: the "
        f"validation loss is {after:.3f}, and {before:.3f} without"
    )
    return Answering(network=with_mirror(network, prepared), logits=both, note=note)


def with_mirror(network: Any, prepared: Prepared) -> Any:
    """Return a network of our own family, with the same weights, that looks in a mirror too."""
    plan = prepared.plan
    if plan.design is None:
        raise ValueError("only networks of our own family look in a mirror")
    twofold = build_compact(
        plan.design,
        input_shape=plan.input_shape,
        num_classes=len(prepared.classes),
        mirrored=True,
    )
    twofold.set_weights(network.get_weights())
    return twofold


def _loss(logits: npt.NDArray[np.float32], validation: Pictures) -> float:
    """Return the mean cross-entropy, in nats, of calibrated probabilities."""
    labels = validation.labels
    if validation.several_labels:
        probabilities = label_probabilities(logits, fit_label_temperature(logits, labels))
        true = np.where(labels, probabilities, 1 - probabilities)
    else:
        probabilities = apply_temperature(logits, fit_temperature(logits, labels))
        true = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(true, 1e-12)).mean())
