"""Models of one output a label."""

from __future__ import annotations

import numpy as np
import pytest

from saccade.errors import SettingsError
from saccade.models import build_model
from saccade.models.backend import load_keras
from saccade.models.labels import check_label_outputs
from saccade.models.networks import ENDS_IN_ONE, NETWORKS
from saccade.models.outputs import output_kind

# t1 takes no pictures; t6-xception ends as t6 does, and takes seconds to build.
NAMES = [name for name in NETWORKS if name not in ("t1", "t6-xception", *ENDS_IN_ONE)]


@pytest.mark.parametrize("name", NAMES)
def test_tutorials_networks_end_in_a_logit_a_label(name):
    model = build_model(name, input_shape=(24, 24, 1), num_classes=3, several_labels=True)
    assert output_kind(model) == "logits"
    assert (model.loss.name, model.loss.from_logits) == ("binary_crossentropy", True)
    again = load_keras().models.clone_model(model)  # from its configuration, as a file keeps it
    again.set_weights(model.get_weights())
    pixels = np.random.default_rng(0).integers(0, 256, (2, 24, 24, 1)).astype(np.float32)
    outputs = [np.asarray(one(pixels).detach()) for one in (model, again)]
    np.testing.assert_array_equal(*outputs)
    assert not np.allclose(outputs[0].sum(axis=1), 1)


@pytest.mark.parametrize("name", ENDS_IN_ONE)
def test_networks_for_two_classes_are_refused(name):
    with pytest.raises(SettingsError, match=f"{name} ends in one output"):
        build_model(name, input_shape=(24, 24, 1), num_classes=2, several_labels=True)


def test_one_sigmoid_is_not_two_labels():
    keras = load_keras()
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
    with pytest.raises(SettingsError, match="has 1 output, and the data 2 labels"):
        check_label_outputs(model, "own.keras", num_labels=2)
