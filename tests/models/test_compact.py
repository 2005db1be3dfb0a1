"""The compact family: shapes, cost counted by an independent walk, and plain Keras layers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from saccade.models.backend import load_keras
from saccade.models.compact import CompactDesign, View, build_compact, multiply_adds

keras = load_keras()

SMALL = CompactDesign(stem_stride=1, widths=(8, 16), depth=1)
PHOTO = CompactDesign(stem_stride=2, widths=(8, 16, 32), depth=1)
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


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(("design", "shape"), SHAPES)
def test_network_of_several_views_gives_their_mean(design, shape, mirrored):
    plain = build_compact(design, input_shape=shape, num_classes=7)
    views = View(mirrored=mirrored), View(shift_px=1), View(shift_px=-1)
    manifold = build_compact(design, input_shape=shape, num_classes=7, views=views)
    manifold.set_weights(plain.get_weights())
    pixels = np.random.default_rng(0).integers(0, 256, (3, *shape)).astype(np.uint8)
    seen = [pixels[:, :, ::-1] if mirrored else pixels, moved(pixels, 1), moved(pixels, -1)]
    logits = [plain.predict(each.astype(np.float32), verbose=0) for each in seen]
    assert not np.allclose(logits[0], logits[1], atol=1e-3)
    given = manifold.predict(pixels.astype(np.float32), verbose=0)
    np.testing.assert_allclose(given, np.mean(logits, axis=0), atol=1e-4)
    assert all(
        np.array_equal(view.of(pixels), each) for view, each in zip(views, seen, strict=True)
    )


def moved(pixels, step):
    """Move pictures down and to the right, repeating the edge, by padding and cropping."""
    wide = np.pad(pixels, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    return wide[:, 1 - step :, 1 - step :][:, : pixels.shape[1], : pixels.shape[2]]


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
