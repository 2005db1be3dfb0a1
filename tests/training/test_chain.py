"""Twins in a row as one node of autograd, against the same twins each by itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from saccade.models.backend import load_keras
from saccade.training.graph import Graph, graph_of
from saccade.training.kernels import layers, library, products
from saccade.training.twins import Chain

keras = load_keras()
L = keras.layers

needs_tiles = pytest.mark.skipif(
    not library.has_tiles(), reason="the processor multiplies no bfloat16"
)


def network(*middle: Any) -> Any:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            L.Conv2D(32, 3, padding="same", activation="relu"),
            L.MaxPooling2D(),
            *middle,
            L.Conv2D(32, 3, padding="same", activation="relu"),
            L.MaxPooling2D(),
            L.Flatten(),
            L.Dense(24, activation="relu"),
            L.Dense(5),
        ]
    )
    model.compile()
    return model


def chain_of(graph: Graph) -> Chain:
    (call,) = graph._calls
    assert isinstance(call.twin, Chain)
    return call.twin


def gradients(forward: Any, x: Any, model: Any) -> tuple[Any, list[Any]]:
    """Return the outputs, and the gradients of all that is trained."""
    weights = [v.value for v in model.trainable_variables]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = forward(x)
    y.float().square().sum().backward()
    found = [weight.grad for weight in weights]
    for weight in weights:
        weight.grad = None
    return y.detach(), found


def assert_same(chain: Chain, x: Any, model: Any) -> None:
    """The first pass notes who does the work, the second is what it noted."""

    def each(x: Any) -> Any:
        for twin in chain.twins:
            x = twin(x)
        return x

    wanted, their_gradients = gradients(each, x, model)
    for _ in range(2):
        got, ours = gradients(chain, x, model)
        assert torch.equal(got, wanted)
        for mine, their in zip(ours, their_gradients, strict=True):
            assert torch.equal(mine, their)


@needs_tiles
@pytest.mark.parametrize("n", [4, 30])
def test_kernels_in_a_row_are_one_node_and_the_same_to_the_bit(n: int) -> None:
    model = network()
    chain = chain_of(Graph(graph_of(model)))
    x = torch.rand(n, 12, 12, 3)
    assert_same(chain, x, model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = chain(x)
    nexts = [node for node, _ in y.grad_fn.next_functions if node is not None]
    assert {type(node).__name__ for node in nexts} == {"AccumulateGrad"}


@needs_tiles
@pytest.mark.parametrize(
    "middle",
    [
        [L.BatchNormalization, L.ReLU],
        [lambda: L.Activation("tanh")],  # which no kernel of ours does
        [lambda: L.Dropout(0.0), lambda: L.Conv2D(32, 3, padding="same")],
        [lambda: L.Conv2D(32, 1), L.BatchNormalization],
        [lambda: L.Reshape((6, 6, 32))],
    ],
)
def test_what_no_kernel_does_stays_between_them(middle: list[Any]) -> None:
    model = network(*(make() for make in middle))
    graph = Graph(graph_of(model)).train()
    x = torch.rand(26, 12, 12, 3)
    moving = [v.value for v in model.non_trainable_variables if "moving" in v.name]
    start = [value.clone() for value in moving]
    assert_same(chain_of(graph), x, model)
    assert all(not torch.equal(a, b) for a, b in zip(moving, start, strict=True))


@needs_tiles
@pytest.mark.parametrize("frozen", [[0], [0, 2], [5], [0, 2, 5], [6]])
def test_frozen_layers_get_no_gradient_and_the_others_the_same(frozen: list[int]) -> None:
    model = network()
    with_weights = [layer for layer in model.layers if layer.weights]
    for number, layer in enumerate(model.layers):
        layer.trainable = number not in frozen
    x = torch.rand(5, 12, 12, 3)
    assert_same(chain_of(Graph(graph_of(model))), x, model)
    for layer in with_weights:
        if not layer.trainable:
            assert layer.kernel.value.grad is None


@needs_tiles
def test_pictures_get_the_gradient_that_is_asked_for() -> None:
    kernel, bias = torch.randn(8, 4, requires_grad=True), torch.zeros(4, requires_grad=True)
    through = (layers.Reshape((8,)), products.Dense(kernel, bias))
    x = torch.randn(3, 2, 4, requires_grad=True)
    y = layers.run(x, through)
    (got,) = torch.autograd.grad(y, x, torch.ones_like(y))
    assert got.dtype == x.dtype == torch.float32
    assert torch.allclose(got, kernel.sum(dim=1).reshape(2, 4).expand(3, 2, 4), rtol=1e-2, atol=0.1)


def test_without_our_products_a_chain_is_its_twins() -> None:
    model = network()
    graph = Graph(graph_of(model))
    x = torch.rand(3, 12, 12, 3)
    assert torch.allclose(graph(x), model(x), atol=1e-5)
    assert torch.allclose(graph(x), model(x), atol=1e-5), "the second time, by what was noted"
    assert graph(x[:2]).shape == (2, 5), "another form"


def test_only_what_the_next_alone_reads_is_in_a_row() -> None:
    inputs = keras.Input((8, 8, 3))
    maps = L.Conv2D(4, 3, padding="same")(inputs)
    branch = L.Conv2D(4, 3, padding="same")(L.Conv2D(4, 1)(maps))
    model = keras.Model(inputs, L.Flatten()(L.Add()([branch, maps])))
    graph = Graph(graph_of(model))
    chained = [call.twin for call in graph._calls if isinstance(call.twin, Chain)]
    assert [len(chain.twins) for chain in chained] == [2]
    x = torch.rand(2, 8, 8, 3)
    assert torch.allclose(graph(x), model(x), atol=1e-5)
    assert graph.num_layers == 5


def looking_at_bytes(*after: Any) -> Any:
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((14, 12, 3)), L.Rescaling(1 / 64, offset=-2.0), *after])
    model.compile()
    return model


@needs_tiles
@pytest.mark.parametrize("n", [1, 5, 40])
def test_pixels_are_rescaled_from_their_bytes_as_a_convolution_would_round_them(n: int) -> None:
    model = looking_at_bytes(L.Conv2D(16, 3, padding="same"), L.MaxPooling2D(), L.Flatten())
    x = torch.randint(0, 256, (n, 14, 12, 3), dtype=torch.uint8)
    graph = Graph(graph_of(model))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        by_bytes, by_floats = graph(x), graph(x.float())
        in_turn = chain_of(graph).twins[1](x.float() * (1 / 64) + -2.0).flatten(1)
    assert torch.equal(by_bytes, by_floats)
    assert torch.equal(by_bytes, in_turn)


def test_pixels_that_no_convolution_reads_are_not_rounded() -> None:
    model = looking_at_bytes(L.Flatten(), L.Dense(4))
    x = torch.randint(0, 256, (3, 14, 12, 3), dtype=torch.uint8)
    graph = Graph(graph_of(model))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rescaled = chain_of(graph).twins[0](x)
    assert rescaled.dtype == torch.float32
    assert torch.equal(rescaled, x.float() * (1 / 64) + -2.0)
    assert torch.allclose(graph(x), model(x.float()), atol=1e-5), "without narrow products"
