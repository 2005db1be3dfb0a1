"""Any model by its name: the user's own files and functions, and every way they can be wrong."""

from __future__ import annotations

import sys
import zipfile

import pytest

from saccade.errors import SettingsError
from saccade.models import (
    MODEL_NAMES,
    CompactDesign,
    build_model,
    check_name,
    names_model,
    wanted_input_shape,
)
from saccade.models.backend import load_keras

keras = load_keras()

SHAPE = (8, 8, 1)
OWN = """
import keras

def build(input_shape, num_classes):
    layers = [keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(num_classes)]
    return keras.Sequential(layers)

def pixels(input_shape, num_classes):
    return keras.Sequential([keras.Input(input_shape), keras.layers.Dense(num_classes)])

def nothing(input_shape, num_classes):
    return None


def failing(input_shape, num_classes):
    return {}["size"]
"""


def dense(num_outputs, shape=SHAPE):
    stack = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(num_outputs)]
    return keras.Sequential(stack)


def save(model, folder, name="own.keras"):
    model.save(folder / name)
    return str(folder / name)


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The name of a module of the user's in the current folder, forgotten afterwards."""
    (tmp_path / "own_networks.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    yield "own_networks"
    sys.modules.pop("own_networks", None)


def test_auto_is_built_from_its_design():
    design = CompactDesign(stem_stride=1, widths=(4, 8), depth=0)
    model = build_model("auto", input_shape=SHAPE, num_classes=3, design=design)
    assert model.output_shape == (None, 3)


# `auto` is built from a design, and Xception, which takes seconds, is in test_networks.
NAMED = [name for name in MODEL_NAMES if name not in ("auto", "t6-xception")]


@pytest.mark.parametrize("name", NAMED)
def test_every_name_builds_and_is_compiled(name):
    model = build_model(name, input_shape=(64, 64, 3), num_classes=2)
    assert model.compiled


def test_file_of_the_users(tmp_path):
    name = save(dense(3), tmp_path)
    model = build_model(name, input_shape=SHAPE, num_classes=3)
    assert model.output_shape == (None, 3)
    assert wanted_input_shape(name) == SHAPE


def test_one_output_serves_two_classes(tmp_path):
    model = build_model(save(dense(1), tmp_path), input_shape=SHAPE, num_classes=2)
    assert model.output_shape == (None, 1)


def test_function_in_the_current_folder(own):
    path_before = list(sys.path)
    model = build_model(f"{own}:build", input_shape=SHAPE, num_classes=5)
    assert model.output_shape == (None, 5)
    assert sys.path == path_before


def test_unknown_name_lists_the_names():
    for ask in (check_name, lambda name: build_model(name, input_shape=SHAPE, num_classes=3)):
        with pytest.raises(
            SettingsError, match="'resnet'; choose from auto, t3, .*module:function"
        ):
            ask("resnet")


def test_file_that_is_not_there():
    with pytest.raises(SettingsError, match=r"no file gone\.keras; give the path"):
        check_name("gone.keras")


def test_file_of_the_old_format():
    with pytest.raises(SettingsError, match=r"save the model as a \.keras file"):
        check_name("model.h5")


def test_file_that_is_no_model(tmp_path):
    path = tmp_path / "broken.keras"
    path.write_bytes(b"not a zip")
    with pytest.raises(SettingsError, match=r"broken\.keras is no \.keras file, which is a zip"):
        build_model(str(path), input_shape=SHAPE, num_classes=3)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other.txt", "no model")
    with pytest.raises(SettingsError, match=r"cannot load the model .*broken\.keras") as caught:
        build_model(str(path), input_shape=SHAPE, num_classes=3)
    assert "\n" not in str(caught.value)


def test_file_that_brings_code_is_refused(tmp_path):
    """A Lambda layer holds Python code; Keras's safe mode does not run it."""
    model = keras.Sequential(
        [keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Lambda(lambda x: x[:, :3])]
    )
    with pytest.raises(SettingsError, match="cannot load the model"):
        build_model(save(model, tmp_path), input_shape=SHAPE, num_classes=3)


def test_output_that_does_not_fit_the_classes(tmp_path):
    with pytest.raises(SettingsError, match=r"output \(None, 4\); 3 classes need \(None, 3\)"):
        build_model(save(dense(4), tmp_path), input_shape=SHAPE, num_classes=3)


def test_output_for_every_pixel(own):
    with pytest.raises(SettingsError, match=r"output \(None, 8, 8, 3\); 3 classes need"):
        build_model(f"{own}:pixels", input_shape=SHAPE, num_classes=3)


def test_input_that_does_not_fit_the_pictures(tmp_path):
    with pytest.raises(SettingsError, match=r"takes pictures \(8, 8, 1\), the data gives \(9,"):
        build_model(save(dense(3), tmp_path), input_shape=(9, 8, 1), num_classes=3)


def test_input_that_is_no_picture(tmp_path):
    with pytest.raises(SettingsError, match=r"must take pictures \(N, H, W, C\)"):
        build_model(save(dense(3, shape=(4,)), tmp_path), input_shape=SHAPE, num_classes=3)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("nothing", "returned NoneType; it must return a keras.Model"),
        ("missing", "'own_networks' has no function 'missing'"),
    ],
)
def test_function_that_gives_no_model(own, function, message):
    with pytest.raises(SettingsError, match=message):
        build_model(f"{own}:{function}", input_shape=SHAPE, num_classes=3)


def test_function_that_fails_names_the_place(own):
    with pytest.raises(
        SettingsError, match=r"own_networks:failing fails at .*own_networks.py, line \d+: KeyError"
    ):
        build_model(f"{own}:failing", input_shape=SHAPE, num_classes=3)


def test_module_that_is_not_there():
    with pytest.raises(SettingsError, match="cannot import 'no_such_module'"):
        build_model("no_such_module:f", input_shape=SHAPE, num_classes=3)


def test_module_with_a_mistake_names_it(tmp_path, monkeypatch):
    (tmp_path / "unfinished_networks.py").write_text("def f(\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="SyntaxError.*unfinished_networks.py, line 1"):
        build_model("unfinished_networks:f", input_shape=SHAPE, num_classes=3)


def test_word_for_a_model_is_told_from_a_word_for_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos:old").mkdir()
    for name in ("t5", "own.keras", "own.networks:build", "model.h5"):
        assert names_model(name)
    for name in ("digits", "./t5", "photos", "photos:old", "C:\\photos", "a:b:c", "x.npz", ""):
        assert not names_model(name)
