"""Our kernels against PyTorch's own, in double precision where sums are rounded."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from saccade.models.backend import load_keras
from saccade.training.compiler import Workload, kernels_missing
from saccade.training.graph import Graph, graph_of
from saccade.training.kernels import layers, library, products, steps
from saccade.training.kernels.layers import run
from saccade.training.muon import EPSILON, QUINTIC, ROUNDS, filters, orthogonal
from saccade.training.twins import BatchNormalization, Convolution, PooledConvolution

keras = load_keras()
L = keras.layers
FORMATS = [torch.float32, torch.bfloat16]
ROUNDING = {torch.float32: 1e-6, torch.bfloat16: 4e-3}  # of one number, relative

pytestmark = pytest.mark.usefixtures("two_threads")  # kernels share their work out

needs_kernels = pytest.mark.skipif(library.load_kernels() is None, reason="no C++ compiler")
needs_tiles = pytest.mark.skipif(
    not library.has_tiles(), reason="the processor multiplies no bfloat16"
)


def leaf(tensor: Any) -> Any:
    return tensor.detach().clone().requires_grad_()


def relative(got: Any, wanted: Any) -> float:
    got, wanted = got.detach().double(), wanted.detach().double()
    return float((got - wanted).norm() / wanted.norm())


def normalised(x: Any, gamma: Any, beta: Any, *, rectify: bool) -> tuple[Any, ...]:
    told: list[Any] = []
    tell = lambda *moments: told.extend(moments)  # noqa: E731
    y = run(x, (layers.Normalise(gamma, beta, 1e-3, rectify, tell),))
    return y, *told


def torch_pool(x: Any, rectify: bool) -> Any:
    y = F.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
    return torch.relu(y) if rectify else y


@needs_kernels
@pytest.mark.parametrize("rectify", [False, True])
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("shape", [(2, 8, 6, 32), (3, 7, 9, 5), (1, 2, 3, 1), (2, 5, 4, 70)])
def test_pooling_is_torchs_bit_for_bit(shape: Any, format: Any, rectify: bool) -> None:
    torch.manual_seed(0)
    values = torch.randn(shape).round(decimals=0).to(format)  # whole numbers: ties abound
    ours, theirs = leaf(values), leaf(values)
    got = run(ours, (layers.MaxPool(rectify=rectify),))
    wanted = torch_pool(theirs, rectify)
    assert torch.equal(got, wanted)
    gradient = torch.randn_like(wanted)
    got.backward(gradient)
    wanted.backward(gradient)
    assert torch.equal(ours.grad, theirs.grad)


@needs_kernels
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("rectify", [False, True])
def test_pooling_passes_on_what_is_not_a_number(format: Any, rectify: bool) -> None:
    inf, nan = float("inf"), float("nan")
    windows = [[-inf, -1, -2, -3], [-inf] * 4, [1, inf, 2, 3], [nan, 1, 2, 3], [1, 2, 3, -nan]]
    x = torch.tensor(windows).reshape(5, 2, 2, 1).to(format)
    got = run(x, (layers.MaxPool(rectify=rectify),))
    assert torch.equal(got.isnan(), torch_pool(x, rectify).isnan())
    assert torch.equal(got.nan_to_num(), torch_pool(x, rectify).nan_to_num())


@needs_kernels
@pytest.mark.parametrize("rectify", [False, True])
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("shape", [(4, 9, 7, 16), (300, 3), (2, 3, 1, 33)])
def test_normalisation_against_double_precision(shape: Any, format: Any, rectify: bool) -> None:
    torch.manual_seed(1)
    x = leaf((torch.randn(shape) * 2 + 5).to(format))
    gamma, beta = leaf(torch.rand(shape[-1]) + 0.5), leaf(torch.randn(shape[-1]))
    y, mean, variance = normalised(x, gamma, beta, rectify=rectify)
    exact, factor, offset = (leaf(t.double()) for t in (x, gamma, beta))
    wanted = F.batch_norm(exact.movedim(-1, 1), None, None, factor, offset, True, 0.0, 1e-3)
    wanted = wanted.movedim(1, -1).relu() if rectify else wanted.movedim(1, -1)
    gradient = torch.randn(shape).to(format)
    y.backward(gradient)
    wanted.backward(gradient.double())

    flat = exact.detach().flatten(0, -2)
    assert relative(mean, flat.mean(0)) < 1e-6
    assert relative(variance, flat.var(0, unbiased=False)) < 1e-5
    assert relative(y, wanted) < ROUNDING[format]
    assert relative(x.grad, exact.grad) < 2 * ROUNDING[format]
    assert relative(gamma.grad, factor.grad) < 1e-5
    assert relative(beta.grad, offset.grad) < 1e-5


@needs_kernels
def test_normalisation_keeps_small_spreads_around_large_means() -> None:
    x = 1_000.0 + torch.randn(50_000, 4) * 0.1
    _, _, variance = normalised(x, None, None, rectify=False)
    assert torch.allclose(variance.double(), x.double().var(0, unbiased=False), rtol=1e-3)


@needs_tiles
@pytest.mark.parametrize("rectify", [False, True])
@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize(
    ("n", "size", "window", "channels", "maps"),
    [
        (3, (28, 28), (3, 3), 1, 16),
        (3, (9, 38), (3, 3), 3, 48),
        (3, (17, 11), (5, 5), 1, 32),
        (3, (28, 28), (3, 3), 16, 16),  # half a product's entries a pixel
        (33, (9, 38), (3, 3), 32, 48),  # odd rows, a picture over, tiles without a second
        (33, (7, 6), (3, 3), 48, 80),  # small maps: a picture over, odd rows, parts of tiles
        (40, (12, 10), (5, 3), 32, 16),  # more bands than one
        (24, (9, 8), (2, 4), 16, 32),
        (2, (17, 11), (5, 3), 48, 80),
        (1, (6, 6), (1, 3), 64, 32),
        (2, (11, 8), (2, 4), 16, 32),  # more padding at the end
        (3, (8, 9), (2, 2), 3, 16),
    ],
)
def test_block_against_double_precision(
    n: int, size: Any, window: Any, channels: int, maps: int, same: bool, rectify: bool
) -> None:
    torch.manual_seed(2)
    is_stem = channels < 16
    x = torch.randn(n, *size, channels).bfloat16()
    kernel = leaf((torch.randn(*window, channels, maps) * 0.2).bfloat16().float())
    bias = leaf(torch.randn(maps))
    form = products.Form(window=window, maps=maps, channels=channels, same=same, rectify=rectify)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert products.Block(kernel, bias, form).takes(x)
    x = x if is_stem else leaf(x)
    got = run(x, (products.Block(kernel, bias, form),))

    pixels, weights, offset = leaf(x.double()), leaf(kernel.double()), leaf(bias.double())
    padded = pixels.permute(0, 3, 1, 2)
    if same:  # as Keras does: what is over goes to the end
        (top, bottom), (left, right) = (((s - 1) // 2, s // 2) for s in window)
        padded = F.pad(padded, (left, right, top, bottom))
    maps_wanted = F.conv2d(padded, weights.permute(3, 2, 0, 1), offset)
    wanted = torch_pool(maps_wanted.permute(0, 2, 3, 1), rectify)
    gradient = torch.randn(wanted.shape).bfloat16()
    got.backward(gradient)
    wanted.backward(gradient.double())
    assert got.shape == wanted.shape
    assert relative(got, wanted) < 4e-3
    assert relative(kernel.grad, weights.grad) < 1e-4  # a near tie may go to the other entry
    assert relative(bias.grad, offset.grad) < 1e-4
    if not is_stem:
        assert relative(x.grad, pixels.grad) < 4e-3


@needs_tiles
@pytest.mark.parametrize(("n", "channels"), [(1, 1), (1, 16), (24, 16)])
def test_block_passes_on_what_is_not_a_number(n: int, channels: int) -> None:
    form = products.Form(window=(3, 3), maps=16, channels=channels, same=True, rectify=True)
    x = torch.zeros(n, 8, 8, channels)
    x[0, 0, 0] = float("nan")
    y = run(x, (products.Block(torch.ones(3, 3, channels, 16), None, form),))
    assert y[0, 0, 0].isnan().all()
    assert not y[0, 2, 2].isnan().any()


@needs_tiles
@pytest.mark.parametrize("n", [1, 24])
def test_block_makes_no_gradient_that_nobody_asks_for(n: int) -> None:
    form = products.Form(window=(3, 3), maps=16, channels=16, same=True, rectify=True)
    kernel = leaf(torch.ones(3, 3, 16, 16))
    y = run(torch.ones(n, 8, 8, 16), (products.Block(kernel, None, form),))
    y.sum().backward()
    assert kernel.grad[1, 1].eq(n * y.shape[1] * y.shape[2]).all()


@needs_tiles
@pytest.mark.parametrize("channels", [3, 16])
def test_block_fits_only_where_it_is_right(channels: int) -> None:
    form = products.Form(window=(3, 3), maps=32, channels=channels, same=True, rectify=True)
    x = torch.zeros(2, 32, 32, channels)
    block = products.Block(torch.zeros(3, 3, channels, 32), None, form)
    assert not block.takes(x), "products are float32 here"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert block.takes(x)
        assert block.takes(x.requires_grad_()) == (channels == 16), "pixels have no gradient"
        assert not block.takes(torch.zeros(2, 4, 32, channels)), "too small for the window"
        partial = replace(block, form=replace(form, maps=20))
        assert not partial.takes(x.detach()), "maps do not fill a tile"
        partial = replace(block, form=replace(form, channels=24))
        assert not partial.takes(torch.zeros(2, 32, 32, 24)), "nor channels"


@pytest.fixture(params=[False, True])
def unit(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """As if there were a unit for tiles, and as if there were none."""
    monkeypatch.setattr(products, "has_tile_unit", lambda: request.param)
    return bool(request.param)


@needs_tiles
@pytest.mark.usefixtures("unit")
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize(
    ("n", "size", "window", "channels", "maps", "padding"),
    [
        (32, (4, 4), (3, 3), 32, 32, (1, 1)),
        (33, (5, 9), (3, 3), 48, 80, (1, 1)),  # a picture over, tiles without a second
        (70, (6, 5), (5, 3), 64, 32, (2, 1)),
        (1, (7, 6), (3, 2), 32, 48, (0, 0)),
        (5, (3, 70), (3, 3), 32, 32, (0, 1)),  # more pixels a row than stay in the nearer cache
        (2, (2, 2), (5, 5), 32, 32, (2, 2)),  # the window reaches beyond both sides
        (24, (2, 2), (5, 5), 32, 48, (2, 2)),  # the same of many pictures
        (25, (24, 3), (3, 3), 32, 48, (1, 1)),  # more bands than one
        (25, (25, 3), (3, 3), 32, 32, (1, 1)),  # too large for tiles of pictures
    ],
)
def test_convolution_against_double_precision(
    n: int, size: Any, window: Any, channels: int, maps: int, padding: Any, with_bias: bool
) -> None:
    torch.manual_seed(3)
    x = leaf(torch.randn(n, *size, channels).bfloat16())
    kernel = leaf((torch.randn(*window, channels, maps) * 0.1).bfloat16().float())
    bias = leaf(torch.randn(maps).bfloat16().float()) if with_bias else None
    got = run(x, (products.Convolution(kernel, bias, padding),))

    pixels, weights = leaf(x.double()), leaf(kernel.double())
    offset = leaf(bias.double()) if with_bias else None
    wanted = F.conv2d(
        pixels.permute(0, 3, 1, 2), weights.permute(3, 2, 0, 1), offset, padding=padding
    ).permute(0, 2, 3, 1)
    gradient = torch.randn(wanted.shape).bfloat16()
    got.backward(gradient)
    wanted.backward(gradient.double())
    assert relative(got, wanted) < 4e-3
    assert relative(x.grad, pixels.grad) < 4e-3
    assert relative(kernel.grad, weights.grad) < 1e-5, "products are exact, sums float32"
    if with_bias:
        assert relative(bias.grad, offset.grad) < 1e-5


@needs_tiles
def test_convolution_passes_on_what_is_not_a_number() -> None:
    x = torch.zeros(3, 4, 4, 32, dtype=torch.bfloat16)
    kernel = leaf(torch.ones(3, 3, 32, 32))
    y = run(x, (products.Convolution(kernel, None, (1, 1)),))
    gradient = torch.zeros_like(y)
    gradient[2, 0, 0, 5] = float("nan")
    y.backward(gradient)
    assert kernel.grad[1, 1, :, 5].isnan().all()
    assert not kernel.grad[..., :5].isnan().any()


@needs_tiles
def test_small_maps_pay_without_training_only_by_the_unit(unit: bool) -> None:
    convolution = products.Convolution(torch.zeros(3, 3, 32, 64), None, (1, 1))
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        assert convolution.takes(torch.zeros(24, 8, 8, 32)) is unit


@needs_kernels
def test_a_frozen_convolution_breaks_no_graph_and_looks_nothing_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The compiler cannot trace the search for a library; what is on no processor needs none."""
    convolution = products.Convolution(torch.zeros(3, 3, 32, 64), None, (1, 1))
    takes = torch.compile(convolution.takes, backend="eager", fullgraph=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert takes(torch.zeros(24, 8, 8, 32)) is False
        monkeypatch.setattr(products, "has_tiles", lambda: pytest.fail("looked up"))
        monkeypatch.setattr(products, "has_tile_unit", lambda: pytest.fail("looked up"))
        assert convolution.takes(torch.zeros(24, 8, 8, 32, device="meta")) is False


@needs_tiles
def test_convolution_fits_only_where_it_pays() -> None:
    x, kernel = torch.zeros(2, 8, 8, 32), leaf(torch.zeros(3, 3, 32, 64))
    assert not products.Convolution(kernel, None, (1, 1)).takes(x), "products are float32 here"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert products.Convolution(kernel, None, (1, 1)).takes(x)
        assert not products.Convolution(kernel.detach(), None, (1, 1)).takes(x), "it is frozen"
        assert not products.Convolution(leaf(torch.zeros(1, 1, 32, 64)), None, (1, 1)).takes(x)
        assert not products.Convolution(leaf(torch.zeros(3, 3, 16, 64)), None, (1, 1)).takes(x)
        assert not products.Convolution(leaf(torch.zeros(3, 3, 40, 64)), None, (1, 1)).takes(x)
        with torch.no_grad():
            assert not products.Convolution(kernel, None, (1, 1)).takes(x), "nothing is trained"


@needs_tiles
@pytest.mark.parametrize("rectify", [False, True])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize(
    ("n", "inputs", "units"),
    [
        (128, 96, 64),
        (1, 70, 3),  # parts of tiles on every side
        (33, 1_061, 81),  # more steps than stay in the nearest cache, and threads
        (3, 32, 1),
        (5, 2_080, 512),  # a gradient that is written past the caches
    ],
)
def test_dense_against_double_precision(
    n: int, inputs: int, units: int, with_bias: bool, rectify: bool
) -> None:
    torch.manual_seed(4)
    x = leaf(torch.randn(n, inputs).bfloat16())
    kernel = leaf((torch.randn(inputs, units) * inputs**-0.5).bfloat16().float())
    bias = leaf(torch.randn(units)) if with_bias else None
    got = run(x, (products.Dense(kernel, bias, rectify=rectify),))

    pixels, weights = leaf(x.double()), leaf(kernel.double())
    offset = leaf(bias.double()) if bias is not None else None
    wanted = F.linear(pixels, weights.t(), offset)
    wanted = wanted.relu() if rectify else wanted
    gradient = torch.randn(wanted.shape).bfloat16()
    got.backward(gradient)
    wanted.backward(gradient.double())
    assert got.shape == wanted.shape
    assert relative(got, wanted) < 4e-3
    assert relative(x.grad, pixels.grad) < 4e-3
    assert relative(kernel.grad, weights.grad) < 1e-6, "products are exact, sums float32"
    if bias is not None and offset is not None:
        assert relative(bias.grad, offset.grad) < 1e-6


@needs_tiles
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_dense_is_keras_s_layer(activation: str) -> None:
    """With weights and inputs that bfloat16 holds exactly; what comes out it rounds."""
    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((3, 40)), L.Dense(24, activation=activation)])
    for variable in model.trainable_variables:
        variable.assign(torch.randn(variable.shape).bfloat16().float())
    x, graph = torch.randn(4, 3, 40).bfloat16().float(), Graph(graph_of(model))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = graph(x)
    assert got.dtype == torch.bfloat16, "our kernel made it"
    gradient = torch.randn(got.shape).bfloat16()
    weights = [variable.value for variable in model.trainable_variables]
    ours = torch.autograd.grad(got, weights, gradient)
    wanted = model(x)
    theirs = torch.autograd.grad(wanted, weights, gradient.float())
    assert relative(got, wanted) < 4e-3
    for mine, keras_s in zip(ours, theirs, strict=True):
        assert relative(mine, keras_s) < 1e-2  # through a derivative that is rounded too


@needs_tiles
def test_dense_passes_on_what_is_not_a_number() -> None:
    x = torch.zeros(3, 70)
    x[1, 69] = float("nan")
    kernel = leaf(torch.ones(70, 20))
    y = run(x, (products.Dense(kernel, None, rectify=True),))
    assert y[1].isnan().all()
    assert not y[[0, 2]].isnan().any()
    y.backward(torch.ones_like(y))
    assert kernel.grad[69].isnan().all()
    assert not kernel.grad[:69].isnan().any()


@needs_tiles
def test_dense_makes_no_gradient_that_nobody_asks_for() -> None:
    x, kernel, bias = leaf(torch.ones(4, 32)), torch.ones(32, 16), leaf(torch.zeros(16))
    run(x, (products.Dense(kernel, bias),)).sum().backward()
    assert x.grad.eq(16).all()
    assert bias.grad.eq(4).all()
    assert kernel.grad is None


@needs_tiles
def test_dense_fits_only_where_it_is_right() -> None:
    x, kernel = torch.zeros(8, 32), torch.zeros(32, 16)
    assert not products.Dense(kernel, None).takes(x), "products are float32 here"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert products.Dense(kernel, None).takes(x)
        assert products.Dense(kernel, None).takes(x.reshape(2, 4, 32))
        assert not products.Dense(kernel, None).takes(x[:0]), "there is no picture"
        assert not products.Dense(kernel.double(), None).takes(x)
        assert not products.Dense(kernel, None).takes(torch.zeros(1 << 16, 32)), "too many sums"


@needs_kernels
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_rmsprop_of_many_weights_against_double_precision(momentum: float) -> None:
    """More than one thread takes, and parts that no vector fills."""
    torch.manual_seed(6)
    weight, gradient, square, mean = (torch.randn(70_001) for _ in range(4))
    square = square.square()
    exact = gradient.double()
    wanted_square = 0.9 * square.double() + 0.1 * exact**2
    moved = 0.01 * exact / (wanted_square + 1e-7).sqrt() + momentum * mean.double()
    wanted = weight.double() - moved
    rule = steps.RMSprop(0.9, momentum, 1e-7)
    rule.move(weight, gradient, square, mean if momentum else None, 0.01)
    assert relative(square, wanted_square) < 1e-6
    assert relative(weight, wanted) < 1e-6
    if momentum:
        assert relative(mean, moved) < 1e-6


@needs_tiles
@pytest.mark.parametrize(
    "shape", [(3, 3, 3, 32), (3, 3, 1, 16), (1, 3, 20, 50), (3, 3, 64, 40), (5, 5, 32, 96)]
)
def test_muon_turns_a_kernel_as_in_double_precision(shape: Any) -> None:
    """Filters that outnumber their inputs, and not; parts of tiles on every side."""
    torch.manual_seed(7)
    kernel, gradient, mean = (torch.randn(shape) for _ in range(3))
    weights, slope, momentum = (filters(t.double()) for t in (kernel, gradient, mean))
    wanted_mean = 0.6 * momentum + slope
    length = shape[-1] ** 0.5 / (weights.norm() + EPSILON)
    wanted_move = orthogonal(slope + 0.6 * wanted_mean)
    rule = steps.Muon(0.6, QUINTIC, ROUNDS, EPSILON)
    again = kernel.clone(), mean.clone()
    rule.move(kernel, gradient, mean, 0.1)
    assert relative(filters(mean), wanted_mean) < 1e-6
    assert relative((length * weights - filters(kernel)) / 0.1, wanted_move) < 2e-2, "bfloat16"
    rule.move(again[0], gradient, again[1], 0.1)
    assert torch.equal(again[0], kernel), "a step can be repeated to the bit"


@needs_tiles
def test_muon_passes_on_what_is_not_a_number() -> None:
    kernel, gradient, mean = (
        torch.ones(3, 3, 4, 8),
        torch.zeros(3, 3, 4, 8),
        torch.zeros(3, 3, 4, 8),
    )
    gradient[1, 1, 2, 3] = float("nan")
    steps.Muon(0.6, QUINTIC, ROUNDS, EPSILON).move(kernel, gradient, mean, 0.1)
    assert kernel.isnan().any()


def graph_through(*layers: Any) -> Graph:
    model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    model.build()
    return Graph(graph_of(model))


def test_neighbours_are_joined() -> None:
    graph = graph_through(L.Conv2D(4, 3, activation="relu"), L.MaxPooling2D())
    assert [type(call.twin) for call in graph._calls] == [PooledConvolution]
    graph = graph_through(L.BatchNormalization(), L.ReLU(), L.Conv2D(4, 3), L.Activation("relu"))
    (call,) = graph._calls
    assert [type(twin) for twin in call.twin.twins] == [BatchNormalization, Convolution]


def test_what_two_layers_read_is_not_joined() -> None:
    inputs = keras.Input((8, 8, 3))
    maps = L.Conv2D(4, 3, padding="same")(inputs)
    both = L.Add()([L.ReLU()(maps), maps])
    assert len(Graph(graph_of(keras.Model(inputs, both)))._calls) == 3


PRINTS = (
    "import torch; from saccade.training.kernels.library import load_kernels; "
    "from saccade.training.kernels.layers import maps_fit; "
    "print(load_kernels() is not None, maps_fit(torch.zeros(1, 2, 2, 1)))"
)


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiler that writes down what it is asked for."""
    asked, compiler = tmp_path / "asked.txt", tmp_path / "compiler"
    real = " ".join(library.find_compiler())
    compiler.write_text(f'#!/bin/sh\necho "$@" >> "{asked}"\nexec {real} "$@"\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("SACCADE_CACHE", str(tmp_path / "cache"))
    return asked


def loading() -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", PRINTS], stdout=subprocess.PIPE, text=True)


# Sums of 11 products, of operands 80 bytes a row; of the last, 5 rows of pairs are filled. Then one
# more product, that goes on with the sums.
PLAIN_SUMS = """
#include <cstdio>
#include "products.h"
int main() {
  constexpr Index steps = 11, filled = 5, step = 40;
  auto a = allocate<Half>(steps * kPair * step), b = allocate<Half>(steps * kTwo);
  auto sums = allocate<float>(kSums);
  unsigned state = 1;
  const auto draw = [&] {
    state = state * 1103515245 + 12345;
    return narrow(float(state >> 16 & 15) - 7);
  };
  for (Index i = 0; i < steps * kPair * step; ++i) a[i] = draw();
  for (Index i = 0; i < steps * kTwo; ++i) b[i] = draw();
  for (Index c = 0; c < 2; ++c)
    for (Index k = filled * kEntries; k < kTile; ++k) b[(steps - 1) * kTwo + c * kTile + k] = 0;
  const Tiles tiles;
  begin_sums<2>();
  for (Index s = 0; s < steps; ++s) {
    const Half* rows = &a[s * kPair * step];
    add_product<2>(rows, rows + kSide * step, step * sizeof(Half), &b[s * kTwo],
                   s == steps - 1 ? filled : kSide);
  }
  store_sums<2>(sums.get(), sums.get() + kSums / 2);
  add(&b[0], &b[0], 1, false, sums.get());  // goes on with them
  for (Index r = 0; r < kPair; ++r)
    for (Index c = 0; c < kPair; ++c) {
      float wanted = 0;
      const auto second = [&](Index s, Index k) {
        return widen(b[s * kTwo + c / kSide * kTile + k / 2 * kEntries + c % kSide * 2 + k % 2]);
      };
      for (Index s = 0; s < steps; ++s)
        for (Index k = 0; k < kEntries; ++k)
          wanted += widen(a[(s * kPair + r) * step + k]) * second(s, k);
      for (Index k = 0; k < kEntries; ++k)
        wanted += widen(b[r / kSide * kTile + r % kSide * kEntries + k]) * second(0, k);
      if (sums[r * kPair + c] != wanted) return std::printf("%d %d", int(r), int(c)), 1;
    }
}
"""


@needs_tiles
def test_tiles_are_multiplied_without_a_unit_too(tmp_path: Path) -> None:
    """Whole numbers, whose sums float32 holds exactly, against plain loops."""
    (tmp_path / "sums.cpp").write_text(PLAIN_SUMS)
    folder = Path(library.__file__).parent
    without = ["-mno-amx-bf16"] if library.has_tile_unit() else []
    flags = [*library._FLAGS, *without, f"-I{folder}", "-o", str(tmp_path / "sums")]
    subprocess.run([*library.find_compiler(), *flags, str(tmp_path / "sums.cpp")], check=True)
    ran = subprocess.run([tmp_path / "sums"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "")


@needs_kernels
@pytest.mark.skipif(sys.platform == "win32", reason="the counting compiler is a script")
def test_kernels_are_compiled_once_by_two_processes_and_kept_and_anew_where_damaged(
    counted: Path, tmp_path: Path
) -> None:
    digest = library._digest(library.find_compiler())
    kept = tmp_path / "cache" / "compiled" / f"kernels-{digest}.so"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"not a library")
    counted.unlink()
    both = loading(), loading()
    assert [one.communicate()[0].strip() for one in both] == ["True True"] * 2
    assert kept.stat().st_size > 1_000
    assert loading().communicate()[0].strip() == "True True"
    assert [path for path in kept.parent.iterdir() if not path.name.startswith(".")] == [kept]
    asked = counted.read_text().splitlines()
    assert sorted(line.split()[-3] for line in asked if " -c " in line) == sorted(library._SOURCES)


@pytest.fixture
def anew() -> Iterator[None]:
    """Kernels are looked for again, by this test and by those after it."""
    looked_for = (library.find_kernels, library._tiles_there_are)
    for found in looked_for:
        found.cache_clear()
    yield
    for found in looked_for:
        found.cache_clear()


def test_compiler_is_named_with_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "env 'a b'")
    assert library.find_compiler() == (shutil.which("env"), "a b")
    monkeypatch.setenv("CXX", "")
    assert library.find_compiler() == ()


@pytest.mark.usefixtures("anew")
@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("SACCADE_KERNELS", "off", "SACCADE_KERNELS is off"),
        ("CXX", "no-such-compiler", "there is no C++ compiler"),
        ("CXX", "/bin/false", "/bin/false failed: code 1"),
    ],
)
def test_without_kernels_torch_does_the_work_and_it_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, why: str
) -> None:
    monkeypatch.setenv("SACCADE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(name, value)
    assert library.find_kernels() == why
    work = Workload(number_format="bf16", device="cpu", num_layers=10)
    asked = name == "SACCADE_KERNELS"
    assert kernels_missing(work) == (() if asked else (f"slower, without our own kernels: {why}",))
    assert kernels_missing(replace(work, device="cuda")) == ()
    assert library.load_kernels() is None
    assert not library.has_tiles()
    assert not library.has_tile_unit()
    assert not layers.maps_fit(torch.zeros(1, 2, 2, 1))
    assert list(tmp_path.rglob("*.so")) == []
