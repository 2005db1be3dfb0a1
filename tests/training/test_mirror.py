"""Mirroring is allowed by what pictures look like: real digits and photographs, planted ones."""

from __future__ import annotations

import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from tests.training.test_loop import FACTS

from saccade.augmentation import Augmentation
from saccade.training.mirror import CHANGES, Likeness, decide_mirroring, likeness
from saccade.training.plan import derive_plan
from saccade.training.result import Pictures

FLIPS = Augmentation(flip=True)


def of(pixels, labels):
    return Pictures(pixels, np.arange(len(pixels)), labels)


def found(pixels, labels, change="flip"):
    return likeness(of(pixels, labels), change, seed=0)


def digits():
    data = load_digits()
    return np.rint(data.images * 255 / 16).astype(np.uint8)[..., None], data.target


def noise(num, side=16):
    shape = (num, side, side, 3)
    return np.random.default_rng(0).integers(0, 60, shape).astype(np.uint8)


def arrows(num=400):
    """Left arrows and right arrows: together they look the same in a mirror, each does not."""
    pixels, labels = noise(num), np.arange(num) % 2
    pixels[labels == 0, 4:12, :6] += 150
    pixels[labels == 1, 4:12, 10:] += 150
    return pixels, labels


def cats_and_dogs(num=600):
    folder = os.environ.get("SACCADE_DATASETS")
    path = Path(folder or ".") / "cats-vs-dogs-192px.tar"
    if not path.exists():
        pytest.skip("needs cats-vs-dogs-192px.tar in the folder that SACCADE_DATASETS names")
    pixels, labels = [], []
    with tarfile.open(path) as tar:
        members = [member for member in tar if member.isfile() and "/train/" in member.name]
        for member in members[:: len(members) // num]:
            image = Image.open(io.BytesIO(tar.extractfile(member).read()))
            image.draft("RGB", (48, 48))
            pixels.append(np.asarray(image.convert("RGB").resize((24, 24))))
            labels.append("/dogs/" in member.name)
    return np.stack(pixels), np.array(labels, int)


@pytest.mark.parametrize("change", CHANGES)
def test_digits_are_left_as_they_stand(change):
    likely = found(*digits(), change)
    assert likely.share > 0.9
    assert not likely.allows


def test_digits_that_become_each_other_are_named():
    """A mirrored 2 is a 5, as a thumbnail; upside down as well."""
    assert found(*digits(), "flip_vertical").exchanged == (2, 5)


def test_photographs_are_mirrored_but_not_stood_on_their_heads():
    pixels, labels = cats_and_dogs()
    assert found(pixels, labels).allows
    assert not found(pixels, labels, "flip_vertical").allows
    assert not found(pixels, labels, "turn").allows


@pytest.mark.parametrize("change", CHANGES)
def test_pictures_taken_from_every_side_are_changed(change):
    """Digits, half of them seen changed, as cells or roofs from above: classes look the same so."""
    pixels, labels = digits()
    random = np.random.default_rng(0)
    for turned, quarters in zip(pixels, random.integers(0, 4, len(pixels)), strict=True):
        turned[:] = np.rot90(turned, quarters)
    mirrored = random.random(len(pixels)) < 0.5
    pixels[mirrored] = pixels[mirrored, :, ::-1]
    apart = np.isin(labels, (0, 1, 3, 4, 8))  # 6 and 9, 2 and 5 are now told apart by nothing
    likely = found(pixels[apart], labels[apart], change)
    assert 0.45 < likely.share < 0.55
    assert likely.allows


def test_left_and_right_arrows_are_not_mirrored():
    likely = found(*arrows())
    assert likely.share > 0.95
    assert likely.exchanged == (0, 1)
    assert not likely.allows
    assert found(*arrows(), "flip_vertical").allows


def test_two_hands_among_many_classes_are_not_mirrored():
    """Of 22 classes 20 look alike in a mirror, so that the share alone would allow it."""
    random = np.random.default_rng(1)
    hands, labels = arrows(160)
    patterns = random.integers(0, 180, (20, 16, 8, 3))
    whole = np.concatenate([patterns, patterns[:, :, ::-1]], axis=2).astype(np.uint8)
    others = noise(1_600) + whole[np.arange(1_600) % 20]
    likely = found(np.concatenate([others, hands]), np.r_[np.arange(1_600) % 20, labels + 20])
    assert likely.exchanged == (20, 21)
    assert replace(likely, exchanged=None).allows
    assert not likely.allows


def test_one_direction_alone_is_no_exchange():
    """Boots all face left; mirrored, the nearest class is bags, but mirrored bags stay bags."""
    pixels, labels = arrows()
    pixels[labels == 1, 4:12, :6] += 150  # bags fill both sides
    assert found(pixels, labels).exchanged is None


def test_few_pictures_cannot_tell():
    assert not Likeness(share=0.5, num_images=20).allows
    assert not Likeness(share=0.0, num_images=0).allows


def test_one_picture_a_class_says_nothing():
    likely = found(np.zeros((3, 8, 8, 1), np.uint8), np.arange(3))
    assert (likely.share, likely.num_images) == (1.0, 0)


def test_thumbnail_of_the_mirrored_picture_is_the_mirrored_thumbnail():
    """A picture and its mirror image in one class: each is the other's nearest, in the mirror."""
    for side in (7, 12, 13, 40, 97):
        half = np.random.default_rng(side).integers(0, 256, (1, side, side, 1)).astype(np.uint8)
        pixels = np.concatenate([half, half[:, :, ::-1]])
        likely = found(pixels, np.zeros(2, int))
        assert (likely.share, likely.num_images) == (0.0, 2), side


def test_plan_flips_only_where_pictures_allow_it():
    flips = replace(derive_plan(FACTS), augmentation=Augmentation(flip=True, flip_vertical=True))
    plan, note = decide_mirroring(flips, of(*arrows()))
    assert plan.augmentation == Augmentation(flip_vertical=True)
    assert "not mirrored: that turns class 1 and class 2 into each other" in note
    assert "pictures are turned upside down" in note


def test_note_names_the_classes_that_become_each_other():
    (pixels, labels), flips = arrows(), replace(derive_plan(FACTS), augmentation=FLIPS)
    named = of(pixels, labels)._replace(names=("left", "right"))
    for train in (named, named.some(np.arange(len(pixels)))):
        assert "turns 'left' and 'right' into each other" in decide_mirroring(flips, train)[1]
    sets = np.stack([labels == 0, labels == 1, labels >= 0], axis=1)
    several = of(pixels, sets)._replace(names=("left", "right", "arrow"))
    said = decide_mirroring(flips, several)[1]
    assert "turns 'right' with 'arrow' and 'left' with 'arrow' into each other" in said


def test_what_is_asked_is_done_and_doubted():
    plan = derive_plan(FACTS, augmentation=Augmentation(flip=True, turn=True))
    decided, note = decide_mirroring(plan, of(*digits()))
    assert decided == plan
    assert note.count("as asked, but may not look it") == 2


def test_pictures_of_one_group_are_no_neighbours_of_each_other():
    """Frames of a film are nearest to each other, as they are; films as such know no left."""
    random = np.random.default_rng(0)
    scenes = random.integers(0, 200, (80, 16, 16, 1))
    film = np.repeat(np.arange(80), 6)
    pixels = (scenes[film] + random.integers(0, 20, (480, 16, 16, 1))).astype(np.uint8)
    labels = film % 2
    assert found(pixels, labels).share > 0.99
    apart = Pictures(pixels, np.arange(480), labels, film)
    assert abs(likeness(apart, "flip", seed=0).share - 0.5) < 0.15
    alone = Pictures(pixels, np.arange(480), labels, np.full(480, -1))
    assert likeness(alone, "flip", seed=0).share > 0.99


def test_one_group_a_class_says_nothing():
    pixels, labels = arrows(40)
    said = likeness(Pictures(pixels, np.arange(40), labels, labels), "flip", seed=0)
    assert said.num_images == 0
    assert not said.allows
