"""Rates that fall from the head down, worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from saccade.models.backend import load_keras
from saccade.training.layerwise import LayerwiseAdamW, depths
from saccade.training.optimizers import Update

keras = load_keras()
L = keras.layers

SHARES = [0.25, 0.25, 0.5, 1.0, 1.0]  # of kernel and bias, of a kernel alone, of the head's two


def weights() -> list[Any]:
    shapes = [(3, 3, 3, 4), (4,), (1, 1, 4, 5), (5, 2), (2,)]
    return [keras.Variable(np.full(shape, 2.0, "float32")) for shape in shapes]


def by_ours(optimizer: Any, variables: list[Any], gradients: list[Any]) -> None:
    update = Update(optimizer, variables)
    assert update._rule is not None
    update.apply(gradients, None)


def by_keras(optimizer: Any, variables: list[Any], gradients: list[Any]) -> None:
    optimizer.apply(gradients, variables)


@pytest.mark.parametrize("move", [by_ours, by_keras])
def test_first_step_is_the_rate_of_each_depth(move: Callable[..., None]) -> None:
    """Adam's first step is the rate against the gradient's sign, whatever its length."""
    variables = weights()
    gradients = [torch.full(v.shape, 3.0) for v in variables]
    optimizer = LayerwiseAdamW(lowest_share=0.25, learning_rate=0.1, weight_decay=0.0)
    move(optimizer, variables, gradients)
    for variable, share in zip(variables, SHARES, strict=True):
        np.testing.assert_allclose(np.array(variable), 2.0 - 0.1 * share, rtol=1e-6)


@pytest.mark.parametrize("move", [by_ours, by_keras])
def test_decay_falls_with_the_rate(move: Callable[..., None]) -> None:
    variables = weights()
    gradients = [torch.zeros(v.shape) for v in variables]  # by which Adam moves nothing
    optimizer = LayerwiseAdamW(lowest_share=0.25, learning_rate=0.1, weight_decay=0.4)
    move(optimizer, variables, gradients)
    for variable, share in zip(variables, SHARES, strict=True):
        np.testing.assert_allclose(np.array(variable), 2.0 * (1 - 0.04 * share), rtol=1e-6)


def test_depth_counts_the_kernels_above() -> None:
    pixels = keras.Input((8, 8, 3))
    x = L.Conv2D(4, 3, name="lowest")(pixels)
    x = L.SeparableConv2D(4, 3)(x)  # two kernels and one bias
    x = L.LayerNormalization()(x)
    x = L.Dense(5)(L.GlobalAveragePooling2D()(x))
    model = keras.Model(pixels, L.Dense(2)(x))
    assert depths(model.trainable_variables) == [4, 4, 3, 2, 2, 2, 2, 1, 1, 0, 0]


def test_head_alone_has_the_whole_rate() -> None:
    optimizer = LayerwiseAdamW(lowest_share=0.25, learning_rate=0.1)
    optimizer.build(weights()[3:])
    assert optimizer.shares == (1.0, 1.0)
