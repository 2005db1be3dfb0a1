"""A branch's normalisation, its shortcut and a ReLU in one pass, against Keras and PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from saccade.models.backend import load_keras
from saccade.training.graph import Graph, graph_of
from saccade.training.kernels import layers, library
from saccade.training.kernels.layers import run
from saccade.training.twins import ResidualNormalization

keras = load_keras()
L = keras.layers
FORMATS = {torch.float32: 1e-6, torch.bfloat16: 4e-3}  # and the rounding of a number

pytestmark = pytest.mark.usefixtures("two_threads")  # kernels share their work out

needs_kernels = pytest.mark.skipif(library.load_kernels() is None, reason="no C++ compiler")


def leaf(tensor: Any) -> Any:
    return tensor.detach().clone().requires_grad_()


def relative(got: Any, wanted: Any) -> float:
    got, wanted = got.detach().double(), wanted.detach().double()
    return float((got - wanted).norm() / wanted.norm())


def ignore(*moments: Any) -> None: ...


@needs_kernels
@pytest.mark.parametrize("rectify", [False, True])
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("shape", [(4, 9, 7, 16), (300, 3), (2, 3, 1, 33), (40, 5, 6, 48)])
def test_sum_against_double_precision(shape: Any, format: Any, rectify: bool) -> None:
    torch.manual_seed(1)
    x, shortcut = (leaf((torch.randn(shape) * 2 + at).to(format)) for at in (5, 0))
    gamma, beta = leaf(torch.rand(shape[-1]) + 0.5), leaf(torch.randn(shape[-1]))
    y = run(x, (layers.Normalise(gamma, beta, 1e-3, rectify, ignore, shortcut),))
    exact, added, factor, offset = (leaf(t.double()) for t in (x, shortcut, gamma, beta))
    wanted = F.batch_norm(exact.movedim(-1, 1), None, None, factor, offset, True, 0.0, 1e-3)
    wanted = wanted.movedim(1, -1) + added
    wanted = wanted.relu() if rectify else wanted
    gradient = torch.randn(shape).to(format)
    y.backward(gradient)
    wanted.backward(gradient.double())

    assert y.dtype == shortcut.grad.dtype == format
    assert relative(y, wanted) < FORMATS[format]
    assert relative(x.grad, exact.grad) < 2 * FORMATS[format]
    assert torch.equal(shortcut.grad, added.grad.to(format)), "passed on or not, never changed"
    assert relative(gamma.grad, factor.grad) < 1e-5
    assert relative(beta.grad, offset.grad) < 1e-5


@needs_kernels
@pytest.mark.parametrize("rectify", [False, True])
@pytest.mark.parametrize("format", FORMATS)
def test_sum_by_the_past_against_double_precision(format: Any, rectify: bool) -> None:
    torch.manual_seed(2)
    x, shortcut = (torch.randn(4, 9, 7, 19).to(format) for _ in range(2))
    gamma, beta, mean, variance = (torch.rand(19) + 0.5 for _ in range(4))
    layer = layers.NormaliseByPast(gamma, beta, 1e-3, rectify, mean, variance, shortcut)
    y, _ = layer.forward(x)
    scale = gamma.double() / (variance.double() + 1e-3).sqrt()
    wanted = (x.double() - mean) * scale + beta + shortcut.double()
    assert relative(y, wanted.relu() if rectify else wanted) < FORMATS[format]


@needs_kernels
def test_only_what_is_asked_for_gets_a_gradient() -> None:
    x, shortcut = torch.randn(4, 6), leaf(torch.randn(4, 6))
    y = run(x, (layers.Normalise(None, None, 1e-3, True, ignore, shortcut),))
    y.sum().backward()
    assert torch.equal(shortcut.grad, (y > 0).float())


@needs_kernels
def test_a_shortcut_in_another_order_of_memory_is_read_as_it_is() -> None:
    x, shortcut = torch.randn(2, 4, 5, 8), torch.randn(2, 8, 4, 5).permute(0, 2, 3, 1)
    by = layers.Normalise(None, None, 1e-3, False, ignore)
    y, _ = layers.Normalise(None, None, 1e-3, False, ignore, shortcut).forward(x)
    assert torch.allclose(y, by.forward(x)[0] + shortcut, atol=1e-6)


def branch(maps: Any) -> Any:
    return L.BatchNormalization()(L.Conv2D(8, 3, padding="same")(maps))


def rectified(maps: Any) -> Any:
    return L.ReLU()(L.Add()([branch(maps), maps]))


def shortcut_first(maps: Any) -> Any:
    return L.ReLU()(L.Add()([maps, branch(maps)]))


def shortcut_after_the_branch(maps: Any) -> Any:
    change = branch(maps)
    return L.ReLU()(L.Add()([change, branch(L.Conv2D(8, 1)(maps))]))


def stretched(maps: Any) -> Any:
    return L.ReLU()(L.Add()([branch(maps), L.GlobalAveragePooling2D(keepdims=True)(maps)]))


def three(maps: Any) -> Any:
    return L.ReLU()(L.Add()([branch(maps), maps, branch(maps)]))


def read_twice(maps: Any) -> Any:
    change = branch(maps)
    return L.Add()([L.ReLU()(L.Add()([change, maps])), change])


# A network's middle, and how many sums in it are one with their normalisation.
NETWORKS: dict[Callable[[Any], Any], int] = {
    rectified: 1,
    shortcut_first: 1,
    shortcut_after_the_branch: 1,
    stretched: 1,
    three: 0,
    read_twice: 0,
    lambda maps: L.Add()([branch(maps), maps]): 1,
    lambda maps: L.Activation("gelu")(L.Add()([branch(maps), maps])): 1,
    lambda maps: rectified(rectified(maps)): 2,
    lambda maps: L.Multiply()([branch(maps), maps]): 0,
    lambda maps: L.Add()([L.ReLU()(branch(maps)), maps]): 0,
    lambda maps: L.Add()([branch(maps)] * 2): 0,
}


def network(middle: Callable[[Any], Any]) -> Any:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((7, 6, 3))
    maps = middle(L.Conv2D(8, 3, activation="tanh")(inputs))
    model = keras.Model(inputs, L.Flatten()(maps))
    for variable in model.trainable_variables:
        if "gamma" in variable.name or "beta" in variable.name:
            variable.assign(torch.rand(variable.shape) + 0.2)
    return model


def outcome(forward: Any, x: Any, model: Any, **options: Any) -> list[Any]:
    """Return the output, the gradients and the statistics, from the start that the model has."""
    start = [variable.numpy().copy() for variable in model.variables]
    y = forward(x, **options)
    weights = [variable.value for variable in model.trainable_variables]
    found = torch.autograd.grad((y * torch.linspace(-1, 1, y.shape[1])).sum(), weights)
    moved = [v.value.detach().clone() for v in model.non_trainable_variables]
    for variable, value in zip(model.variables, start, strict=True):
        variable.assign(value)
    return [y.detach(), *found, *moved]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("middle", NETWORKS)
def test_networks_are_keras_s(middle: Callable[[Any], Any], training: bool) -> None:
    model = network(middle)
    graph = Graph(graph_of(model)).train(training)
    joined = [call for call in graph._calls if isinstance(call.twin, ResidualNormalization)]
    assert len(joined) == NETWORKS[middle]
    x = torch.randn(5, 7, 6, 3)
    ours = outcome(graph, x, model)
    theirs = outcome(model, x, model, training=training)
    for got, wanted in zip(ours, theirs, strict=True):
        assert torch.allclose(got, wanted, rtol=1e-4, atol=1e-4)
