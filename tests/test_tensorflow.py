"""The journey with Keras on TensorFlow: same commands, bundle, figures and report."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

import saccade
from saccade.models import load_keras
from saccade.run import open_run

T5 = """
import saccade, sys, json, keras
from saccade.data import open_source
from saccade.progress import Silence

source = open_source("fashion-mnist", progress=Silence())
x, y = source.arrays[:, :, :, 0], [entry.label for entry in source.entries]
parts = {p: [i for i, e in enumerate(source.entries) if e.part == p] for p in ("train", "test")}
some = {part: rows[:2_000] for part, rows in parts.items()}
run = saccade.train(
    (x[some["train"]], [y[i] for i in some["train"]]),
    test=(x[some["test"]], [y[i] for i in some["test"]]),
    model="t5", epochs=4, name="t5", out=sys.argv[1], progress=Silence(),
)
model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
model.compile(optimizer="sgd", loss="mse")
history = saccade.fit(model, x[:8, 0, :1].astype("float32"), x[:8, 0, :1], epochs=2, verbose=0)
print(json.dumps({"backend": keras.backend.backend(), "torch": "torch" in sys.modules,
                  "epochs": len(history.history["loss"]), "run": run.to_json()}))
"""


LAYERWISE = """
import json, keras, numpy as np
from saccade.training.layerwise import LayerwiseAdamW

layers = [keras.layers.Dense(2, kernel_initializer="ones", name=name) for name in "abc"]
model = keras.Sequential([keras.Input((3,)), *layers])
model.compile(LayerwiseAdamW(lowest_share=0.25, learning_rate=0.1, weight_decay=0.0), "mse")
before = model.get_weights()
model.fit(np.ones((4, 3)), np.zeros((4, 2)), epochs=1, verbose=0)
moved = [float(np.abs(a - b).max()) for a, b in zip(model.get_weights(), before)]
print(json.dumps([keras.backend.backend(), *moved]))
"""


@pytest.fixture(scope="module")
def python() -> str:
    path = os.environ.get("SACCADE_TENSORFLOW_PYTHON")
    if not path:
        pytest.skip("SACCADE_TENSORFLOW_PYTHON is not set: no environment with TensorFlow")
    return path


def test_t5_goes_from_pictures_to_report(python, datasets, tmp_path):
    environment = os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [python, "-c", T5, tmp_path],
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["backend"], told["torch"], told["epochs"]) == ("tensorflow", False, 2)
    document = told["run"]
    assert document["test"]["accuracy"]["value"] > 0.75
    assert document["provenance"]["engine"] == "tensorflow"
    assert Path(document["report"]).stat().st_size > 10_000
    # The bundle is the same kind of file: it is scored here, without TensorFlow.
    run = open_run(tmp_path / "t5")
    classifier = saccade.load(run.model)
    assert classifier.manifest.evaluation == run.test
    assert classifier.predict_batch(_gallery(run)).shape[1] == 10
    assert run.test.num_images == 2_000


def _gallery(run):
    import numpy as np

    with np.load(run.folder / "gallery.npz", allow_pickle=False) as arrays:
        return arrays["pixels"]


def test_rates_fall_from_layer_to_layer_on_tensorflow(python):
    done = subprocess.run(
        [python, "-c", LAYERWISE],
        env=os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    engine, *moved = json.loads(done.stdout.splitlines()[-1])
    assert engine == "tensorflow"
    assert moved == pytest.approx([0.025, 0.025, 0.05, 0.05, 0.1, 0.1], rel=1e-3)


def test_auto_learns_digits_on_tensorflow(python, tmp_path):
    """Our own family with its own optimizer, by Keras's fit."""
    command = [python, "-m", "saccade.cli", "train", "digits", "--epochs", "6", "--json"]
    done = subprocess.run(
        [*command, "--out", tmp_path],
        env=os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["test"]["accuracy"]["value"] > 0.9
    with zipfile.ZipFile(document["model"]) as archive:
        archive.extract("model.keras", tmp_path)
    # As plain Keras, on PyTorch; the way back is in tests/bundle/test_write.py.
    model = load_keras().saving.load_model(tmp_path / "model.keras", compile=False)
    assert model.count_params() > 1_000
