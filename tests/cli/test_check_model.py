"""``saccade check`` of a model, as a person runs it."""

from __future__ import annotations

import json
import sys

import pytest
from click.testing import Result
from typer.testing import CliRunner

from saccade.cli import app
from saccade.errors import SaccadeError
from saccade.models import load_keras

OWN = """
import keras

def one(input_shape, num_classes):
    layers = keras.layers
    model = keras.Sequential([
        keras.Input(input_shape), layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Flatten(), layers.Dense(1, activation="softmax", name="answer"),
    ])
    model.compile("adam", "categorical_crossentropy")
    return model
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A network that takes pixels as they are and has three outputs."""
    keras = load_keras()
    layers = [keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax", name="answer")]
    model = keras.Sequential([keras.Input((16, 16, 3)), *layers])
    model.compile("adam", keras.losses.CategoricalCrossentropy(from_logits=True))
    path = tmp_path_factory.mktemp("models") / "own.keras"
    model.save(path)
    return path


def check(*arguments: object) -> Result:
    """Run the command in this process: loading Keras anew takes seconds."""
    return CliRunner().invoke(app, ["check", *map(str, arguments)])


def test_file_is_checked_for_its_data(saved, pictures, tmp_path):
    done = check(saved, "--data", pictures, "--json", "--out", tmp_path)
    assert done.exit_code == 0, done.exception
    document = json.loads(done.stdout)
    assert document["version"] == 1
    found = {finding["name"]: finding for finding in document["findings"]}
    assert set(found) == {
        "softmax-taken-as-logits",
        "classes-and-outputs-differ",
        "pixels-not-scaled",
    }
    for finding in found.values():
        assert set(finding) == {"name", "severity", "where", "message", "cure"}
    assert found["classes-and-outputs-differ"]["where"] == "answer"
    assert "Dense(2" in found["classes-and-outputs-differ"]["cure"]
    assert (tmp_path / "issues.parquet").exists()


def test_function_is_built_and_checked(tmp_path, monkeypatch):
    (tmp_path / "checked_networks.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    done = check("checked_networks:one")
    sys.modules.pop("checked_networks", None)
    assert done.exit_code == 0, done.exception
    first, _, cure = done.stdout.splitlines()
    assert first == "serious  softmax-of-one (answer)"
    assert "Dense(num_classes" in cure


def test_tutorial_network_has_nothing_wrong():
    assert json.loads(check("t5", "--json").stdout) == {"version": 1, "findings": []}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["auto"], "'auto' is designed for the data"),
        (["t5", "--test", "photos"], "--test, --labels and --multi-label go with"),
        (["t5", "--labels"], "--test, --labels and --multi-label go with"),
        (["digits", "--data", "digits"], "--data goes with a model"),
        (["gone.keras"], "no file gone.keras"),
        (["no_such_module:f"], "cannot import 'no_such_module'"),
        (["t5", "--data", "nowhere"], "there is no 'nowhere'"),
    ],
)
def test_wrong_use_is_one_line(arguments, said):
    done = check(*arguments)
    assert isinstance(done.exception, SaccadeError)  # which `main` turns into a line and code 2
    assert said in str(done.exception)
