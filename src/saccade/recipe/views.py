"""In how many views each picture is answered: as it is alone, or also moved, and in a mirror.

A network that pools answers a little differently once its input moves by a pixel, or is mirrored;
the mean over such views is right more often, and takes as many times the work. Validation pictures
decide, by the loss after calibration, as they decide on the best epoch: for more work it has to
fall by more than the standard error of its fall. That is no proof. Views help as a rule, so they
need not be proven anew; the margin is for the work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from saccade.evaluation import (
    apply_temperature,
    fit_label_temperature,
    fit_temperature,
    label_probabilities,
)
from saccade.models import AS_IT_IS, CompactDesign, View, build_compact
from saccade.progress import Progress
from saccade.recipe.prepare import Prepared
from saccade.training import FitResult, Pictures, logits_of
from saccade.types import VALIDATION

Views = tuple[View, ...]
_FEWEST_SUBJECTS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answering:
    """The network that is shipped, and what it says of the validation pictures."""

    network: Any  # a Keras model
    logits: npt.NDArray[np.float32]  # (N, C), of the validation pictures
    note: str | None = None  # on the views, where they are taken


def ways_of_looking(design: CompactDesign, *, mirrored: bool) -> tuple[Views, ...]:
    """Return the views that may answer together, the cheapest first; as it is, alone, is left out.

    Where the first convolution has a stride, moving gains nothing: docs/augmentation.md.
    """
    own = View(mirrored=mirrored)
    ways: list[Views] = [(AS_IT_IS, own)] if mirrored else []
    if design.stem_stride == 1:
        ways.append((own, View(shift_px=1), View(shift_px=-1)))
    return tuple(ways)


def choose_answering(
    network: Any, prepared: Prepared, fit: FitResult, *, progress: Progress
) -> Answering:
    """Return the trained network, or the same in several views where that answers better."""
    validation = prepared.pictures(VALIDATION)
    said = {AS_IT_IS: logits_of(network, validation, progress=progress)}
    best: tuple[Views, npt.NDArray[np.float32]] = ((AS_IT_IS,), said[AS_IT_IS])
    if prepared.plan.design is None:
        return Answering(network=network, logits=best[1])
    plain = least = _losses(best[1], validation)
    for views in ways_of_looking(prepared.plan.design, mirrored=fit.augmentation.flip):
        for view in set(views) - set(said):
            said[view] = logits_of(network, validation, view=view, progress=progress)
        together = np.stack([said[view] for view in views]).mean(axis=0)
        losses = _losses(together, validation)
        if falls(least - losses, validation.subjects):
            best, least = (views, together), losses
    views, logits = best
    if len(views) == 1:
        return Answering(network=network, logits=logits)
    note = (
        f"each picture is answered {_said(views)}, at {len(views)} times the work: the validation "
        f"loss is {least.mean():.3f}, and {plain.mean():.3f} without"
    )
    return Answering(network=with_views(network, prepared, views), logits=logits, note=note)


def falls(fall: npt.NDArray[np.float64], subjects: npt.NDArray[np.intp]) -> bool:
    """Return whether the mean of a fall (N,) is above its standard error.

    Pictures of one of the `subjects` (N,) say the same thing, and count together (Liang and Zeger,
    Biometrika 73, 1986); of fewer than 10 subjects no error can be told, and False is returned.
    """
    apart = np.unique(subjects, return_inverse=True)[1].reshape(-1)
    sums = np.bincount(apart, fall - fall.mean())
    if len(sums) < _FEWEST_SUBJECTS:
        return False
    error = np.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1)) / len(fall)
    return bool(fall.mean() > error)


def with_views(network: Any, prepared: Prepared, views: Views) -> Any:
    """Return a network of our own family, with the same weights, that answers in these views."""
    plan = prepared.plan
    if plan.design is None:
        raise ValueError("only networks of our own family look at a picture in several views")
    manifold = build_compact(
        plan.design,
        input_shape=plan.input_shape,
        num_classes=len(prepared.classes),
        views=views,
    )
    manifold.set_weights(network.get_weights())
    return manifold


def _said(views: Views) -> str:
    words = ["as it is"] if AS_IT_IS in views else []
    if any(view.mirrored for view in views):
        words.append("in a mirror")
    if any(view.shift_px for view in views):
        words.append("moved by a pixel both ways")
    return " and ".join(words)


def _losses(logits: npt.NDArray[np.float32], validation: Pictures) -> npt.NDArray[np.float64]:
    """Return each picture's cross-entropy, in nats, of calibrated probabilities, (N,)."""
    labels = validation.labels
    if validation.several_labels:
        probabilities = label_probabilities(logits, fit_label_temperature(logits, labels))
        true = np.where(labels, probabilities, 1 - probabilities)
    else:
        probabilities = apply_temperature(logits, fit_temperature(logits, labels))
        true = probabilities[np.arange(len(labels)), labels]
    losses = -np.log(np.maximum(true, 1e-12)).reshape(len(labels), -1)
    each: npt.NDArray[np.float64] = losses.mean(axis=1)
    return each
