"""Every twin against the Keras layer that it stands for: outputs, gradients, statistics."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch

from saccade.models.backend import load_keras
from saccade.training.graph import Graph, graph_of
from saccade.training.twins import twin_of
from saccade.training.twins.registry import _TWINS

keras = load_keras()
L = keras.layers

# Float32 sums in another order differ in the last digits: 1e-5 of values around 1.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}

MAPS = (9, 8, 3)
PAIR = ((5, 4, 3), (5, 4, 3))
GATE = ((5, 4, 3), (1, 1, 3), (5, 4, 1))  # axes of length 1 stretch
FROM_CONVNEXT = keras.src.applications.convnext
FROM_INCEPTION = keras.src.applications.inception_resnet_v2
KNOWN = {"mean": [0.1, 0.2, 0.3], "variance": [0.5, 2.0, 0.0]}

# What to make, and the shape, or shapes, of a picture that goes in.
LAYERS: dict[str, tuple[Callable[[], Any], Any]] = {
    "activation": (lambda: L.Activation("relu"), (5, 4)),
    "add": (lambda: L.Add(), PAIR),
    "add-stretched": (lambda: L.Add(), GATE),
    "average": (lambda: L.AveragePooling2D(2), (8, 6, 3)),
    "average-odd": (lambda: L.AveragePooling2D(3, strides=2), MAPS),
    "average-same": (lambda: L.AveragePooling2D(3, strides=1, padding="same"), MAPS),
    "average-same-2": (lambda: L.AveragePooling2D(3, strides=2, padding="same"), MAPS),
    "average-same-even": (lambda: L.AveragePooling2D(2, padding="same"), (9, 7, 3)),
    "batch": (lambda: L.BatchNormalization(), (6, 5, 3)),
    "batch-bare": (lambda: L.BatchNormalization(center=False, scale=False), (6,)),
    "batch-axis": (lambda: L.BatchNormalization(axis=3, momentum=0.5), (6, 5, 3)),
    "batch-flat": (lambda: L.BatchNormalization(), (6,)),
    "batch-frozen": (lambda: L.BatchNormalization(trainable=False), (6,)),
    "concatenate": (lambda: L.Concatenate(), ((5, 4, 3), (5, 4, 1))),
    "concatenate-rows": (lambda: L.Concatenate(axis=1), ((5, 4, 3), (2, 4, 3), (1, 4, 3))),
    "conv": (lambda: L.Conv2D(5, 3), MAPS),
    "conv-same": (lambda: L.Conv2D(5, (3, 5), padding="same", activation="relu"), MAPS),
    "conv-even": (lambda: L.Conv2D(5, 2, padding="same"), (7, 8, 3)),
    "conv-leaky": (lambda: L.Conv2D(5, 3, activation=L.LeakyReLU(0.1)), MAPS),
    "conv-strides": (lambda: L.Conv2D(5, 3, strides=2, padding="same"), (8, 9, 3)),
    "conv-strides-2": (lambda: L.Conv2D(5, 3, strides=(2, 3)), (10, 11, 3)),
    "conv-dilated": (lambda: L.Conv2D(5, 3, dilation_rate=2, padding="same"), MAPS),
    "conv-groups": (lambda: L.Conv2D(6, 3, groups=2, use_bias=False), (9, 8, 4)),
    "conv-grey": (lambda: L.Conv2D(4, 3, activation="tanh"), (9, 8, 1)),
    "cropping": (lambda: L.Cropping2D(((1, 0), (2, 1))), MAPS),
    "dense": (lambda: L.Dense(4), (6,)),
    "dense-softmax": (lambda: L.Dense(4, activation="softmax"), (6,)),
    "dense-maps": (lambda: L.Dense(4, use_bias=False, activation="silu"), (5, 6, 3)),
    "depth-none": (lambda: FROM_CONVNEXT.StochasticDepth(0.0), MAPS),
    "depthwise": (lambda: L.DepthwiseConv2D(3, padding="same"), MAPS),
    "depthwise-2": (lambda: L.DepthwiseConv2D(3, strides=2, depth_multiplier=2), MAPS),
    "depthwise-3": (lambda: L.DepthwiseConv2D(5, strides=2, padding="same"), (8, 8, 3)),
    "dropout-none": (lambda: L.Dropout(0.0), (6,)),
    "dropout-none-shape": (lambda: L.Dropout(0.0, noise_shape=(None, 1, 1, 1)), MAPS),
    "elu": (lambda: L.ELU(0.7), (5, 4)),
    "flatten": (lambda: L.Flatten(), (4, 3, 2)),
    "global-average": (lambda: L.GlobalAveragePooling2D(), (4, 3, 2)),
    "global-average-kept": (lambda: L.GlobalAveragePooling2D(keepdims=True), (4, 3, 2)),
    "global-max": (lambda: L.GlobalMaxPooling2D(keepdims=True), (4, 3, 2)),
    "group": (lambda: L.GroupNormalization(2), (5, 4, 6)),
    "group-instance": (lambda: L.GroupNormalization(-1, axis=3, scale=False), (5, 4, 6)),
    "group-flat": (lambda: L.GroupNormalization(3, center=False), (6,)),
    "identity": (lambda: L.Identity(), (6,)),
    "layer": (lambda: L.LayerNormalization(epsilon=1e-6), (5, 4, 6)),
    "layer-bare": (lambda: L.LayerNormalization(center=False, scale=False), (6,)),
    "layer-scale": (lambda: FROM_CONVNEXT.LayerScale(1e-6, 3), MAPS),
    "leaky-relu": (lambda: L.LeakyReLU(0.2), (5, 4)),
    "max": (lambda: L.MaxPooling2D(), (8, 6, 3)),
    "max-odd": (lambda: L.MaxPooling2D(), (9, 7, 3)),
    "max-overlap": (lambda: L.MaxPooling2D(3, strides=2, padding="same"), (8, 9, 3)),
    "max-same": (lambda: L.MaxPooling2D(2, padding="same"), (9, 7, 3)),
    "maximum": (lambda: L.Maximum(), GATE),
    "mean": (lambda: L.Average(), GATE),
    "minimum": (lambda: L.Minimum(), GATE),
    "multiply": (lambda: L.Multiply(), PAIR),
    "multiply-stretched": (lambda: L.Multiply(), GATE),
    "normalization": (lambda: L.Normalization(**KNOWN), MAPS),
    "normalization-back": (lambda: L.Normalization(**KNOWN, invert=True), MAPS),
    "normalization-new": (lambda: L.Normalization(), MAPS),
    "padding": (lambda: L.ZeroPadding2D(((0, 1), (2, 3))), MAPS),
    "permute": (lambda: L.Permute((2, 3, 1)), MAPS),
    "prelu": (lambda: L.PReLU(), (5, 4)),
    "prelu-shared": (lambda: L.PReLU(shared_axes=[1, 2]), MAPS),
    "relu": (lambda: L.ReLU(), (6,)),
    "relu-6": (lambda: L.ReLU(6.0), (6,)),
    "relu-bounded": (lambda: L.ReLU(0.7), (5, 4)),
    "relu-slope": (lambda: L.ReLU(negative_slope=0.1), (5, 4)),
    "relu-threshold": (lambda: L.ReLU(threshold=0.3), (5, 4)),
    "relu-all": (lambda: L.ReLU(0.9, negative_slope=0.2, threshold=0.3), (5, 4)),
    "rescaling": (lambda: L.Rescaling(2.0, offset=-1.0), (4, 3, 2)),
    "rescaling-channels": (lambda: L.Rescaling([2.0, 3.0], offset=[-1.0, 0.5]), (4, 3, 2)),
    "reshape": (lambda: L.Reshape((2, -1)), (4, 3)),
    "scaled-sum": (lambda: FROM_INCEPTION.CustomScaleLayer(0.2), PAIR),
    "separable": (lambda: L.SeparableConv2D(5, 3, padding="same", activation="relu"), MAPS),
    "separable-2": (lambda: L.SeparableConv2D(5, 3, strides=2, depth_multiplier=2), MAPS),
    "softmax": (lambda: L.Softmax(), (6,)),
    "softmax-rows": (lambda: L.Softmax(axis=1), (5, 4)),
    "spatial-none": (lambda: L.SpatialDropout2D(0.0), (4, 3, 2)),
    "subtract": (lambda: L.Subtract(), PAIR),
    "upsampling": (lambda: L.UpSampling2D((2, 3)), MAPS),
}
LAYERS |= {
    f"activation-{name}": (functools.partial(L.Activation, name), (5, 4))
    for name in (
        *("celu", "elu", "exponential", "gelu", "hard_sigmoid", "hard_swish", "leaky_relu"),
        *("linear", "log_softmax", "mish", "relu6", "selu", "sigmoid", "silu", "softmax"),
        *("softplus", "softsign", "tanh"),
    )
}


def built(name: str) -> tuple[Any, list[torch.Tensor]]:
    """Return a layer with every weight drawn at random, and inputs for it."""
    keras.utils.set_random_seed(3)
    make, shape = LAYERS[name]
    layer = make()
    shapes = shape if isinstance(shape[0], tuple) else (shape,)
    inputs = [2 * torch.randn(4, *shape) for shape in shapes]
    inputs[0].view(-1)[:2] = torch.tensor([8.0, -8.0])  # beyond where ReLU6 and the like turn
    as_keras_takes(layer, inputs)
    with torch.no_grad():
        for variable in layer.variables:
            if variable.dtype == "float32" and not isinstance(layer, L.Normalization):
                variable.value.uniform_(0.2, 1.0)
    return layer, inputs


def as_keras_takes(layer: Any, inputs: list[torch.Tensor], **options: bool) -> torch.Tensor:
    """Call a layer; one that merges takes a list."""
    return layer(inputs if len(inputs) > 1 else inputs[0], **options)


def outcome(call: Callable[..., torch.Tensor], inputs: list[torch.Tensor], layer: Any) -> list[Any]:
    """Return output, gradients of inputs and weights, and all the layer's variables."""
    inputs = [x.clone().requires_grad_() for x in inputs]
    y = call(*inputs)
    weights = [v.value for v in layer.trainable_variables]
    slope = torch.linspace(-1.0, 2.0, y.numel()).reshape(y.shape)  # every output counts its own way
    gradients = torch.autograd.grad((y * slope).sum(), [*inputs, *weights])
    states = [v.value.detach().clone() for v in layer.variables]
    return [y.detach(), *gradients, *states]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_twin_equals_its_layer(name: str, training: bool) -> None:
    layer, inputs = built(name)
    options = {"training": training} if layer._call_has_training_arg else {}
    wanted = outcome(lambda *xs: as_keras_takes(layer, list(xs), **options), inputs, layer)
    layer, inputs = built(name)
    twin = twin_of(layer)
    assert twin is not None
    got = outcome(twin.train(training), inputs, layer)
    for ours, keras_s in zip(got, wanted, strict=True):
        torch.testing.assert_close(ours, keras_s, **CLOSE)


@pytest.mark.parametrize("name", ["batch-flat", "batch-bare"])
def test_batch_of_one_picture_equals_its_layer(name: str) -> None:
    layer, (x,) = built(name)
    wanted = outcome(lambda x: layer(x, training=True), [x[:1]], layer)
    layer, (x,) = built(name)
    twin = twin_of(layer)
    assert twin is not None
    for ours, keras_s in zip(outcome(twin.train(True), [x[:1]], layer), wanted, strict=True):
        torch.testing.assert_close(ours, keras_s, **CLOSE)


def test_every_twin_is_compared() -> None:
    assert {type(make()) for make, _ in LAYERS.values()} == set(_TWINS)


@pytest.mark.parametrize(
    "make",
    [
        lambda: L.Conv2D(4, 3, data_format="channels_first"),
        lambda: L.Dense(4, dtype="mixed_bfloat16"),
        lambda: L.Dense(4, activity_regularizer="l2"),
        lambda: L.BatchNormalization(axis=1),
        lambda: L.GroupNormalization(2, axis=1),
        lambda: L.LayerNormalization(axis=[1, 2]),
        lambda: L.UpSampling2D(interpolation="bilinear"),
    ],
)
def test_no_twin_where_it_would_not_be_exact(make: Callable[[], Any]) -> None:
    layer = make()
    layer.build((4, 8, 8, 3))
    assert twin_of(layer) is None


def test_no_twin_for_tensors_of_different_rank() -> None:
    layer = L.Add()
    layer.build([(4, 3), (4, 8, 3)])  # Keras stretches the first behind the batch
    assert twin_of(layer) is None


ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "sum": lambda x, y: x + y,
    "shift": lambda x, y: x + 3.0,
    "shift-before": lambda x, y: 3 + x,
    "difference": lambda x, y: 1.0 - x,
    "product": lambda x, y: x * y,
    "square": lambda x, y: x * x,
    "scale": lambda x, y: x * (1.0 / 6.0),
    "quotient": lambda x, y: x / (y * y + 1.0),
    "share": lambda x, y: 2.0 / (x * x + 1.0),
    "negative": lambda x, y: -x,
}


@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic_between_layers_is_keras_s(name: str) -> None:
    keras.utils.set_random_seed(3)
    source = keras.Input((5, 4, 3))
    y = L.Conv2D(3, 1)(source)
    model = keras.Model(source, ARITHMETIC[name](L.ReLU()(source), y))
    graph = Graph(graph_of(model))
    assert graph.num_foreign == 0
    x = [torch.randn(4, 5, 4, 3)]
    for layer in model.layers:
        layer.trainable = False  # where y is not in the model, nor is its layer
    for ours, keras_s in zip(outcome(graph, x, model), outcome(model, x, model), strict=True):
        torch.testing.assert_close(ours, keras_s, **CLOSE)


def test_dropout_keeps_the_stated_share_and_the_mean() -> None:
    twin = twin_of(L.Dropout(0.25)).train()
    y = twin(torch.ones(100_000))
    # The share of zeros has a standard deviation of 0.0014; 5 of them is never by chance.
    assert abs(float((y == 0).float().mean()) - 0.25) < 0.007
    assert y.unique().tolist() == pytest.approx([0.0, 1 / 0.75])


def test_spatial_dropout_drops_whole_channels() -> None:
    y = twin_of(L.SpatialDropout2D(0.5)).train()(torch.ones(10, 4, 4, 50))
    kept = y.amax(dim=(1, 2))
    assert torch.equal(kept, y.amin(dim=(1, 2)))
    assert set(kept.unique().tolist()) == {0.0, 2.0}


@pytest.mark.parametrize(
    "layer",
    [L.Dropout(0.25, noise_shape=(None, 1, 1, 1)), FROM_CONVNEXT.StochasticDepth(0.25)],
)
def test_whole_pictures_are_dropped_and_the_mean_is_kept(layer: Any) -> None:
    twin, x = twin_of(layer), torch.ones(40_000, 2, 2, 1)
    y = twin.train()(x)
    kept = y.amax(dim=(1, 2, 3))
    assert torch.equal(kept, y.amin(dim=(1, 2, 3)))
    assert kept.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    # The share of zeros has a standard deviation of 0.0022; 5 of them is never by chance.
    assert abs(float((kept == 0).float().mean()) - 0.25) < 0.011
    assert torch.equal(twin.eval()(x), x)
