"""Folds, against scikit-learn and by planting; the network and the regression at a small size."""

from __future__ import annotations

import numpy as np
import pytest

from saccade.check import folds
from saccade.check.folds import LabelSettings, deal, guess
from saccade.check.labels import suspicion
from saccade.check.thumbnails import look
from saccade.data import build_index, open_source
from saccade.errors import DataError, SettingsError
from saccade.progress import Silence

QUICK = LabelSettings(epochs=1)


def guesses_of(data, settings, *, test=None):
    source = open_source(data, test=test, progress=Silence())
    index = build_index(source, progress=Silence())
    looks = look(source, index, progress=Silence())
    return index, guess(source, index, looks, settings, progress=Silence())


def test_folds_hold_each_class_alike_and_copies_together():
    random = np.random.default_rng(0)
    label = np.sort(random.integers(0, 3, 400))
    digest = np.arange(400).astype(str)
    digest[50:60] = digest[50]
    fold = deal(label, digest)
    assert len(set(fold[50:60])) == 1
    shares = np.stack([np.bincount(label[fold == f], minlength=3) for f in range(4)])
    assert np.ptp(shares, axis=0).max() <= 11  # the ten copies move as one
    assert np.array_equal(fold, deal(label, digest))


def stripes(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy pictures striped across or down: (number, 16, 16) and labels that say which."""
    random = np.random.default_rng(seed)
    down = random.random(number) < 0.5
    waves = 60 * np.sin(np.arange(16) * 1.5 + random.uniform(0, 6, (number, 1)))
    x = np.where(down[:, None, None], waves[:, :, None], waves[:, None, :]) + 128
    x = np.clip(x + random.normal(0, 25, x.shape), 0, 255).astype(np.uint8)
    return x, np.where(down, "down", "across")


def test_network_is_asked_of_all_but_the_test_part():
    """One epoch: that all hangs together. How much it finds is for `benchmarks check` to say."""
    index, guesses = guesses_of(stripes(80, seed=0), QUICK, test=stripes(40, seed=1))
    assert len(guesses.rows) == 80
    assert not any(index.path[row].startswith("test:") for row in guesses.rows)
    assert guesses.classes == ("across", "down")
    assert guesses.probabilities.sum(axis=1) == pytest.approx(1, abs=1e-4)


def test_too_few_pictures_are_one_sentence():
    x, y = stripes(30, seed=0)
    with pytest.raises(DataError, match="two classes have 20 usable"):
        guesses_of((x, y), QUICK)


def test_small_class_is_left_out():
    x, y = stripes(60, seed=0)
    source = open_source((x, np.append(y[:-3], ["rare"] * 3)), progress=Silence())
    index = build_index(source, progress=Silence())
    looks = look(source, index, progress=Silence())
    rows, codes = folds._asked(index, looks, "x")
    assert [index.classes[code] for code in codes] == ["across", "down"]
    assert len(rows) == 57


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("mobilenet_2_5_224_tf_no_top.h5", ("MobileNet-0.25", 224)),
        ("mobilenet_1_0_128_tf_no_top.h5", ("MobileNet-1", 128)),
    ],
)
def test_weights_say_their_network(tmp_path, name, wanted):
    assert folds._named(tmp_path / name) == wanted


def test_unknown_weights_are_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"mobilenet_2_5_224_tf_no_top.h5, got other.h5"):
        folds._named(tmp_path / "other.h5")


def test_regression_on_features_suspects_the_flipped(datasets):
    x, y = stripes(120, seed=2)
    flipped = np.arange(0, 120, 20)
    y[flipped] = np.where(y[flipped] == "down", "across", "down")
    weights = datasets / "weights" / "mobilenet_2_5_224_tf_no_top.h5"
    _, guesses = guesses_of((x, y), LabelSettings(weights=weights))
    worst = np.argsort(-suspicion(guesses), kind="stable")[:6]
    assert np.isin(guesses.rows[worst], flipped).mean() >= 0.8
