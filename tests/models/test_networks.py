"""The tutorials' networks, witnessed by their published counts and by counting by hand."""

from __future__ import annotations

import numpy as np
import pytest

from saccade.errors import SettingsError
from saccade.models.backend import load_keras
from saccade.models.networks import NETWORKS, build_network

keras = load_keras()

CLOTHES, COLOUR, PHOTO = (28, 28, 1), (32, 32, 3), (64, 64, 3)
LIGHT = [name for name in NETWORKS if name not in ("t1", "t6-xception")]


def classes_of(name):
    return 2 if name in ("t7", "t8") else 3


@pytest.mark.parametrize(
    ("name", "input_shape", "count"),
    [
        ("t1", (1,), 2),  # one weight, one bias
        ("t3", CLOTHES, 784 * 128 + 128 + 128 * 10 + 10),
        ("t4", CLOTHES, 243_786),  # as the tutorial's summary table says
        ("t5", CLOTHES, 320 + 18_496 + 3_136 * 128 + 128 + 1_290),
        ("t6", COLOUR, 881_002),  # as the tutorial's summary table says
        ("t6-dropout", COLOUR, 881_002),
        ("t6-batchnorm", COLOUR, 881_002 + 4 * 200),
    ],
)
def test_number_of_parameters(name, input_shape, count):
    model = build_network(name, input_shape=input_shape, num_classes=10)
    assert model.count_params() == count


def test_t4_has_1600_inputs_to_its_dense_part():
    model = build_network("t4", input_shape=CLOTHES, num_classes=10)
    shapes = [layer.output.shape[1:] for layer in model.layers]
    assert [shape[0] for shape in shapes[1:5]] == [26, 13, 11, 5]
    assert shapes[5] == (1600,)


@pytest.mark.parametrize("name", LIGHT)
def test_network_divides_by_255_once(name):
    """M1: divided twice, the network would see values up to 0.004."""
    model = build_network(name, input_shape=PHOTO, num_classes=classes_of(name))
    rescaling = [layer for layer in model.layers if isinstance(layer, keras.layers.Rescaling)]
    assert [layer.scale for layer in rescaling] == [pytest.approx(1 / 255)]


@pytest.mark.parametrize("name", LIGHT)
def test_loss_agrees_with_output(name):
    """M2 and M4: the untrained loss is that of guessing, ln C, only where both speak alike."""
    num_classes = classes_of(name)
    model = build_network(name, input_shape=PHOTO, num_classes=num_classes)
    keras.utils.set_random_seed(0)
    model.layers[-1].kernel.assign(np.zeros(model.layers[-1].kernel.shape))
    pixels = np.random.default_rng(0).integers(0, 256, (8, *PHOTO)).astype(np.float32)
    labels = np.arange(8) % num_classes
    loss = model.evaluate(pixels, labels, verbose=0)[0]
    assert loss == pytest.approx(np.log(num_classes), rel=1e-5)


@pytest.mark.parametrize("name", LIGHT)
def test_network_gives_one_row_a_picture(name):
    """M5: without Flatten, Dense would answer for every pixel."""
    model = build_network(name, input_shape=PHOTO, num_classes=classes_of(name))
    assert model.output_shape == (None, 1 if name in ("t7", "t8") else 3)


def test_optimizers_are_the_tutorials():
    kinds = {
        name: type(build_network(name, input_shape=shape, num_classes=2).optimizer).__name__
        for name, shape in [("t1", (1,)), ("t5", CLOTHES), ("t7", PHOTO), ("t10", PHOTO)]
    }
    assert kinds == {"t1": "SGD", "t5": "Adam", "t7": "RMSprop", "t10": "RMSprop"}


def test_xception_takes_small_pictures():
    model = build_network("t6-xception", input_shape=COLOUR, num_classes=10)
    assert model.output_shape == (None, 10)
    # Keras's own without its top has 20,861,480 weights; ours adds a Dense layer from 2,048 maps.
    assert model.count_params() == 20_861_480 + 2_048 * 10 + 10


def test_unknown_name_lists_the_names():
    with pytest.raises(SettingsError, match="'t99'; choose from t1, t3, t4"):
        build_network("t99", input_shape=CLOTHES, num_classes=10)


def test_pictures_too_small_for_the_network():
    with pytest.raises(SettingsError, match="8×8 px are too small for t10"):
        build_network("t10", input_shape=(8, 8, 3), num_classes=3)


def test_t7_refuses_three_classes():
    with pytest.raises(SettingsError, match="exactly two classes, got 3; use t10"):
        build_network("t7", input_shape=PHOTO, num_classes=3)
