"""`train --model` tells of a user's network what `saccade.fit` tells, and refuses the hopeless."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import saccade
from saccade.errors import SettingsError
from saccade.models import build_model
from saccade.models.backend import load_keras

keras = load_keras()
L = keras.layers
SHAPE = (8, 8, 3)
SPARSE = keras.losses.SparseCategoricalCrossentropy


def saved(folder: Any, *layers: Any, loss: Any) -> str:
    model = keras.Sequential([keras.Input(SHAPE), *layers])
    model.compile("adam", loss)
    model.save(folder / "own.keras")
    return str(folder / "own.keras")


@pytest.mark.parametrize(
    ("last", "loss", "message"),
    [
        (("softmax", 1), "binary_crossentropy", r"is 1 for every picture; end in Dense\(1"),
        (("softmax", 2), "binary_crossentropy", "binary_crossentropy over 2 outputs.*use sparse"),
        (("sigmoid", 2), keras.losses.BinaryCrossentropy(), "over 2 outputs, which asks yes or no"),
    ],
)
def test_network_that_cannot_be_trained_is_refused(tmp_path, last, loss, message):
    activation, outputs = last
    layers = [L.Rescaling(1 / 255), L.Flatten(), L.Dense(outputs, activation=activation)]
    name = saved(tmp_path, *layers, loss=loss)
    with pytest.raises(SettingsError, match=message) as refused:
        build_model(name, input_shape=SHAPE, num_classes=2)
    assert "\n" not in str(refused.value)


def told(folder: Any, capsys: Any, *layers: Any, loss: Any) -> str:
    """Train on two shades; return what was shown."""
    x = np.repeat(np.uint8([40, 200] * 20), 192).reshape(40, *SHAPE)
    x += np.random.default_rng(1).integers(0, 40, x.shape, dtype="uint8")
    name = saved(folder, *layers, loss=loss)
    saccade.train((x, np.tile([0, 1], 20)), model=name, epochs=1, out=folder)
    shown: str = capsys.readouterr().err
    return shown


def test_mistakes_are_told_before_training(tmp_path, capsys):
    layers = [L.Rescaling(1 / 255), L.Rescaling(1 / 255), L.Flatten(), L.Dense(2, "softmax")]
    shown = told(tmp_path, capsys, *layers, loss=SPARSE(from_logits=True))
    for name in ("softmax-taken-as-logits", "pixels-divided-twice"):
        assert shown.index(f"{name}: ") < shown.index("plan: ")
    assert shown.count("Cure: ") == 2


def test_nothing_is_told_of_a_network_that_is_right(tmp_path, capsys):
    layers = [L.Rescaling(1 / 255), L.Flatten(), L.Dense(2)]
    assert "Cure" not in told(tmp_path, capsys, *layers, loss=SPARSE(from_logits=True))
