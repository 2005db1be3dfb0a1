"""Mirroring is allowed by what the pictures look like: real digits, and made symmetric ones."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from saccade.training.mirror import may_mirror, unmirrored_share


def share_of(pixels, labels):
    return unmirrored_share(pixels, np.arange(len(pixels)), labels, seed=0)


def digits():
    data = load_digits()
    return np.rint(data.images * 255 / 16).astype(np.uint8)[..., None], data.target


def test_digits_are_not_mirrored():
    share, count = share_of(*digits())
    assert share > 0.9
    assert not may_mirror(share, count)


def test_pictures_taken_from_both_sides_are_mirrored():
    """Digits, half of them seen in a mirror: every class now looks the same in one."""
    pixels, labels = digits()
    turned = np.random.default_rng(0).random(len(pixels)) < 0.5
    pixels[turned] = pixels[turned, :, ::-1]
    share, count = share_of(pixels, labels)
    assert 0.45 < share < 0.55
    assert may_mirror(share, count)


def test_left_and_right_arrows_are_not_mirrored():
    """Together they look the same in a mirror, each class does not."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 60, (400, 16, 16, 3)).astype(np.uint8)
    labels = np.arange(400) % 2
    pixels[labels == 0, 4:12, :6] += 150
    pixels[labels == 1, 4:12, 10:] += 150
    share, count = share_of(pixels, labels)
    assert share > 0.95
    assert not may_mirror(share, count)


def test_few_pictures_cannot_tell():
    assert not may_mirror(0.5, 20)
    assert not may_mirror(0.0, 0)


def test_one_picture_a_class_says_nothing():
    pixels = np.zeros((3, 8, 8, 1), np.uint8)
    assert share_of(pixels, np.arange(3)) == (1.0, 0)


def test_thumbnail_of_the_mirrored_picture_is_the_mirrored_thumbnail():
    """A picture and its mirror image in one class: each is the other's nearest, in the mirror."""
    for side in (7, 12, 13, 40, 97):
        half = np.random.default_rng(side).integers(0, 256, (1, side, side, 1)).astype(np.uint8)
        pixels = np.concatenate([half, half[:, :, ::-1]])
        share, count = share_of(pixels, np.zeros(2, int))
        assert (share, count) == (0.0, 2), side
