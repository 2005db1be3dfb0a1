"""The head on frozen features: solved, folded into one layer, chosen by validation alone."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from saccade.data.cache import Cache
from saccade.models import BackboneDesign
from saccade.progress import Silence
from saccade.training import Facts, Pictures, TrainPlan, derive_plan
from saccade.training.learner import Learner
from saccade.training.result import DECIDING
from saccade.transfer import Backbone, backbone, fine_tune, kept_features, train_head, with_head
from saccade.transfer.head import _LabelPath, _Path, _unfreeze

SIDE = 33
CUT = "conv_pw_3_relu"


def new_body() -> Backbone:
    keras.utils.set_random_seed(0)
    return backbone("MobileNet-0.25", SIDE, weights=None, cut=CUT)


@pytest.fixture(scope="module")
def body() -> Backbone:
    return new_body()


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """Thirty pictures of each of three colours, as a cache holds them."""
    random = np.random.default_rng(0)
    colours = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200]])[np.arange(90) % 3]
    noise = random.normal(0, 40, (90, SIDE, SIDE, 3))
    pixels = np.clip(colours[:, None, None, :] + noise, 0, 255).astype(np.uint8)
    digests = np.arange(1, 91, dtype=np.uint64)
    return Cache(pixels=pixels, pixel_digest=digests, key="", folder=tmp_path, reused=False)


def parts(cache: Cache) -> dict[str, Pictures]:
    """Rows 0 to 44 to train, 45 to 74 to validate, in no order; the rest is sealed."""
    rows = np.random.default_rng(1).permutation(75)
    return {
        "train": Pictures(cache.pixels, rows[:45], rows[:45] % 3),
        "validation": Pictures(cache.pixels, rows[45:], rows[45:] % 3),
    }


def outputs(network: keras.Model, pixels: np.ndarray) -> np.ndarray:
    values = network(pixels.astype(np.float32), training=False)
    return keras.ops.convert_to_numpy(values)


def test_whole_network_says_what_the_head_was_solved_for(body: Backbone, cache: Cache) -> None:
    before = [np.array(values) for values in body.model.get_weights()]
    network = with_head(body, 3)
    fit = train_head(network, body, cache, **parts(cache), seed=0, progress=Silence())
    answers = outputs(network, cache.pixels)
    assert (answers[75:].argmax(axis=1) == np.arange(75, 90) % 3).mean() == 1.0
    # The recorded loss is that of the network itself, within what bf16 features differ by.
    _, validation = parts(cache).values()
    z = answers[validation.rows].astype(np.float64)
    loss = np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), validation.labels]
    assert fit.history["val_loss"][fit.best_epoch - 1] == pytest.approx(loss.mean(), abs=0.05)
    for values, first in zip(body.model.get_weights(), before, strict=True):
        assert values.tobytes() == first.tobytes()


def test_sealed_pictures_are_not_even_looked_at(body: Backbone, cache: Cache) -> None:
    network = with_head(body, 3)
    train_head(network, body, cache, **parts(cache), seed=0, progress=Silence())
    (path,) = cache.folder.glob("features-*.npy")
    assert len(np.load(path)) == 75


def test_features_of_some_rows_are_theirs(body: Backbone, cache: Cache) -> None:
    rows = np.array([3, 8, 60])
    some = np.array(kept_features(body, cache, rows, progress=Silence()))
    whole = kept_features(body, cache, progress=Silence())
    # Beside other pictures in its batch, a runtime may sum in another order.
    np.testing.assert_allclose(some, whole[rows], rtol=1e-3, atol=1e-3)


def test_validation_chooses_the_penalty(body: Backbone, cache: Cache) -> None:
    """With labels that mean nothing, the strongest penalty is the least wrong."""
    shuffled = with_labels(cache, np.random.default_rng(2).integers(0, 3, 75))
    fit = train_head(with_head(body, 3), body, cache, **shuffled, seed=0, progress=Silence())
    right = train_head(with_head(body, 3), body, cache, **parts(cache), seed=0, progress=Silence())
    assert fit.best_epoch < right.best_epoch
    assert fit.history[DECIDING][fit.best_epoch - 1] == min(fit.history[DECIDING])


def with_labels(cache: Cache, labels: np.ndarray) -> dict[str, Pictures]:
    return {
        name: Pictures(part.pixels, part.rows, labels[part.rows])
        for name, part in parts(cache).items()
    }


def fine_tuning_plan(**changes: float) -> TrainPlan:
    design = BackboneDesign(name="MobileNet-0.25", weights="", cut=CUT, fine_tune=True)
    sizes = {"width_px": SIDE, "height_px": SIDE, "same_size": True, "channels": 3}
    facts = Facts(**sizes, num_classes=3, num_train=45, budget_s=None, epochs=4)
    return replace(derive_plan(facts, backbone=design), **changes)


def fine_tuned(cache: Cache, head_of: np.ndarray, body_of: np.ndarray) -> tuple[dict, str]:
    """Solve a head for the labels `head_of`, then train all layers for `body_of`.

    Return for each weight whether that changed it from what the head left, and the verdict.
    """
    body = new_body()
    plan = fine_tuning_plan(learning_rate=3e-3)
    network = with_head(body, 3)
    head = train_head(
        network, body, cache, **with_labels(cache, head_of), seed=0, progress=Silence()
    )
    before = {variable.path: np.array(variable) for variable in network.variables}
    fit = fine_tune(
        network,
        head,
        plan,
        **with_labels(cache, body_of),
        checkpoint_dir=None,
        progress=Silence(),
    )
    changed = {
        variable.path: not np.array_equal(np.array(variable), before[variable.path])
        for variable in network.variables
    }
    return changed, fit.notes[-1]


def test_fine_tuning_moves_the_lowest_kernel_and_no_statistics(cache: Cache) -> None:
    """A head solved for labels that mean nothing is bettered by any training on the right ones."""
    chance = np.random.default_rng(2).integers(0, 3, 90)
    changed, verdict = fine_tuned(cache, head_of=chance, body_of=np.arange(90) % 3)
    assert "is kept" in verdict
    kernels = {path: moved for path, moved in changed.items() if path.endswith("kernel")}
    assert len(kernels) == 8  # seven convolutions and the head
    assert kernels["conv1/kernel"]
    assert all(kernels.values())
    normalised = [moved for path, moved in changed.items() if "_bn/" in path]
    assert len(normalised) == 7 * 4
    assert not any(normalised)


def test_steps_of_fine_tuning_are_smaller_the_lower_a_layer_lies(cache: Cache) -> None:
    """Adam's first step is the rate itself, for a weight that the loss depends on at all."""
    plan = fine_tuning_plan(weight_decay=0.0, lowest_share=0.25)
    network = with_head(new_body(), 3)
    head = np.random.default_rng(3).normal(size=network.get_layer("logits").kernel.shape)
    network.get_layer("logits").set_weights([head, np.zeros(3)])
    _unfreeze(network)
    before = {v.path: np.array(v) for v in network.trainable_variables}
    Learner(network, plan).train(cache.pixels[:32], np.arange(32) % 3, 1e-3)
    moved = {
        v.path: np.abs(np.array(v) - before[v.path]).max() for v in network.trainable_variables
    }
    pairs = [f"conv_{kind}_{n}" for n in (1, 2, 3) for kind in ("dw", "pw")]
    layers = ["conv1", *pairs, "logits"]
    assert list(dict.fromkeys(path.split("/")[0] for path in moved)) == layers
    for path, step in moved.items():
        depth = 7 - layers.index(path.split("/")[0])
        assert step == pytest.approx(1e-3 * 0.25 ** (depth / 7), rel=0.02), path


def test_fine_tuning_that_makes_it_worse_is_undone_bit_for_bit(cache: Cache) -> None:
    chance = np.random.default_rng(2).integers(0, 3, 90)
    changed, verdict = fine_tuned(cache, head_of=np.arange(90) % 3, body_of=chance)
    assert "is undone" in verdict
    assert not any(changed.values())


def test_two_classes_agree_with_the_gradient() -> None:
    """At a solution the loss's slope is the penalty's, worked out here by hand."""
    random = np.random.default_rng(0)
    values = random.normal(3, 2, (60, 4)).astype(np.float32)
    labels = (values[:, 0] + random.normal(0, 2, 60) > 3).astype(np.intp)
    strength = 0.1
    path = _Path(Pictures(values, np.arange(60), labels), num_classes=2)  # type: ignore[arg-type]
    kernel, bias = path.solve(strength)
    z = values @ kernel + bias
    wrong = 1 / (1 + np.exp(z[:, 0] - z[:, 1])) - labels
    deviation = values.std(axis=0)
    standard = (values - values.mean(axis=0)) / deviation
    slope = standard.T @ wrong / 60 + strength * (kernel[:, 1] - kernel[:, 0]) * deviation
    np.testing.assert_allclose(slope, 0, atol=2e-3)


def test_class_without_training_pictures_is_never_the_answer() -> None:
    values = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    for labels in (np.arange(40) % 2 * 2, np.full(40, 2)):
        path = _Path(Pictures(values, np.arange(40), labels), num_classes=4)  # type: ignore[arg-type]
        kernel, bias = path.solve(0.1)
        assert np.isfinite(kernel).all()
        answers = (values @ kernel + bias).argmax(axis=1)
        assert set(answers) <= set(labels)


def test_feature_that_no_training_picture_has_says_nothing() -> None:
    values = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    values[:, 3] = 0.7
    labels = (values[:, 0] > 0).astype(np.intp)
    path = _Path(Pictures(values, np.arange(40), labels), num_classes=2)  # type: ignore[arg-type]
    kernel, _ = path.solve(0.1)
    assert not kernel[3].any()


def test_labels_have_a_head_too(body: Backbone, cache: Cache) -> None:
    """Each colour is told by itself; a label that every training picture has is always said."""
    targets = np.concatenate([np.eye(3, dtype=bool)[np.arange(90) % 3], np.ones((90, 1), bool)], 1)
    labelled = {
        name: Pictures(part.pixels, part.rows, targets[part.rows])
        for name, part in parts(cache).items()
    }
    network = with_head(body, 4)
    train_head(network, body, cache, **labelled, seed=0, progress=Silence())
    np.testing.assert_array_equal(outputs(network, cache.pixels)[75:] > 0, targets[75:])


def test_each_label_has_the_regression_that_it_would_have_alone() -> None:
    random = np.random.default_rng(3)
    targets = random.random((80, 3)) < 0.4
    features = (targets @ random.normal(size=(3, 6)) + random.normal(size=(80, 6))) * 7 + 3
    seen = Pictures(features.astype(np.float32), np.arange(80), targets)
    kernel, bias = _LabelPath(seen).solve(0.1)
    alone = make_pipeline(StandardScaler(), LogisticRegression(C=1 / (0.1 * 80), tol=1e-8))
    for label in range(3):
        wanted = alone.fit(features, targets[:, label]).decision_function(features)
        # L-BFGS ends where the slope is 1e-4, some 1e-3 of a logit from the very bottom.
        np.testing.assert_allclose(features @ kernel[:, label] + bias[label], wanted, atol=5e-3)
