"""Augmentation: what a picture may become, against slow and obvious versions."""

from __future__ import annotations

import numpy as np
import pytest

from saccade.augmentation import Augmentation
from saccade.errors import SettingsError
from saccade.training import augment
from saccade.training.draws import changed as mix
from saccade.training.draws import draw_changes
from saccade.training.geometry import draw_maps
from saccade.training.kernels.library import find_kernels, load_kernels


def pictures(num=16, height=6, width=9, channels=3):
    shape = (num, height, width, channels)
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def drawn(batch, changes, random):
    return augment.as_drawn(batch, draw_changes(batch.shape, changes, random))


def augmented(batch, seed=1, **changes):
    return drawn(batch, Augmentation(**changes), np.random.default_rng(seed))


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


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("read_only", [False, True])
def test_light_is_what_the_formula_says(read_only):
    """The witness: contrast around the mean of every seventh byte, then brightness, by itself."""
    batch = pictures(num=8)
    batch.flags.writeable = not read_only
    changed = augmented(batch[:, :, ::-1], light=0.9)  # as views are, too
    random = np.random.default_rng(1)
    contrasts = 1 + 0.9 * (2 * random.random((8, 1)) - 1)
    brightnesses = 255 * 0.9 * (random.random((8, 1)) - 0.5)
    for n in range(8):
        before = batch[n, :, ::-1].astype(float)
        mean = before.reshape(-1)[::7].mean()
        wanted = (before - mean) * contrasts[n] + mean + brightnesses[n]
        assert np.abs(np.clip(wanted, 0, 255) - changed[n]).max() < 0.501


def test_same_seed_same_pictures():
    batch = pictures()
    every = {"rotate": 30, "shear": 0.2, "shift": 0.2, "zoom": 0.3, "flip": True}
    every |= {"light": 0.2, "colour": 0.2, "erase": 0.3}
    assert np.array_equal(augmented(batch, **every), augmented(batch, **every))
    assert not np.array_equal(augmented(batch, **every), augmented(batch, seed=2, **every))


def test_pictures_given_stay_as_they_are():
    batch = pictures()
    before = batch.copy()
    augmented(batch, shift=0.2, zoom=0.3, flip=True, light=0.2, erase=0.4, colour=0.3)
    mix(augment, batch, np.zeros(16, int), Augmentation(cutmix=1), np.random.default_rng(0), 2)
    assert np.array_equal(batch, before)


@pytest.fixture(params=["kernels", "NumPy"])
def way(request, monkeypatch):
    """Who changes the pictures."""
    find_kernels.cache_clear()
    if request.param == "NumPy":
        monkeypatch.setenv("SACCADE_KERNELS", "off")
    elif load_kernels() is None:
        pytest.skip("no C++ compiler")
    yield
    find_kernels.cache_clear()


STRAIGHT = {"shift": 0.2, "zoom": 0.3, "flip": True, "flip_vertical": True}
FILLS = {"reflect": "symmetric", "nearest": "edge", "wrap": "wrap", "constant": "constant"}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("shape", [(6, 9, 3), (12, 12, 1), (17, 5, 4), (1, 8, 3)])
@pytest.mark.parametrize("oblique", [{}, {"rotate": 40, "shear": 0.3}])
def test_one_gather_shows_what_the_formula_says(fill, shape, oblique):
    """The witness: every pixel of every picture by itself, from a picture padded by NumPy."""
    changes = Augmentation(**STRAIGHT, **oblique, fill=fill)
    batch, (height, width, _), pad = pictures(16, *shape), shape, 60
    shown = drawn(batch, changes, np.random.default_rng(3))
    matrices, centres = draw_maps(len(batch), shape[:2], changes, np.random.default_rng(3))
    padded = np.pad(batch, [(0, 0), (pad, pad), (pad, pad), (0, 0)], mode=FILLS[fill])
    near_an_edge = 0
    for n, (matrix, centre) in enumerate(zip(matrices, centres, strict=True)):
        for i in range(height):
            for j in range(width):
                place = centre + matrix @ (i + 0.5 - height / 2, j + 0.5 - width / 2)
                if np.abs(place - np.rint(place)).min() < 1e-3:  # fixed point may round it over
                    near_an_edge += 1
                    continue
                y, x = np.floor(place).astype(int) + pad
                assert np.array_equal(shown[n, i, j], padded[n, y, x])
    assert near_an_edge < 0.02 * batch[..., 0].size


def test_maps_keep_to_what_was_asked():
    """Rotations keep lengths and stay within their angle; both ways occur."""
    turned, centres = draw_maps(500, (32, 32), Augmentation(rotate=40), np.random.default_rng(0))
    angles = np.degrees(np.arctan2(turned[:, 1, 0], turned[:, 0, 0]))
    assert np.allclose(turned @ turned.transpose(0, 2, 1), np.eye(2))
    assert (-40 <= angles.min() < -35, 35 < angles.max() <= 40) == (True, True)
    assert (centres == 16).all()
    slanted, _ = draw_maps(500, (32, 32), Augmentation(shear=0.2), np.random.default_rng(0))
    assert 0.18 < np.abs(slanted[:, 1, 0]).max() <= 0.2
    assert (slanted[:, [0, 0, 1], [0, 1, 1]] == [1, 0, 1]).all()


def test_turn_and_vertical_flip_lose_no_pixel():
    batch = pictures(num=200, height=8, width=8)
    upside_down = augmented(batch, flip_vertical=True)
    turned = augmented(batch, turn=True)
    counts = np.zeros(4, int)
    for before, after, flipped in zip(batch, turned, upside_down, strict=True):
        assert np.array_equal(flipped, before) or np.array_equal(flipped, before[::-1])
        quarters = [np.array_equal(after, np.rot90(before, quarter)) for quarter in range(4)]
        assert sum(quarters) == 1
        counts += quarters
    assert counts.min() > 25  # 50 ± 6.1


def test_colour_changes_channels_but_not_grey_pictures():
    batch = pictures()
    changed = augmented(batch, colour=0.3).astype(int)
    assert (changed != batch).any(axis=(1, 2, 3)).all()
    assert abs(changed.mean() - batch.mean()) < 4
    grey = pictures(channels=1)
    assert np.array_equal(augmented(grey, colour=0.3), grey)


def test_erased_rectangle_has_the_share_asked():
    batch = np.full((300, 40, 40, 1), 255, np.uint8)
    erased = (augmented(batch, erase=0.3) != 255)[..., 0]
    shares = erased.mean(axis=(1, 2))
    assert 110 < (shares > 0).sum() < 190  # 150 ± 8.7
    assert shares.max() <= 0.31  # sides are whole pixels
    assert 0.12 < shares[shares > 0].mean() < 0.2  # of 2 to 30 %
    for picture in erased[shares > 0]:  # noise leaves a 256th as it was
        rows, columns = np.flatnonzero(picture.any(axis=1)), np.flatnonzero(picture.any(axis=0))
        assert picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].mean() > 0.9


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_labels_mix_as_pictures_do(kind):
    """Class c is a picture of grey 50·c, so the mean grey says what label a mixture has."""
    labels = np.arange(60) % 5
    batch = np.repeat(50 * labels, 32 * 32).reshape(60, 32, 32, 1).astype(np.uint8)
    for seed in range(20):
        random = np.random.default_rng(seed)
        mixed, shares = mix(augment, batch, labels, Augmentation(**{kind: 1.0}), random, 5)
        assert (mixed.shape, mixed.dtype, shares.shape) == (batch.shape, np.uint8, (60, 5))
        assert np.allclose(shares.sum(axis=1), 1)
        assert np.allclose(mixed.mean(axis=(1, 2, 3)), shares @ (50 * np.arange(5)), atol=0.6)


def test_value_out_of_range_is_refused():
    with pytest.raises(SettingsError, match="rotate is 0 to 180 degrees"):
        Augmentation(rotate=-1)


def test_several_labels_mix_in_the_same_proportion():
    pixels = np.arange(4, dtype=np.uint8).repeat(16 * 64).reshape(4, 32, 32, 1) * 60
    labels = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 0], [1, 0, 1]], bool)
    mixed, shares = mix(
        augment, pixels, labels, Augmentation(mixup=1.0), np.random.default_rng(0), num_classes=3
    )
    # Of each picture the brightness tells which two were mixed, and how much of each.
    for picture, share, own, label in zip(mixed, shares, pixels, labels, strict=True):
        fits = []
        for other, others in zip(pixels, labels, strict=True):
            span = float(own[0, 0, 0]) - float(other[0, 0, 0])
            kept = (float(picture[0, 0, 0]) - float(other[0, 0, 0])) / span if span else 1.0
            fits.append(np.allclose(share, kept * label + (1 - kept) * others, atol=0.02))
        assert any(fits)
