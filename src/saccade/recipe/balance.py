"""Whether labels are balanced over uneven classes, and the sentence that tells the user."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from saccade.config import TrainSettings
from saccade.data import Index
from saccade.evaluation import are_uneven, class_weights
from saccade.training import TrainPlan
from saccade.types import TRAIN

if TYPE_CHECKING:
    from saccade.recipe.prepare import Prepared


def with_balance(plan: TrainPlan, index: Index, settings: TrainSettings) -> TrainPlan:
    """Return the plan with class weights where the training pictures, and the settings, ask so.

    ``auto`` balances where one class has ten times the pictures of another. A model that brings its
    own loss is balanced only where that is asked for, and an operating point decides the labels by
    itself.
    """
    counts = index.counts_of(TRAIN)
    wanted = settings.balance == "on" or (
        settings.balance == "auto" and plan.recipe == "auto" and are_uneven(counts)
    )
    if not wanted or settings.operating_point is not None or settings.multi_label:
        return replace(plan, class_weights=None)
    return replace(plan, class_weights=class_weights(counts))


def balance_note(prepared: Prepared, settings: TrainSettings) -> str:
    """Return how labels are named where classes are uneven, and how to have them otherwise.

    Empty where they are not uneven and nothing is weighted.
    """
    index = prepared.index
    counts = index.counts_of(TRAIN)
    weighted = prepared.plan.class_weights is not None
    if not (weighted or are_uneven(counts)):
        return ""
    large, small = int(counts.argmax()), int(np.where(counts > 0, counts, counts.max()).argmin())
    uneven = (
        f"class {index.classes[large]!r} has {counts[large] / counts[small]:.0f} times as many "
        f"training pictures as {index.classes[small]!r} ({counts[large]:,} and {counts[small]:,}): "
    )
    if weighted:
        return (
            f"{uneven}labels are weighted by the root of that, so that small classes are found "
            "too; probabilities are as they were, and --balance off gives the most probable class"
        )
    why = "as was asked" if settings.balance == "off" else "as the model brings its own training"
    return (
        f"{uneven}labels are left alone, {why}: each is the most probable class, and small classes "
        "may hardly be found; --balance on weights labels so that they are, and trains the same"
    )
