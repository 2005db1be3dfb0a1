from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
import onnx
import pytest
from keras import layers as kl

from saccade.bundle.graph import to_onnx
from saccade.bundle.runtime import Runtime
from saccade.errors import BundleError
from saccade.models.outputs import output_kind, to_logits

SHAPE = (4, 4, 1)


def model_of(*layers: keras.layers.Layer) -> keras.Model:
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input(SHAPE), kl.Rescaling(1 / 255), *layers])


def run(model: keras.Model, pixels: np.ndarray, *, num_classes: int, temperature: float):
    options = {"input_shape": SHAPE, "num_classes": num_classes, "temperature": temperature}
    content = to_onnx(model, **options).document
    return Runtime(content, input_shape=SHAPE, num_classes=num_classes).probabilities(pixels)


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (9, *SHAPE), dtype=np.uint8)


@pytest.mark.parametrize(
    ("activation", "columns", "num_classes"),
    [
        (None, 3, 3),
        ("softmax", 3, 3),
        ("sigmoid", 3, 3),
        ("sigmoid", 1, 2),
        (None, 1, 2),
        (None, 2, 2),
    ],
)
def test_outputs_become_calibrated_probabilities(
    pixels: np.ndarray, activation: str | None, columns: int, num_classes: int
) -> None:
    model = model_of(kl.Flatten(), kl.Dense(columns, activation=activation))
    given = run(model, pixels, num_classes=num_classes, temperature=2.5)
    outputs = keras.ops.convert_to_numpy(model(pixels.astype(np.float32)))
    scaled = np.exp(to_logits(outputs, output_kind(model)).astype(np.float64) / 2.5)
    assert np.abs(given - scaled / scaled.sum(axis=1, keepdims=True)).max() < 1e-6


def test_sigmoid_worked_out_by_hand() -> None:
    model = model_of(kl.GlobalAveragePooling2D(), kl.Dense(1, activation="sigmoid"))
    model.layers[-1].set_weights([np.array([[4.0]]), np.array([-2.0])])
    white = np.full((1, *SHAPE), 255, dtype=np.uint8)
    # z = 4 * 1 - 2 = 2; at temperature 2 the second class has 1 / (1 + e^-1).
    given = run(model, white, num_classes=2, temperature=2.0)
    np.testing.assert_allclose(given, [[0.26894143, 0.73105858]], atol=1e-6)


def test_known_layers_give_no_transpositions_between_convolutions() -> None:
    model = model_of(
        kl.Conv2D(2, 3, padding="same"), kl.Conv2D(2, 3), kl.GlobalAveragePooling2D(), kl.Dense(2)
    )
    content = to_onnx(model, input_shape=SHAPE, num_classes=2, temperature=1.0).document
    operators = [node.op_type for node in onnx.load_from_string(content).graph.node]
    assert operators.count("Transpose") == 1


def test_unknown_layer_goes_through_pytorch_quietly(
    pixels: np.ndarray, capfd: pytest.CaptureFixture[str]
) -> None:
    if keras.backend.backend() != "torch":
        pytest.skip("PyTorch's exporter needs KERAS_BACKEND=torch")
    model = model_of(kl.Conv2DTranspose(2, 3), kl.Flatten(), kl.Dense(2, activation="softmax"))
    given = run(model, pixels, num_classes=2, temperature=3.0)
    outputs = keras.ops.convert_to_numpy(model(pixels.astype(np.float32)))
    scaled = outputs ** (1 / 3)
    assert np.abs(given - scaled / scaled.sum(axis=1, keepdims=True)).max() < 1e-6
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("layers", "num_classes", "message"),
    [
        ((kl.Flatten(), kl.Dense(3)), 4, r"gives \(3,\) numbers a picture for 4 classes"),
        ((kl.Dense(3),), 3, r"gives \(4, 4, 3\) numbers"),
        ((kl.Flatten(), kl.Dense(1, activation="softmax")), 2, r"gives \(1,\) numbers"),
    ],
)
def test_outputs_that_do_not_fit(
    layers: tuple[keras.layers.Layer, ...], num_classes: int, message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        to_onnx(model_of(*layers), input_shape=SHAPE, num_classes=num_classes, temperature=1.0)


def test_pictures_that_do_not_fit() -> None:
    model = model_of(kl.Flatten(), kl.Dense(2))
    with pytest.raises(BundleError, match=r"takes pictures of \(4, 4, 1\).*\(8, 8, 1\)"):
        to_onnx(model, input_shape=(8, 8, 1), num_classes=2, temperature=1.0)


def test_model_without_a_built_graph() -> None:
    with pytest.raises(BundleError, match="is built, with one input and one output"):
        to_onnx(keras.Sequential([kl.Dense(2)]), input_shape=SHAPE, num_classes=2, temperature=1.0)
