from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as kl
from sklearn.covariance import LedoitWolf

import saccade
from saccade.bundle import Manifest, Runtime, read_bundle, write_bundle
from saccade.bundle.graph import to_onnx
from saccade.bundle.unusualness import FEWEST_VALIDATION, Known, whitening
from saccade.models.compact import CompactDesign, View, build_compact

VIEWS = (View(mirrored=True), View(shift_px=1), View(shift_px=-1))

SHAPE = (4, 4, 1)


def model_of(*layers: keras.layers.Layer) -> keras.Model:
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input(SHAPE), kl.Rescaling(1 / 255, offset=-0.5), *layers])


def random_pictures(number: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (number, *SHAPE), dtype=np.uint8)


def scored(model: keras.Model, known: Known, pixels: np.ndarray) -> np.ndarray | None:
    content, has = to_onnx(model, input_shape=SHAPE, num_classes=3, temperature=2.0, known=known)
    runtime = Runtime(content, input_shape=SHAPE, num_classes=3, has_unusualness=has)
    return runtime.run(pixels).unusualness


def with_features(model: keras.Model, *outputs: Any) -> Any:
    """Return what gives the features (n, D) of pictures, in NumPy and double precision."""
    bodies = [keras.Model(model.inputs[0], output) for output in outputs]

    def features(pixels: np.ndarray) -> np.ndarray:
        rows = pixels.astype(np.float32)
        given = [keras.ops.convert_to_numpy(body(rows)) for body in bodies]
        means = [each.mean(axis=(1, 2)) if each.ndim == 4 else each for each in given]
        whole = np.concatenate(means, axis=1).astype(np.float64)
        return whole / np.linalg.norm(whole, axis=1, keepdims=True)

    return features


def expected(features: Any, train: Any, validation: Any, pixels: np.ndarray) -> np.ndarray:
    """Return the scores by scikit-learn's Mahalanobis distance."""
    gaussian = LedoitWolf().fit(features(train))
    known = np.sort(np.sqrt(gaussian.mahalanobis(features(validation))))
    limit = known[-1 - int(0.05 * (len(known) + 1)) + 1]
    return np.sqrt(gaussian.mahalanobis(features(pixels))) / limit


@pytest.mark.parametrize(
    "ending",
    [
        [kl.Dense(3)],
        [kl.Dense(3, activation="softmax", use_bias=False)],
        [kl.Dropout(0.5), kl.Dense(3), kl.Activation("softmax")],
        [kl.Dense(3), kl.Softmax()],
        [kl.Dense(3, activation="sigmoid")],
    ],
    ids=["logits", "softmax", "activation", "softmax layer", "sigmoid"],
)
def test_dense_network_against_scikit_learn(ending: list[keras.layers.Layer]) -> None:
    model = model_of(kl.Flatten(), *ending)
    features = with_features(model, model.layers[1].output)
    train, validation, pixels = (random_pictures(n, seed) for seed, n in enumerate((50, 39, 20)))
    given = scored(model, Known(train=[train[:4], train[4:]], validation=[validation]), pixels)
    np.testing.assert_allclose(given, expected(features, train, validation, pixels), rtol=1e-3)


def test_last_pooling_and_last_maps_against_scikit_learn() -> None:
    layers = [kl.Conv2D(5, 3, padding="same"), kl.MaxPooling2D(2), kl.BatchNormalization()]
    model = model_of(*layers, kl.ReLU(), kl.Flatten(), kl.Dense(7), kl.Dense(3))
    tapped = [layer.output for layer in model.layers if layer.name.startswith(("max", "re_lu"))]
    features = with_features(model, *tapped)
    train, validation, pixels = (random_pictures(n, seed) for seed, n in enumerate((50, 39, 20)))
    given = scored(model, Known(train=[train], validation=[validation]), pixels)
    assert len(tapped) == 2
    np.testing.assert_allclose(given, expected(features, train, validation, pixels), rtol=1e-3)


def test_network_of_several_views_is_scored_by_picture() -> None:
    design = CompactDesign(stem_stride=1, widths=(4,), depth=0)
    views = (View(), View(mirrored=True))  # so the same of a picture and of its mirror image
    model = build_compact(design, input_shape=SHAPE, num_classes=3, views=views)
    train, validation, pixels = (random_pictures(n, seed) for seed, n in enumerate((50, 39, 20)))
    known = Known(train=[train], validation=[validation])
    given = scored(model, known, pixels)
    assert given is not None
    assert given.shape == (20,)
    np.testing.assert_allclose(scored(model, known, pixels[:, :, ::-1]), given, rtol=1e-3)
    np.testing.assert_allclose(scored(model, known, pixels[7:8]), given[7:8], rtol=1e-3)
    threefold = build_compact(
        design,
        input_shape=SHAPE,
        num_classes=3,
        views=VIEWS,
    )
    given = scored(threefold, known, pixels)
    assert given is not None
    np.testing.assert_allclose(scored(threefold, known, pixels[7:8]), given[7:8], rtol=1e-3)


def test_worked_out_by_hand() -> None:
    # Two features of length 1, (1, 0) or (0, 1) half of the time: the deviation along (1, -1) is
    # known, so whatever points the other way is as far again as a known one from the mean.
    matrix, offset = whitening(np.array([[1.0, 0.0], [0.0, 1.0]] * 500))
    distance = [
        np.linalg.norm(np.array(f) @ matrix - offset) for f in ([1, 0], [0, 1], [-0.5, 1.5])
    ]
    np.testing.assert_allclose(distance, [1, 1, 2], rtol=0.01)  # the covariance is shrunk a little


def test_wide_features_are_measured_along_some_directions() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(3000, 300)) * np.linspace(0.1, 1, 300)
    matrix, offset = whitening(rows)
    assert matrix.shape == (300, 128)
    known, far = (
        np.linalg.norm(x @ matrix - offset, axis=1)
        for x in (rows, random.normal(size=(50, 300)) * 2)
    )
    assert far.min() > known.max()
    # Of a Gaussian in 128 directions the squared distance is 128 on average.
    assert np.mean(known**2) == pytest.approx(128, rel=0.1)


def test_false_alarms_stay_below_the_share() -> None:
    model = model_of(kl.Flatten(), kl.Dense(3))
    rates = []
    for seed in range(15):
        pictures = random_pictures(50 + 39 + 100, seed)
        known = Known(train=[pictures[:50]], validation=[pictures[50:89]])
        given = scored(model, known, pictures[89:])
        assert given is not None
        rates.append((given > 1).mean())
    # 2 places of 40 lie beyond the limit; the mean of 15 draws has a standard error of 0.01.
    assert abs(np.mean(rates) - 0.05) < 0.03


def test_pictures_all_alike_leave_the_score_finite() -> None:
    grey = np.full((30, *SHAPE), 90, np.uint8)
    model = model_of(kl.Flatten(), kl.Dense(3))
    given = scored(model, Known(train=[grey], validation=[grey]), random_pictures(5, 1))
    assert given is not None
    assert np.isfinite(given).all()
    assert (given > 1).all()


@pytest.mark.parametrize(
    "ending",
    [
        [kl.GlobalAveragePooling2D(keepdims=True), kl.Conv2D(3, 1), kl.Flatten()],
        [kl.Flatten(), kl.Dense(3), kl.ReLU()],
    ],
    ids=["convolution", "activation of another kind"],
)
def test_network_without_features(ending: list[keras.layers.Layer]) -> None:
    known = Known(train=[random_pictures(9, 1)], validation=[random_pictures(30, 2)])
    assert scored(model_of(*ending), known, random_pictures(5, 3)) is None


def test_too_few_validation_pictures_are_refused() -> None:
    known = Known(
        train=[random_pictures(9, 1)], validation=[random_pictures(FEWEST_VALIDATION - 1, 2)]
    )
    with pytest.raises(ValueError, match="19 validation pictures, got 9 and 18"):
        scored(model_of(kl.Flatten(), kl.Dense(3)), known, random_pictures(1, 3))


@pytest.fixture(scope="module")
def scored_path(
    tmp_path_factory: pytest.TempPathFactory,
    brightness: Any,
    pictures: np.ndarray,
    logits: np.ndarray,
    manifest: Manifest,
) -> Path:
    """Return a bundle with a score, whose features are three brightnesses."""
    path = tmp_path_factory.mktemp("scored") / "model.saccade"
    # Grey pictures only: whatever is coloured points elsewhere.
    grey = np.repeat(pictures[..., :1], 3, axis=-1)
    write_bundle(
        path,
        manifest,
        model=brightness,
        seen=np.array([1], np.uint64),
        parity_pixels=[pictures],
        parity_logits=logits,
        known=Known(train=[grey], validation=[grey]),
    )
    return path


def test_colour_is_unknown_to_a_model_of_grey(scored_path: Path, pictures: np.ndarray) -> None:
    classifier = saccade.load(scored_path)
    assert classifier.manifest.unknown_rate == 0.05
    assert classifier.manifest.format_version == 3
    red = np.zeros((6, 5, 3), np.uint8)
    red[..., 0] = 255
    answer = classifier.predict(red)
    assert answer.unknown
    assert answer.unusualness is not None
    assert answer.unusualness > 1
    assert answer.to_json()["unknown"] is True
    grey = classifier.predict(np.full((6, 5, 3), 90, np.uint8))
    assert grey.unusualness is not None
    assert (grey.unknown, grey.unusualness <= 1) == (False, True)
    outputs = classifier.run_batch(pictures)
    np.testing.assert_array_equal(outputs.probabilities, classifier.predict_batch(pictures))


def test_bundle_without_unusualness_opens_and_predicts(bundle_path: Path) -> None:
    answer = saccade.load(bundle_path).predict(np.full((6, 5, 3), 250, np.uint8))
    assert (answer.label, answer.unusualness, answer.unknown) == ("light", None, False)


@pytest.mark.parametrize("has", [True, False])
def test_document_is_what_the_manifest_says(
    scored_path: Path, bundle_path: Path, has: bool
) -> None:
    document = read_bundle(bundle_path if has else scored_path).onnx
    with pytest.raises(saccade.errors.BundleError, match="the manifest says .*probabilities"):
        Runtime(document, input_shape=(6, 5, 3), num_classes=2, has_unusualness=has)
