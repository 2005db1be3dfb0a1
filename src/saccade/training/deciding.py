"""What the training pictures themselves decide of the plan: which changes they are shown with.

Whether they are mirrored, see `mirror`. And how much else is changed: pictures of few subjects, of
which many are frames of one film, teach little of what the next subject will look like. What they
lack is made up (docs/augmentation.md has the measurements).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np

from saccade.training.mirror import decide_mirroring
from saccade.training.plan import TrainPlan
from saccade.training.result import Pictures

_FEW: Final = 100  # subjects a class; a thousand would be a set of pictures like any other
_MORE: Final[dict[str, Any]] = {"light": 0.5, "colour": 0.4}
_OF_PHOTOGRAPHS: Final[dict[str, Any]] = {"light": 0.8, "rotate": 15.0, "erase": 0.3}


def decide_changes(plan: TrainPlan, train: Pictures) -> tuple[TrainPlan, list[str]]:
    """Return the plan with the changes that suit the pictures, and notes."""
    plan, mirrors = decide_mirroring(plan, train)
    plan, subjects = _decide_strength(plan, train)
    return plan, [note for note in (mirrors, subjects) if note]


def _decide_strength(plan: TrainPlan, train: Pictures) -> tuple[TrainPlan, str]:
    """Return the plan with stronger changes where there are few subjects, and a note.

    What the user asked for is done as it is, and pictures that are not relit, since they are shown
    a few times only, or to layers that stay as they are, are left so.
    """
    planned, number = plan.augmentation, num_subjects(train)
    if plan.design is None or plan.augmentation_is_asked or not planned.light or number is None:
        return plan, ""
    num_classes = train.labels.shape[1] if train.several_labels else len(np.unique(train.labels))
    if number >= _FEW * num_classes:
        return plan, ""
    more = _MORE | _OF_PHOTOGRAPHS if planned.zoom else _MORE  # tiny pictures would be ruined
    changes = replace(planned, **more)
    note = f"pictures of only {number:,} subjects: changed more, to stand for others ({changes})"
    return replace(plan, augmentation=changes), note


def num_subjects(train: Pictures) -> int | None:
    """Return how many groups there are, and pictures that stand alone; None without groups."""
    if train.group is None:
        return None
    return len(np.setdiff1d(train.group, [-1])) + int((train.group < 0).sum())
