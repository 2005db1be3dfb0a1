"""Every twin against the Keras layer that it stands for: outputs, gradients, statistics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from saccade.models.backend import load_keras
from saccade.training.twins import _TWINS, twin_of

keras = load_keras()
L = keras.layers

# Float32 sums in another order differ in the last digits: 1e-5 of values around 1.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}

LAYERS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "activation": (lambda: L.Activation("relu"), (5, 4)),
    "activation-gelu": (lambda: L.Activation("gelu"), (5, 4)),
    "average": (lambda: L.AveragePooling2D(2), (8, 6, 3)),
    "average-odd": (lambda: L.AveragePooling2D(3, strides=2), (9, 8, 3)),
    "batch": (lambda: L.BatchNormalization(), (6, 5, 3)),
    "batch-bare": (lambda: L.BatchNormalization(center=False, scale=False), (6,)),
    "batch-axis": (lambda: L.BatchNormalization(axis=3, momentum=0.5), (6, 5, 3)),
    "batch-flat": (lambda: L.BatchNormalization(), (6,)),
    "batch-frozen": (lambda: L.BatchNormalization(trainable=False), (6,)),
    "conv": (lambda: L.Conv2D(5, 3), (9, 8, 3)),
    "conv-same": (lambda: L.Conv2D(5, (3, 5), padding="same", activation="relu"), (9, 8, 3)),
    "conv-even": (lambda: L.Conv2D(5, 2, padding="same"), (7, 8, 3)),
    "conv-strides": (lambda: L.Conv2D(5, 3, strides=2, padding="same"), (8, 9, 3)),
    "conv-strides-2": (lambda: L.Conv2D(5, 3, strides=(2, 3)), (10, 11, 3)),
    "conv-dilated": (lambda: L.Conv2D(5, 3, dilation_rate=2, padding="same"), (9, 8, 3)),
    "conv-groups": (lambda: L.Conv2D(6, 3, groups=2, use_bias=False), (9, 8, 4)),
    "conv-grey": (lambda: L.Conv2D(4, 3, activation="tanh"), (9, 8, 1)),
    "dense": (lambda: L.Dense(4), (6,)),
    "dense-softmax": (lambda: L.Dense(4, activation="softmax"), (6,)),
    "dense-maps": (lambda: L.Dense(4, use_bias=False, activation="silu"), (5, 6, 3)),
    "depthwise": (lambda: L.DepthwiseConv2D(3, padding="same"), (9, 8, 3)),
    "depthwise-2": (lambda: L.DepthwiseConv2D(3, strides=2, depth_multiplier=2), (9, 8, 3)),
    "dropout-none": (lambda: L.Dropout(0.0), (6,)),
    "flatten": (lambda: L.Flatten(), (4, 3, 2)),
    "global-average": (lambda: L.GlobalAveragePooling2D(), (4, 3, 2)),
    "global-max": (lambda: L.GlobalMaxPooling2D(keepdims=True), (4, 3, 2)),
    "max": (lambda: L.MaxPooling2D(), (8, 6, 3)),
    "max-odd": (lambda: L.MaxPooling2D(), (9, 7, 3)),
    "max-overlap": (lambda: L.MaxPooling2D(3, strides=2, padding="same"), (8, 9, 3)),
    "max-same": (lambda: L.MaxPooling2D(2, padding="same"), (9, 7, 3)),
    "relu": (lambda: L.ReLU(), (6,)),
    "rescaling": (lambda: L.Rescaling(2.0, offset=-1.0), (4, 3, 2)),
    "reshape": (lambda: L.Reshape((2, -1)), (4, 3)),
    "separable": (lambda: L.SeparableConv2D(5, 3, padding="same", activation="relu"), (9, 8, 3)),
    "separable-2": (lambda: L.SeparableConv2D(5, 3, strides=2, depth_multiplier=2), (9, 8, 3)),
    "softmax": (lambda: L.Softmax(), (6,)),
    "spatial-none": (lambda: L.SpatialDropout2D(0.0), (4, 3, 2)),
}


def built(name: str) -> tuple[Any, torch.Tensor]:
    """Return a layer with every weight drawn at random, and an input for it."""
    keras.utils.set_random_seed(3)
    make, shape = LAYERS[name]
    layer = make()
    x = torch.randn(4, *shape)
    layer(x)
    with torch.no_grad():
        for variable in layer.variables:
            if variable.dtype == "float32":
                variable.value.uniform_(0.2, 1.0)
    return layer, x


def outcome(call: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, layer: Any) -> list[Any]:
    """Return output, gradients of input and weights, and all the layer's variables."""
    x = x.clone().requires_grad_()
    y = call(x)
    weights = [v.value for v in layer.trainable_variables]
    slope = torch.linspace(-1.0, 2.0, y.numel()).reshape(y.shape)  # every output counts its own way
    gradients = torch.autograd.grad((y * slope).sum(), [x, *weights])
    states = [v.value.detach().clone() for v in layer.variables]
    return [y.detach(), *gradients, *states]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_twin_equals_its_layer(name: str, training: bool) -> None:
    layer, x = built(name)
    has_training = layer._call_has_training_arg
    wanted = outcome(lambda x: layer(x, training=training) if has_training else layer(x), x, layer)
    layer, x = built(name)
    twin = twin_of(layer)
    assert twin is not None
    got = outcome(twin.train(training), x, layer)
    for ours, keras_s in zip(got, wanted, strict=True):
        torch.testing.assert_close(ours, keras_s, **CLOSE)


@pytest.mark.parametrize("name", ["batch-flat", "batch-bare"])
def test_batch_of_one_picture_equals_its_layer(name: str) -> None:
    layer, x = built(name)
    wanted = outcome(lambda x: layer(x, training=True), x[:1], layer)
    layer, x = built(name)
    twin = twin_of(layer)
    assert twin is not None
    for ours, keras_s in zip(outcome(twin.train(True), x[:1], layer), wanted, strict=True):
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
        lambda: L.ReLU(max_value=6.0),
        lambda: L.Dropout(0.5, noise_shape=(4, 1, 1, 3)),
        lambda: L.LayerNormalization(),
    ],
)
def test_no_twin_where_it_would_not_be_exact(make: Callable[[], Any]) -> None:
    layer = make()
    layer.build((4, 8, 8, 3))
    assert twin_of(layer) is None


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
