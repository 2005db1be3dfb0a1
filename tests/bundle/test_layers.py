"""Each Keras layer, converted and run by ONNX Runtime, against Keras itself."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
import pytest
from keras import layers as kl
from keras.src.applications import convnext

from saccade.bundle.graph import to_onnx
from saccade.bundle.layers import _UNCHANGED, GraphBuilder, UnknownLayerError, emit_model
from saccade.bundle.runtime import Runtime
from saccade.models import CompactDesign, View, build_compact

VIEWS = (View(mirrored=True), View(shift_px=1), View(shift_px=-1))

SHAPE = (13, 16, 3)  # odd and even sides, so that padding falls on unlike places
SCALE = kl.Rescaling(1 / 255)

LAYERS = {
    "rescaling-by-channel": [kl.Rescaling([1 / 255, 1 / 100, 1 / 50], offset=[-1, 0, 0.5])],
    "normalization": [kl.Normalization(mean=[100.0, 120, 130], variance=[600.0, 700, 300])],
    "conv-same": [SCALE, kl.Conv2D(4, 3, padding="same", activation="relu")],
    "conv-valid": [SCALE, kl.Conv2D(4, (3, 2), activation="gelu")],
    "conv-same-strided": [SCALE, kl.Conv2D(4, 3, padding="same", strides=2)],
    "conv-same-even": [SCALE, kl.Conv2D(4, 4, padding="same", strides=(1, 2))],
    "conv-same-dilated": [SCALE, kl.Conv2D(4, (3, 2), padding="same", dilation_rate=2)],
    "conv-valid-dilated": [SCALE, kl.Conv2D(4, 3, dilation_rate=(1, 3), use_bias=False)],
    "conv-grouped": [SCALE, kl.Conv2D(6, 3, groups=3)],
    "depthwise": [SCALE, kl.DepthwiseConv2D(3, depth_multiplier=2, padding="same", strides=2)],
    "separable": [SCALE, kl.SeparableConv2D(8, 3, depth_multiplier=2, activation="silu")],
    "batch-norm": [SCALE, kl.BatchNormalization(), kl.ReLU(6.0, 0.1)],
    "batch-norm-flat": [SCALE, kl.Flatten(), kl.BatchNormalization(scale=False, center=False)],
    "layer-norm": [SCALE, kl.Conv2D(6, 3), kl.LayerNormalization(epsilon=0.1)],
    "layer-norm-flat": [SCALE, kl.Flatten(), kl.LayerNormalization(center=False)],
    "max-pool-same": [SCALE, kl.MaxPooling2D(3, strides=2, padding="same")],
    "max-pool-valid": [SCALE, kl.MaxPooling2D(3, 2)],
    "average-pool-valid": [SCALE, kl.AveragePooling2D(2)],
    "average-pool-same": [SCALE, kl.AveragePooling2D(3, strides=1, padding="same")],
    "global-average": [SCALE, kl.GlobalAveragePooling2D()],
    "global-max-keepdims": [SCALE, kl.GlobalMaxPooling2D(keepdims=True)],
    "reshape": [SCALE, kl.Reshape((16, 13, 3)), kl.Conv2D(3, 3), kl.Reshape((-1, 3))],
    "zero-padding": [SCALE, kl.ZeroPadding2D(((0, 1), (2, 3))), kl.Conv2D(3, 3)],
    "dense-per-pixel": [SCALE, kl.Dense(5, activation="softplus"), kl.Softmax()],
    "leaky": [SCALE, kl.Rescaling(2, -1), kl.LeakyReLU(0.3), kl.ELU(0.7)],
    "nested": [SCALE, keras.Sequential([kl.Conv2D(3, 3), keras.Sequential([kl.Flatten()])])],
    "mixed-precision": [SCALE, kl.Dense(4, dtype="mixed_bfloat16"), kl.Rescaling(1.0)],
}


def sequential(*layers: keras.layers.Layer) -> keras.Model:
    return keras.Sequential([keras.Input(SHAPE), *layers, kl.Flatten(), kl.Dense(3)])


def worst_difference(model: keras.Model, shape: tuple[int, int, int] = SHAPE) -> float:
    """Return the largest difference in any probability between the graph and Keras."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (5, *shape), dtype=np.uint8)
    norms = [lay for lay in model._flatten_layers() if isinstance(lay, kl.BatchNormalization)]
    for layer in norms:  # each normalises by what it sees, then scales and shifts by its own
        layer.set_weights([random.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
        layer.momentum = 0.0
    if norms:
        model(pixels.astype(np.float32), training=True)
    wanted = keras.ops.softmax(model(pixels.astype(np.float32), training=False))
    wanted = keras.ops.convert_to_numpy(wanted)
    assert np.ptp(wanted, axis=0).max() > 1e-5, "all pictures look the same to this model"
    options = {"input_shape": shape, "num_classes": wanted.shape[1], "temperature": 1.0}
    content = to_onnx(model, **options).document
    runtime = Runtime(content, input_shape=shape, num_classes=wanted.shape[1])
    return float(np.abs(runtime.probabilities(pixels) - wanted).max())


def is_walked(model: keras.Model) -> bool:
    graph = GraphBuilder()
    try:
        emit_model(graph, model, graph.from_keras_order("x", 4))
    except UnknownLayerError:
        return False
    return True


@pytest.mark.parametrize("name", LAYERS)
def test_layer_equals_keras(name: str) -> None:
    keras.utils.set_random_seed(0)
    model = sequential(*LAYERS[name])
    assert is_walked(model)
    # float32 in another order of summation; bfloat16 has 8 bits, so Keras's own sums are coarse.
    assert worst_difference(model) < (2e-2 if name == "mixed-precision" else 2e-6)


@pytest.mark.parametrize(
    "name",
    "elu gelu hard_sigmoid hard_silu leaky_relu linear log_softmax mish relu relu6 selu sigmoid "
    "silu softmax softplus softsign swish tanh".split(),
)
def test_activation_equals_keras(name: str) -> None:
    keras.utils.set_random_seed(0)
    model = sequential(kl.Rescaling(1 / 16, offset=-8), kl.Activation(name))
    assert is_walked(model)
    assert worst_difference(model) < 5e-6


@pytest.mark.parametrize("name", sorted(_UNCHANGED))
def test_layer_asleep_when_predicting(name: str) -> None:
    keras.utils.set_random_seed(0)
    arguments = {
        "ActivityRegularization": {"l2": 0.1},
        "RandomBrightness": {"factor": 0.5},
        "RandomColorDegeneration": {"factor": 0.5},
        "RandomContrast": {"factor": 0.5},
        "RandomHue": {"factor": 0.5},
        "RandomPosterization": {"factor": 4},
        "RandomRotation": {"factor": 0.5},
        "RandomSaturation": {"factor": 0.5},
        "RandomSharpness": {"factor": 0.5},
        "RandomTranslation": {"height_factor": 0.5, "width_factor": 0.5},
        "RandomZoom": {"height_factor": 0.5},
        "StochasticDepth": {"drop_path_rate": 0.5},
    }
    rates = {"AlphaDropout", "Dropout", "GaussianDropout", "SpatialDropout2D"}
    defaults = {"rate": 0.5} if name in rates else {"stddev": 1.0} if "Noise" in name else {}
    home = convnext if name == "StochasticDepth" else kl  # Keras keeps it beside its only user
    layer = getattr(home, name)(**arguments.get(name, defaults))
    assert worst_difference(sequential(layer, SCALE)) < 2e-6


def test_branches_equal_keras() -> None:
    keras.utils.set_random_seed(0)
    pixels = keras.Input(SHAPE)
    scaled = SCALE(pixels)
    wide, flat = kl.Conv2D(4, 3, padding="same")(scaled), kl.Conv2D(4, 1)(scaled)
    joined = kl.Concatenate()([kl.Add()([wide, flat]), wide, scaled])
    gated = kl.Multiply()([joined, kl.GlobalAveragePooling2D(keepdims=True)(joined)])
    spread = kl.Subtract()([kl.Maximum()([gated, joined]), kl.Minimum()([gated, joined])])
    mean = kl.Average()([spread, gated, joined]) * 2 + 1
    features = kl.Concatenate()([kl.Flatten()(mean), kl.Flatten()(scaled)])
    model = keras.Model(pixels, kl.Dense(3)(features))
    assert is_walked(model)
    assert worst_difference(model) < 5e-6


@pytest.mark.parametrize("head", ["pooled", "whole"])
def test_network_of_several_views_equals_keras(head) -> None:
    keras.utils.set_random_seed(0)
    design = CompactDesign(stem_stride=1, widths=(4, 8), depth=1, head=head)
    model = build_compact(
        design,
        input_shape=SHAPE,
        num_classes=3,
        views=VIEWS,
    )
    assert is_walked(model)
    assert worst_difference(model) < 5e-6


def test_flips_takes_and_means_of_other_axes_equal_keras() -> None:
    keras.utils.set_random_seed(0)
    pixels = keras.Input(SHAPE)
    maps = SCALE(pixels)
    maps = keras.ops.concatenate([maps, keras.ops.flip(maps, axis=1)], axis=-1)
    maps = keras.ops.flip(kl.Conv2D(3, 3)(maps), axis=-1)
    maps = keras.ops.take(maps, [2, 0, 0], axis=-1)
    rows = keras.ops.mean(keras.ops.reshape(maps, (-1, 11 * 14, 3)), axis=-1)
    model = keras.Model(pixels, kl.Dense(3)(keras.ops.flip(rows, axis=1)))
    assert is_walked(model)
    assert worst_difference(model) < 2e-6


@pytest.mark.parametrize(
    "operation",
    [
        lambda maps: keras.ops.flip(maps),  # over all axes
        lambda maps: keras.ops.mean(maps, axis=-1, keepdims=True),
        lambda maps: keras.ops.mean(maps, axis=(1, 2)),
        lambda maps: keras.ops.sort(maps),
    ],
)
def test_unknown_operation_is_not_guessed(operation) -> None:
    pixels = keras.Input(SHAPE)
    assert not is_walked(keras.Model(pixels, kl.Flatten()(operation(pixels))))


def test_shared_layer_equals_keras() -> None:
    keras.utils.set_random_seed(0)
    pixels, shared = keras.Input(SHAPE), kl.Conv2D(3, 3, padding="same", activation="tanh")
    model = keras.Model(pixels, kl.Dense(3)(kl.Flatten()(shared(shared(SCALE(pixels))))))
    assert worst_difference(model) < 2e-6


def test_xception_block_equals_keras() -> None:
    keras.utils.set_random_seed(0)
    pixels = keras.Input(SHAPE)
    entry = kl.Activation("relu")(
        kl.BatchNormalization()(kl.Conv2D(8, 3, strides=2)(SCALE(pixels)))
    )
    deep = kl.BatchNormalization()(kl.SeparableConv2D(8, 3, padding="same")(entry))
    deep = kl.MaxPooling2D(3, strides=2, padding="same")(kl.Activation("relu")(deep))
    short = kl.BatchNormalization()(kl.Conv2D(8, 1, strides=2, padding="same")(entry))
    model = keras.Model(pixels, kl.Dense(3)(kl.GlobalAveragePooling2D()(kl.add([deep, short]))))
    assert is_walked(model)
    assert worst_difference(model) < 5e-6


def test_application_equals_keras() -> None:
    keras.utils.set_random_seed(0)
    shape = (32, 32, 3)
    body = keras.applications.MobileNet(
        weights=None, input_shape=shape, alpha=0.25, include_top=False, pooling="avg"
    )
    pixels = keras.Input(shape)
    features = kl.BatchNormalization()(body(kl.Rescaling(1 / 127.5, offset=-1)(pixels)))
    model = keras.Model(pixels, kl.Dense(4)(features))
    assert is_walked(model)
    assert worst_difference(model, shape) < 1e-4  # some eighty layers' rounding


@pytest.mark.parametrize(
    "layer",
    [
        kl.Conv2DTranspose(3, 3),
        kl.BatchNormalization(axis=1),
        kl.LayerNormalization(axis=[1, 2]),
        kl.LayerNormalization(scale=False),
        kl.Conv2D(3, 3, data_format="channels_first"),
        kl.ReLU(threshold=1.0),
        kl.Activation(lambda x: x + 1),
    ],
)
def test_unknown_form_is_not_guessed(layer: keras.layers.Layer) -> None:
    assert not is_walked(keras.Sequential([keras.Input(SHAPE), layer]))


def test_own_layer_with_a_known_name() -> None:
    class Dense(kl.Dense):
        def call(self, inputs):
            return -super().call(inputs)

    assert not is_walked(keras.Sequential([keras.Input(SHAPE), Dense(3)]))
