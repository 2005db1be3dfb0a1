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

_FEW: Final = 100  # subjects of a class: a judgement; fifty gain much, cats and dogs need nothing
_SHOWN_OFTEN: Final = 3  # pictures of a subject; fewer are not frames of one film
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
    planned = plan.augmentation
    if plan.design is None or plan.augmentation_is_asked or not planned.light:
        return plan, ""
    number = num_subjects(train)
    if number is None or number >= _FEW:
        return plan, ""
    more = _MORE | _OF_PHOTOGRAPHS if planned.zoom else _MORE  # tiny pictures would be ruined
    if plan.channels == 1:
        more = {name: strength for name, strength in more.items() if name != "colour"}
    changes = replace(planned, **more)
    note = f"about {number:,} subjects a class: changed more, to stand for others ({changes})"
    return replace(plan, augmentation=changes), note


def num_subjects(train: Pictures) -> int | None:
    """Return how many subjects the pictures of a class, or of a label, show: the median's.

    A subject is a group, or a picture that stands alone. None without groups, and where they have
    hardly more pictures than one each.
    """
    if train.group is None:
        return None
    subject = train.subjects
    if train.several_labels:
        shown = [subject[with_it] for with_it in train.labels.T]
    else:
        shown = [subject[train.labels == label] for label in np.unique(train.labels)]
    numbers = [len(np.unique(subjects)) for subjects in shown if len(subjects)]
    seldom = len(subject) < _SHOWN_OFTEN * len(np.unique(subject))
    return None if seldom or not numbers else int(np.median(numbers))
