"""What training pictures decide of their changes: more of them where there are few subjects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from saccade.augmentation import Augmentation
from saccade.training.changes import decide_changes, num_subjects
from saccade.training.plan import Facts, TrainPlan, derive_plan
from saccade.training.result import Pictures


def plan_for(side: int, augmentation: Augmentation | None = None, **facts: object) -> TrainPlan:
    given = {"channels": 3, "num_classes": 2, "num_train": 600, "epochs": 40, "budget_s": None}
    shape = {"width_px": side, "height_px": side, "same_size": True}
    return derive_plan(Facts(**shape, **{**given, **facts}), augmentation=augmentation)


def pictures(group: object, *, side: int = 20, several: bool = False) -> Pictures:
    """1,200 pictures of noise in two classes, or of two labels, half of them of each."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (1200, side, side, 3)).astype(np.uint8)
    labels = np.arange(1200) % 2
    if several:
        labels = np.stack([labels == 0, labels == 1], axis=1)
    return Pictures(pixels, np.arange(1200), labels, group)


EACH = np.arange(1200) % 2  # class: the even rows are of one, the odd of the other
FEW = np.arange(1200) // 14 * 2 + EACH  # 86 subjects a class
MANY = np.arange(1200) // 12 * 2 + EACH  # 100


def test_subjects_are_counted_class_by_class():
    assert num_subjects(pictures(FEW)) == 86
    assert num_subjects(pictures(MANY)) == num_subjects(pictures(MANY, several=True)) == 100
    assert num_subjects(pictures(np.arange(1200) // 12)) == 100, "who shows both counts for both"


def test_who_stands_alone_is_a_subject():
    assert num_subjects(pictures(np.where(np.arange(1200) < 1000, 0, -1))) == 1 + 100


@pytest.mark.parametrize("group", [None, np.full(1200, -1), np.arange(1200) // 2])
def test_groups_of_one_or_two_are_no_subjects(group):
    assert num_subjects(pictures(group)) is None


@pytest.mark.parametrize("several", [False, True])
def test_pictures_of_few_subjects_are_changed_more(several):
    decided, notes = decide_changes(plan_for(20), pictures(FEW, several=several))
    changes = decided.augmentation
    assert (changes.light, changes.colour, changes.rotate, changes.erase) == (0.5, 0.4, 0, 0)
    (said,) = [note for note in notes if "subjects" in note]
    assert said.startswith("about 86 subjects a class: changed more")


def test_photographs_of_few_subjects_are_also_rotated_and_covered():
    decided, _ = decide_changes(plan_for(100), pictures(FEW, side=100))
    changes = decided.augmentation
    assert (changes.light, changes.colour, changes.rotate, changes.erase) == (0.8, 0.4, 15, 0.3)
    assert (changes.zoom, changes.shift) == (0.15, 0.05), "the rest stays"


def test_grey_pictures_are_not_said_to_change_in_colour():
    decided, _ = decide_changes(plan_for(20, channels=1), pictures(FEW))
    assert (decided.augmentation.light, decided.augmentation.colour) == (0.5, 0)


@pytest.mark.parametrize("group", [None, MANY, np.full(1200, -1)])
def test_pictures_of_many_subjects_are_changed_as_planned(group):
    decided, notes = decide_changes(plan_for(20), pictures(group))
    assert decided.augmentation.light == 0.2
    assert not [note for note in notes if "subjects" in note]


@pytest.mark.parametrize(
    "plan",
    [
        plan_for(20, Augmentation(light=0.1)),
        replace(plan_for(20), design=None),
        plan_for(20, epochs=4),  # shown a few times only
    ],
)
def test_what_was_asked_or_has_its_reason_stays(plan):
    decided, _ = decide_changes(plan, pictures(FEW))
    assert decided.augmentation.light == plan.augmentation.light
