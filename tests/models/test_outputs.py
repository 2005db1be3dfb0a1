"""Outputs as logits, witnessed by the probabilities that a softmax gives back."""

from __future__ import annotations

import numpy as np
import pytest

from saccade.models.backend import load_keras
from saccade.models.outputs import output_kind, to_logits

keras = load_keras()


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        ([keras.layers.Dense(3)], "logits"),
        ([keras.layers.Dense(3, activation="softmax")], "softmax"),
        ([keras.layers.Dense(3), keras.layers.Softmax()], "softmax"),
        ([keras.layers.Dense(3), keras.layers.Activation("softmax")], "softmax"),
        ([keras.layers.Dense(1, activation="sigmoid")], "sigmoid"),
        ([keras.layers.Dense(3, activation="relu")], "logits"),
    ],
)
def test_output_kind(last, kind):
    model = keras.Sequential([keras.Input((4,)), *last])
    assert output_kind(model) == kind


@pytest.mark.parametrize(("activation", "kind"), [("softmax", "softmax"), (None, "logits")])
def test_output_kind_looks_before_what_leaves_probabilities_be(activation, kind):
    layers = keras.layers
    behind = [layers.GlobalAveragePooling2D(), layers.Dropout(0.1), layers.GaussianNoise(0.1)]
    behind += [layers.Identity(), layers.Reshape((1, 3)), layers.Activation("linear")]
    last = layers.Conv2D(3, 1, activation=activation)
    model = keras.Sequential([keras.Input((2, 2, 1)), last, *behind, layers.Flatten()])
    assert output_kind(model) == kind
    sums = model.predict(np.ones((1, 2, 2, 1)), verbose=0).sum(axis=1)
    assert np.isclose(sums, 1, atol=1e-5).all() == (kind == "softmax")


def test_output_kind_looks_into_a_nested_model():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    inputs = keras.Input((4,))
    assert output_kind(keras.Model(inputs, inner(inputs))) == "softmax"


def test_softmax_outputs_come_back():
    probabilities = np.random.default_rng(0).dirichlet(np.ones(5), size=20).astype(np.float32)
    again = softmax(to_logits(probabilities, "softmax"))
    assert np.allclose(again, probabilities, atol=1e-6)  # float32 and the floor of 1e-7


def test_one_sigmoid_becomes_two_classes():
    outputs = np.array([[0.1], [0.5], [0.999]], dtype=np.float32)
    again = softmax(to_logits(outputs, "sigmoid"))
    assert np.allclose(again, np.concatenate([1 - outputs, outputs], axis=1), atol=1e-6)


def test_certain_outputs_stay_finite():
    certain = np.array([[0.0, 1.0]], dtype=np.float32)
    assert np.isfinite(to_logits(certain, "softmax")).all()
    assert np.isfinite(to_logits(certain[:, 1:], "sigmoid")).all()


def test_logits_stay_as_they_are():
    logits = np.array([[1.5, -2.0, 0.0]], dtype=np.float32)
    assert np.array_equal(to_logits(logits, "logits"), logits)
