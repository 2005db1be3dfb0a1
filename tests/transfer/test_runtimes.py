"""The runtimes: one order of pictures, and Keras where nothing else knows a layer."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

from dataclasses import replace

import keras
import numpy as np
import pytest

from saccade.transfer import Backbone, backbone, features
from saccade.transfer.runtimes import BATCH, fastest, runtimes

SIZE = 33
NUM_PICTURES = 3 * BATCH + 5  # more than two streams hold, and a rest


@pytest.fixture(scope="module")
def body() -> Backbone:
    keras.utils.set_random_seed(0)
    return backbone("MobileNet-0.25", SIZE, weights=None)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """Pictures of colours that differ, so that a row out of its place shows."""
    random = np.random.default_rng(0)
    colours = random.integers(0, 200, (NUM_PICTURES, 1, 1, 3))
    return (colours + random.integers(0, 56, (NUM_PICTURES, SIZE, SIZE, 3))).astype(np.uint8)


def wanted_of(body: Backbone, pixels: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(body.model(pixels.astype(np.float32), training=False))


def test_every_runtime_equals_keras(
    body: Backbone, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SACCADE_PRECISION", "float32")
    wanted = wanted_of(body, pixels)
    assert np.ptp(wanted, axis=0).max() > 0.01 * np.abs(wanted).max()
    for runtime in runtimes(body):
        assert runtime.format == "float32"
        given = np.concatenate(list(runtime.run(pixels)))
        np.testing.assert_allclose(given, wanted, atol=1e-5 * np.abs(wanted).max())


def test_openvino_in_bf16_is_near(
    body: Backbone, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setenv("SACCADE_PRECISION", "bf16")
    found = runtimes(body)
    assert (found[0].name, found[0].format) == ("OpenVINO", "bf16")
    given, wanted = np.concatenate(list(found[0].run(pixels))), wanted_of(body, pixels)
    # 8 significant bits a product, some thirty layers: parts in a hundred, not in a million.
    assert np.abs(given - wanted).max() < 0.05 * np.abs(wanted).max()


def test_unknown_layer_is_run_by_keras(body: Backbone, pixels: np.ndarray) -> None:
    source = keras.Input((SIZE, SIZE, 3))
    maps = keras.layers.Conv2DTranspose(2, 3)(keras.layers.Rescaling(1 / 255)(source))
    own = replace(body, model=keras.Model(source, keras.layers.GlobalMaxPooling2D()(maps)))
    assert [runtime.name for runtime in runtimes(own)] == ["Keras"]
    np.testing.assert_allclose(features(own, pixels), wanted_of(own, pixels), atol=1e-6)


def test_race_is_won_by_one_that_is_there(body: Backbone) -> None:
    pixels = np.zeros((16 * BATCH, SIZE, SIZE, 3), dtype=np.uint8)
    assert fastest(body, pixels).name in [runtime.name for runtime in runtimes(body)]
