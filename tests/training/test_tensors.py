"""Changes as tensor work: the witness is NumPy's way, which `test_augment` holds to formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from saccade.augmentation import Augmentation
from saccade.training import augment, tensors
from saccade.training.draws import draw_changes, draw_mixture

SHAPES = [(16, 6, 9, 3), (7, 17, 5, 1), (8, 12, 12, 3), (5, 28, 28, 1), (3, 1, 8, 4)]
CHANGES = {
    "nothing": {},
    "straight": {"shift": 0.2, "zoom": 0.3, "flip": True, "flip_vertical": True},
    "oblique": {"rotate": 40, "shear": 0.3, "shift": 0.1},
    "turn": {"turn": True},
    "light": {"light": 0.7},
    "erase": {"erase": 0.4},
    "all": {"shift": 0.2, "rotate": 20, "light": 0.3, "erase": 0.3},
}


def pictures(shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("fill", ["reflect", "nearest", "wrap", "constant"])
@pytest.mark.parametrize("changes", CHANGES)
@pytest.mark.parametrize("shape", SHAPES)
def test_changed_to_the_byte_as_by_numpy(shape, changes, fill):
    batch, augmentation = pictures(shape), Augmentation(**CHANGES[changes], fill=fill)
    for seed in range(3):
        draw = draw_changes(shape, augmentation, np.random.default_rng(seed))
        found = tensors.as_drawn(torch.from_numpy(batch), draw)
        assert found.dtype == torch.uint8
        assert np.array_equal(found.numpy(), augment.as_drawn(batch, draw))
    assert np.array_equal(batch, pictures(shape))


@pytest.mark.parametrize("shape", SHAPES)
def test_recoloured_as_by_numpy_but_for_rounding(shape):
    """A product in float32 is summed in another order, so a level may be the next one."""
    batch = pictures(shape)
    draw = draw_changes(shape, Augmentation(colour=0.8), np.random.default_rng(1))
    found = tensors.as_drawn(torch.from_numpy(batch), draw).numpy().astype(int)
    wanted = augment.as_drawn(batch, draw)
    assert np.abs(found - wanted).max() <= 1
    assert (found != wanted).mean() < 0.01
    assert (wanted != batch).any() == (shape[3] == 3)


@pytest.mark.parametrize("asked", [{"mixup": 1.0}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
@pytest.mark.parametrize("shape", SHAPES)
def test_mixed_to_the_byte_as_by_numpy(shape, asked):
    batch = pictures(shape)
    for seed in range(6):
        mixture = draw_mixture(shape, Augmentation(**asked), np.random.default_rng(seed))
        found = tensors.as_mixed(torch.from_numpy(batch), mixture)
        assert found.dtype == torch.uint8
        assert np.array_equal(found.numpy(), augment.as_mixed(batch, mixture))
    assert np.array_equal(batch, pictures(shape))
