"""An epoch's figures, against sums written out."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from saccade.evaluation import apply_temperature, fit_temperature
from saccade.training.result import KEYS, Pictures, epoch_figures

LABELS = np.random.default_rng(0).integers(0, 3, 300)


def pictures():
    return Pictures(np.zeros((300, 1, 1, 1), np.uint8), np.arange(300), LABELS)


def outputs(sharpness):
    """Logits that tell the class, with noise, and are `sharpness` times too sure."""
    noise = np.random.default_rng(1).normal(size=(300, 3))
    return (sharpness * (2 * np.eye(3)[LABELS] + noise)).astype(np.float32)


def figures(logits, kind="logits"):
    return epoch_figures(lambda _: logits, kind, pictures(), pictures())[0]


def test_figures_are_the_sums_written_out():
    logits = outputs(3.0).astype(np.float64)
    found = figures(outputs(3.0))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert found["loss"] == found["val_loss"]
    assert found["val_loss"] == pytest.approx(-np.log(shares[np.arange(300), LABELS]).mean())
    assert found["accuracy"] == found["val_accuracy"] == (logits.argmax(axis=1) == LABELS).mean()
    shipped = apply_temperature(logits, fit_temperature(logits, LABELS))
    expected = -np.log(shipped[np.arange(300), LABELS]).mean()
    assert found["val_calibrated_loss"] == pytest.approx(expected)
    _, losses = epoch_figures(lambda _: outputs(3.0), "logits", pictures(), pictures())
    np.testing.assert_allclose(losses, -np.log(shipped[np.arange(300), LABELS]), rtol=1e-4)


def test_calibrated_loss_forgives_sureness():
    """Logits three or nine times too sure answer alike, and are shipped alike."""
    less, more = figures(outputs(3.0)), figures(outputs(9.0))
    assert more["val_loss"] > 2 * less["val_loss"]
    assert more["val_calibrated_loss"] == pytest.approx(less["val_calibrated_loss"], rel=1e-5)


def test_one_sigmoid_has_two_classes():
    labels = (LABELS > 0).astype(int)
    some = Pictures(np.zeros((300, 1, 1, 1), np.uint8), np.arange(300), labels)
    column = np.where(labels, 0.8, 0.2).astype(np.float32)[:, None]
    found, losses = epoch_figures(lambda _: column, "sigmoid", some, some)
    np.testing.assert_allclose(losses, -np.log(0.8), rtol=1e-5)
    assert found["val_loss"] == pytest.approx(-np.log(0.8), rel=1e-5)
    assert found["val_calibrated_loss"] == found["val_loss"]  # never wrong, but not sharpened


def test_figures_of_no_numbers():
    assert np.isnan([figures(np.full((300, 3), np.nan, np.float32))[key] for key in KEYS]).all()


@pytest.mark.parametrize(("side", "at_once"), [(28, 256), (150, 124), (384, 18), (3000, 1)])
def test_large_pictures_are_scored_fewer_at_once(side, at_once):
    """256 pictures of 384 px are 450 MB as numbers, and each layer's maps as much again."""
    pixels = np.broadcast_to(
        np.arange(43, dtype=np.uint8)[:, None, None, None], (43, side, side, 3)
    )
    some = Pictures(pixels, np.arange(43)[::-1], np.zeros(43, int))
    found = [(len(batch), batch[:, 0, 0, 0].tolist()) for batch in some.batches()]
    assert max(size for size, _ in found) == min(at_once, 43)
    assert [row for _, rows in found for row in rows] == list(range(42, -1, -1))


def test_figures_of_labels_are_scikit_learns():
    random = np.random.default_rng(2)
    targets = random.random((300, 4)) < 0.3
    logits = random.normal(np.where(targets, 3.0, -3.0), 4.0).astype(np.float32)
    some = Pictures(np.zeros((300, 1, 1, 1), np.uint8), np.arange(300), targets)
    found, losses = epoch_figures(lambda _: logits, "logits", some, some)
    assert losses.shape == (300,)
    assert losses.mean() == found["val_calibrated_loss"]
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    each = [metrics.log_loss(targets[:, label], p[:, label]) for label in range(4)]
    assert found["val_loss"] == pytest.approx(np.mean(each))
    assert found["val_accuracy"] == pytest.approx(metrics.accuracy_score(targets, logits > 0))
    assert found["val_calibrated_loss"] < found["val_loss"]


def test_pictures_with_the_same_labels_are_of_one_kind():
    targets = np.array([[1, 0], [0, 0], [1, 0], [1, 1]], bool)
    some = Pictures(np.zeros((4, 1, 1, 1), np.uint8), np.arange(4), targets)
    kinds = some.kinds
    assert kinds[0] == kinds[2]
    assert len(set(kinds.tolist())) == 3
