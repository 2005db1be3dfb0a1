"""Augmentation: what a picture may become, against slow and obvious versions."""

from __future__ import annotations

import numpy as np
import pytest

from saccade.training.augment import Augmentation, augment


def pictures(num=16, height=6, width=9, channels=3):
    shape = (num, height, width, channels)
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def augmented(batch, seed=1, **changes):
    return augment(batch, Augmentation(**changes), np.random.default_rng(seed))


def test_nothing_asked_changes_nothing():
    batch = pictures()
    assert np.array_equal(augmented(batch), batch)


@pytest.mark.parametrize("shape", [(6, 9), (8, 8), (1, 1), (5, 1)])
def test_shape_and_type_stay(shape):
    batch = pictures(height=shape[0], width=shape[1], channels=1)
    changed = augmented(batch, shift=0.3, zoom=0.5, flip=True, light=0.3)
    assert (changed.shape, changed.dtype) == (batch.shape, np.uint8)


def test_shift_moves_and_reflects():
    batch = pictures()
    changed = augmented(batch, shift=0.34)  # up to 2 rows and 3 columns
    padded = np.pad(batch, [(0, 0), (3, 3), (3, 3), (0, 0)], mode="symmetric")
    height, width = batch.shape[1:3]
    moves = set()
    for before, after in zip(padded, changed, strict=True):
        found = [
            (dy - 3, dx - 3)
            for dy in range(7)
            for dx in range(7)
            if np.array_equal(before[dy : dy + height, dx : dx + width], after)
        ]
        assert len(found) == 1
        moves.add(found[0])
    assert len(moves) > 4
    assert all(abs(dy) <= 2 and abs(dx) <= 3 for dy, dx in moves)


def test_flip_mirrors_about_half():
    batch = pictures(num=200)
    changed = augmented(batch, flip=True)
    mirrored = (changed == batch[:, :, ::-1]).all(axis=(1, 2, 3))
    assert ((changed == batch).all(axis=(1, 2, 3)) ^ mirrored).all()
    assert 60 < mirrored.sum() < 140  # 100 ± 5.6 standard deviations


def test_zoom_shows_a_part_enlarged():
    columns = np.tile(np.arange(100, dtype=np.uint8)[None, None, :, None], (50, 1, 1, 1))
    shown = np.ptp(augmented(columns, zoom=0.4)[:, 0, :, 0].astype(int), axis=1) + 1
    assert shown.min() < 75
    assert shown.min() >= 59
    assert shown.max() <= 100


def test_light_keeps_the_order_of_greys():
    ramp = np.tile(np.arange(64, 192, dtype=np.uint8)[None, None, :, None], (20, 1, 1, 1))
    changed = augmented(ramp, light=0.2)[:, 0, :, 0].astype(int)
    assert (np.diff(changed, axis=1) >= 0).all()
    assert len({tuple(row) for row in changed}) == 20


def test_same_seed_same_pictures():
    batch = pictures()
    every = {"shift": 0.2, "zoom": 0.3, "flip": True, "light": 0.2}
    assert np.array_equal(augmented(batch, **every), augmented(batch, **every))
    assert not np.array_equal(augmented(batch, **every), augmented(batch, seed=2, **every))


def test_pictures_given_stay_as_they_are():
    batch = pictures()
    before = batch.copy()
    augmented(batch, shift=0.2, zoom=0.3, flip=True, light=0.2)
    assert np.array_equal(batch, before)
