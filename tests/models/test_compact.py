"""The compact family: shapes, cost counted by an independent walk, and plain Keras layers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from saccade.models.backend import load_keras
from saccade.models.compact import CompactDesign, build_compact, multiply_adds

keras = load_keras()

SMALL = CompactDesign(stem_stride=1, widths=(8, 16), depth=1)
PHOTO = CompactDesign(stem_stride=2, widths=(8, 16, 32), depth=1, dropout=0.2)
SHAPES = [(SMALL, (8, 8, 1)), (SMALL, (28, 28, 1)), (PHOTO, (64, 96, 3)), (SMALL, (1, 5, 3))]


@pytest.mark.parametrize(("design", "shape"), SHAPES)
def test_pixels_to_one_logit_a_class(design, shape):
    model = build_compact(design, input_shape=shape, num_classes=7)
    assert model.input_shape == (None, *shape)
    assert model.predict(np.full((2, *shape), 255.0, np.float32), verbose=0).shape == (2, 7)


@pytest.mark.parametrize(("design", "shape"), SHAPES)
def test_cost_is_that_of_the_built_network(design, shape):
    model = build_compact(design, input_shape=shape, num_classes=7)
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            total += math.prod(layer.output.shape[1:3]) * math.prod(layer.kernel.shape)
    assert multiply_adds(design, shape) == total


@pytest.mark.parametrize(("design", "shape"), SHAPES)
def test_mirrored_network_gives_the_mean_of_both(design, shape):
    plain = build_compact(design, input_shape=shape, num_classes=7)
    twofold = build_compact(design, input_shape=shape, num_classes=7, mirrored=True)
    twofold.set_weights(plain.get_weights())
    pixels = np.random.default_rng(0).uniform(0, 255, (3, *shape)).astype(np.float32)
    mirrored = pixels[:, :, ::-1].copy()
    logits = [plain.predict(x, verbose=0) for x in (pixels, mirrored)]
    assert not np.allclose(*logits, atol=1e-3)
    for x in (pixels, mirrored):
        given = twofold.predict(x, verbose=0)
        np.testing.assert_allclose(given, (logits[0] + logits[1]) / 2, atol=1e-4)


def test_only_keras_layers():
    model = build_compact(PHOTO, input_shape=(64, 64, 3), num_classes=2)
    assert all(type(layer).__module__.startswith("keras.") for layer in model.layers)


def test_saved_and_loaded_predicts_the_same(tmp_path):
    model = build_compact(SMALL, input_shape=(8, 8, 1), num_classes=3)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1)).astype(np.float32)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert np.array_equal(model.predict(pixels, verbose=0), again.predict(pixels, verbose=0))


def test_design_survives_json():
    assert CompactDesign.from_json(PHOTO.to_json()) == PHOTO


def test_design_without_stages():
    with pytest.raises(ValueError, match="a design has stages"):
        CompactDesign(stem_stride=1, widths=(), depth=0)
