"""Folding: each rewrite happens where it may, changes no result, and stays away elsewhere."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

from collections import Counter

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras import layers as kl

from saccade.bundle.graph import features_to_onnx
from saccade.bundle.layers import UnknownLayerError

SHAPE = (11, 12, 3)
COLOURS = kl.Rescaling([1 / 255, 1 / 100, 1 / 50], offset=[-1, 0, 0.5])


def model_of(*layers: keras.layers.Layer) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input(SHAPE), *layers])
    random = np.random.default_rng(0)
    for layer in model.layers:
        if not isinstance(layer, kl.Rescaling):
            layer.set_weights([random.uniform(0.2, 1.5, w.shape) for w in layer.get_weights()])
    return model


def folded(model: keras.Model) -> tuple[list[str], float]:
    """Return the operators that are left, and the largest difference from Keras."""
    document = features_to_onnx(model, SHAPE)
    onnx.checker.check_model(onnx.load_from_string(document), full_check=True)
    pixels = np.random.default_rng(1).integers(0, 256, (3, *SHAPE), dtype=np.uint8)
    session = onnxruntime.InferenceSession(document, providers=["CPUExecutionProvider"])
    (given,) = session.run(["features"], {"pixels": pixels})
    wanted = keras.ops.convert_to_numpy(model(pixels.astype(np.float32), training=False))
    assert given.shape == wanted.shape
    operators = [node.op_type for node in onnx.load_from_string(document).graph.node]
    return operators, float(np.abs(given - wanted).max() / np.abs(wanted).max())


@pytest.mark.parametrize(
    ("layers", "left"),
    [
        # Normalisation goes into its convolution, and scaling into an unpadded one.
        ([COLOURS, kl.Conv2D(4, 3), kl.BatchNormalization()], "Conv"),
        ([COLOURS, kl.Conv2D(4, 3, use_bias=False), kl.BatchNormalization(scale=False)], "Conv"),
        ([kl.Rescaling(1 / 127.5, offset=-1), kl.Conv2D(4, 2, strides=2)], "Conv"),
        (
            [kl.Rescaling(1 / 255), kl.SeparableConv2D(4, 3), kl.BatchNormalization()],
            "Mul Conv Conv",
        ),
        # A padded zero is a zero after scaling, not before; a ReLU between keeps the two apart.
        ([COLOURS, kl.Conv2D(4, 3, padding="same")], "Mul Add Conv"),
        (
            [kl.Conv2D(4, 3, activation="relu"), kl.BatchNormalization()],
            "Conv Relu BatchNormalization",
        ),
        # Pooling goes last where that leaves fewer channels to pool.
        (
            [kl.Conv2D(6, 3), kl.AveragePooling2D(3, 1, "same"), kl.Conv2D(2, 1)],
            "Conv Conv AveragePool",
        ),
        ([kl.Conv2D(6, 3), kl.AveragePooling2D(2, 1), kl.Conv2D(2, 1)], "Conv Conv AveragePool"),
        ([kl.Conv2D(6, 3), kl.AveragePooling2D(2, 1), kl.Conv2D(9, 1)], "Conv AveragePool Conv"),
        ([kl.Conv2D(6, 3), kl.AveragePooling2D(2, 2), kl.Conv2D(2, 1)], "Conv AveragePool Conv"),
        ([kl.Conv2D(6, 3), kl.AveragePooling2D(2, 1), kl.Conv2D(2, 3)], "Conv AveragePool Conv"),
    ],
)
def test_rewrite_keeps_the_result(layers: list[keras.layers.Layer], left: str) -> None:
    operators, difference = folded(model_of(*layers))
    assert operators[:2] == ["Cast", "Transpose"]
    assert operators[2:-1] == left.split()
    assert difference < 2e-6  # float32 in another order of summation


def test_what_another_layer_reads_stays() -> None:
    keras.utils.set_random_seed(0)
    pixels = keras.Input(SHAPE)
    scaled = kl.Rescaling(1 / 255)(pixels)
    maps = kl.Conv2D(3, 3)(scaled)
    normal = kl.BatchNormalization()
    both = kl.Concatenate()([kl.Flatten()(normal(maps)), kl.Flatten()(maps), kl.Flatten()(scaled)])
    model = keras.Model(pixels, both)
    normal.set_weights([np.array([0.5, 2, 3]) for _ in range(4)])
    operators, difference = folded(model)
    assert Counter(operators)["BatchNormalization"] == Counter(operators)["Mul"] == 1
    assert difference < 2e-6


def test_shared_convolution_keeps_its_weights() -> None:
    keras.utils.set_random_seed(0)
    pixels, shared = keras.Input(SHAPE), kl.Conv2D(3, 3)
    normal = kl.BatchNormalization()
    model = keras.Model(pixels, shared(normal(shared(kl.Rescaling(1 / 255)(pixels)))))
    normal.set_weights([np.array([0.5, 2, 3]) for _ in range(4)])
    operators, difference = folded(model)
    assert operators[2:-1] == ["Conv", "Conv"]
    assert difference < 2e-6


def test_unknown_layer_is_left_to_the_caller() -> None:
    with pytest.raises(UnknownLayerError):
        features_to_onnx(model_of(kl.Conv2DTranspose(2, 3)), SHAPE)
