"""Whether labels are balanced over uneven classes, and the sentence that tells the user so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from saccade.config import TrainSettings
from saccade.data import Index
from saccade.evaluation import are_uneven, class_weights
from saccade.training import TrainPlan
from saccade.types import PARTS

if TYPE_CHECKING:
    from saccade.recipe.prepare import Prepared


def with_balance(plan: TrainPlan, index: Index, settings: TrainSettings) -> TrainPlan:
    """Return the plan with class weights where the training pictures, and the settings, ask so.

    ``auto`` balances where one class has ten times the pictures of another. A model that brings its
    own loss is balanced only where that is asked for, and an operating point decides the labels by
    itself.
    """
    counts = index.counts_of(PARTS.index("train"))
    wanted = settings.balance == "on" or (
        settings.balance == "auto" and plan.recipe == "auto" and are_uneven(counts)
    )
    if not wanted or settings.operating_point is not None or settings.multi_label:
        return replace(plan, class_weights=None)
    return replace(plan, class_weights=class_weights(counts))


def balance_note(prepared: Prepared) -> str:
    """Return how labels are balanced, and how to have them otherwise."""
    index = prepared.index
    counts = index.counts_of(PARTS.index("train"))
    large, small = int(counts.argmax()), int(np.where(counts > 0, counts, counts.max()).argmin())
    return (
        f"class {index.classes[large]!r} has {counts[large] / counts[small]:.0f} times as many "
        f"training pictures as {index.classes[small]!r} ({counts[large]:,} and {counts[small]:,}): "
        "labels are weighted by the root of that, so that small classes are found too; "
        "probabilities are as they were, and --balance off gives the most probable class"
    )
