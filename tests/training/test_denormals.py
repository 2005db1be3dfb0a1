"""Numbers below 1.2e-38 count as zero while a network trains, and only then."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import saccade
from saccade.models.backend import load_keras
from saccade.training.denormals import denormals_flushed
from saccade.training.kernels import library

keras = load_keras()
L = keras.layers

pytestmark = pytest.mark.usefixtures("two_threads")

TINY = 2.0**-70  # whose square is a denormal number


def num_zero(num: int = 1 << 20) -> int:
    """Return how many of so many products are zero; two threads share them."""
    return int((torch.full((num,), TINY) * TINY == 0).sum())


def test_all_threads_flush_inside_and_none_after() -> None:
    assert num_zero() == 0
    with denormals_flushed():
        inside = num_zero()
        assert inside == 1 << 20 if library.load_kernels() else inside > 0
    assert num_zero() == 0


def test_what_was_set_before_is_set_again() -> None:
    torch.set_flush_denormal(True)
    with denormals_flushed():
        assert num_zero(1) == 1
    assert num_zero(1) == 1
    torch.set_flush_denormal(False)
    with pytest.raises(KeyError), denormals_flushed():
        raise KeyError
    assert num_zero() == 0


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_momentum_of_a_dead_weight_ends_at_zero(optimizer: str) -> None:
    """The first input moves the weights for one epoch; then it is black in every picture."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), L.Dense(4), L.Dense(2)])
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y = np.random.default_rng(0).random((64, 3), np.float32), np.arange(64) % 2
    saccade.fit(model, x, y, batch_size=32, verbose=0)
    x[:, 0] = 0
    saccade.fit(model, x, y, batch_size=1, epochs=16, verbose=0)  # 1,024 steps
    slots = np.concatenate([np.ravel(s) for s in _slots(model.optimizer)])
    assert (np.abs(slots[slots != 0]) >= np.finfo(np.float32).tiny).all()
    assert num_zero() == 0


def _slots(optimizer: Any) -> list[Any]:
    return [v.value.detach().numpy() for v in optimizer.variables if v.dtype == "float32"]
