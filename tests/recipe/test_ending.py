"""What follows training, rehearsed on a network that is not trained yet."""

from __future__ import annotations

import keras
import pytest

import saccade
from saccade.config import TrainSettings
from saccade.errors import BundleError
from saccade.progress import Silence
from saccade.recipe.clock import Clock
from saccade.recipe.ending import seconds_of_ending
from saccade.recipe.prepare import prepare
from saccade.recipe.request import new_request


def prepared(tmp_path, model="t5"):
    settings = TrainSettings(model=model, budget_s=30.0)
    request = new_request("digits", test=None, settings=settings, name=None, out=tmp_path)
    return prepare(request, clock=Clock(), progress=Silence())


def test_ending_is_foretold(tmp_path):
    """The witness: what a real run spent after its training, and what is left to constants."""
    run = saccade.train("digits", model="t5", epochs=1, out=tmp_path, progress=Silence())
    spent = sum(run.seconds[name] for name in ("bundle", "test", "advice", "report"))
    network = keras.models.load_model(_keras_file(run, tmp_path), compile=False)
    foretold = seconds_of_ending(network, prepared(tmp_path), progress=Silence())
    assert 1.7 < foretold.shipping_s < 3 * spent + 3.0  # 1.7 s are constants; it may be busy
    assert 0 < foretold.asking_s < foretold.shipping_s


def _keras_file(run, folder):
    import zipfile

    with zipfile.ZipFile(run.model) as bundle:
        return bundle.extract("model.keras", folder)


def test_weights_are_left_as_they_are(tmp_path):
    data = prepared(tmp_path)
    network = saccade.models.build_model("t5", input_shape=data.plan.input_shape, num_classes=10)
    before = network.get_weights()
    seconds_of_ending(network, data, progress=Silence())
    assert all((a == b).all() for a, b in zip(before, network.get_weights(), strict=True))


def test_model_that_cannot_be_shipped_is_refused_before_it_is_trained(tmp_path):
    data = prepared(tmp_path)
    stack = [keras.Input(data.plan.input_shape), keras.layers.Flatten(), Odd(10)]
    with pytest.raises(BundleError):
        seconds_of_ending(keras.Sequential(stack), data, progress=Silence())


class Odd(keras.layers.Dense):
    """A layer that Keras cannot save."""

    def get_config(self):
        raise NotImplementedError("not to be saved")
