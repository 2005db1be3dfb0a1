from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from saccade.bundle import Manifest, Runtime, read_bundle, write_bundle
from saccade.bundle.manifest import KERAS
from saccade.errors import BundleError, SettingsError
from saccade.models import CompactDesign, View, build_compact

VIEWS = (View(mirrored=True), View(shift_px=1), View(shift_px=-1))

SEEN = np.arange(3, dtype=np.uint64)


@pytest.fixture
def parts(
    brightness: Any, pictures: np.ndarray, logits: np.ndarray, manifest: Manifest
) -> dict[str, Any]:
    """Return what `write_bundle` takes for a good bundle."""
    return {
        "manifest": manifest,
        "model": brightness,
        "seen": SEEN,
        "parity_pixels": [pictures[:7], pictures[7:]],
        "parity_logits": logits,
    }


def test_probabilities_worked_out_by_hand(
    bundle_path: Path, pictures: np.ndarray, logits: np.ndarray
) -> None:
    bundle = read_bundle(bundle_path)
    runtime = Runtime(bundle.onnx, input_shape=pictures.shape[1:], num_classes=2)
    light = 1 / (1 + np.exp(-(logits[:, 1] - logits[:, 0]) / bundle.manifest.temperature))
    # float32 throughout; the mean is over 90 numbers
    np.testing.assert_allclose(runtime.probabilities(pictures)[:, 1], light, atol=2e-6)


def test_written_manifest_is_returned(tmp_path: Path, parts: dict[str, Any]) -> None:
    written = write_bundle(tmp_path / "m.saccade", **parts)
    assert read_bundle(tmp_path / "m.saccade").manifest == written
    assert replace(written, digests={}) == parts["manifest"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parity_logits": "swapped"}, "change their label"),
        ({"parity_logits": "one wrong"}, "1 change their label"),
        ({"parity_logits": "one short"}, "no pictures to compare"),
        ({"parity_logits": "not a number"}, "differ from the model's by up to nan"),
        ({"parity_pixels": []}, "no pictures to compare"),
    ],
)
def test_bundle_that_disagrees_is_not_written(
    tmp_path: Path, parts: dict[str, Any], logits: np.ndarray, change: Any, message: str
) -> None:
    wrong = {
        "swapped": logits[:, ::-1],
        "one wrong": np.concatenate([-logits[:1], logits[1:]]),
        "one short": logits[1:],
        "not a number": logits * np.nan,
    }
    changed = {name: wrong.get(v, v) if isinstance(v, str) else v for name, v in change.items()}
    path = tmp_path / "m.saccade"
    path.write_bytes(b"the bundle before")
    with pytest.raises(BundleError, match=message):
        write_bundle(path, **(parts | changed))
    assert path.read_bytes() == b"the bundle before"
    assert os.listdir(tmp_path) == ["m.saccade"]


def test_gate_sees_a_slightly_wrong_model(tmp_path: Path, parts: dict[str, Any]) -> None:
    """Logits 2 % off, as from another resize or a lost epsilon, change no label here."""
    with pytest.raises(BundleError, match="not written.*0 change their label"):
        write_bundle(
            tmp_path / "m.saccade", **(parts | {"parity_logits": parts["parity_logits"] * 1.02})
        )


def test_place_cannot_be_written(parts: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="cannot write"):
        write_bundle(Path("/proc/none/m.saccade"), **parts)


def test_model_in_the_bundle_is_the_trained_one(
    tmp_path: Path, bundle_path: Path, pictures: np.ndarray, logits: np.ndarray
) -> None:
    from saccade.models.backend import load_keras

    keras = load_keras()
    with zipfile.ZipFile(bundle_path) as archive:
        archive.extract(KERAS, tmp_path)
    model = keras.saving.load_model(tmp_path / KERAS)
    given = keras.ops.convert_to_numpy(model(pictures.astype(np.float32)))
    np.testing.assert_allclose(given, logits, atol=1e-5)


_ON_TENSORFLOW = """
import json, sys
import numpy as np, keras
assert keras.backend.backend() == "tensorflow"
assert not [name for name in sys.modules if name.startswith("saccade")]
model = keras.saving.load_model(sys.argv[1])
pixels = np.load(sys.argv[2]).astype("float32")
print(json.dumps(np.asarray(model(pixels, training=False)).tolist()))
"""

_WRITTEN_ON_TENSORFLOW = """
import sys
from pathlib import Path
import keras, numpy as np
from keras import layers as kl
from saccade.bundle import Manifest, read_bundle, Runtime, write_bundle
from saccade.data.picture import Preprocessing
from saccade.errors import BundleError
assert keras.backend.backend() == "tensorflow"
keras.utils.set_random_seed(0)
shape = (13, 16, 3)
common = [keras.Input(shape), kl.RandomFlip(), kl.Rescaling(1 / 255)]
model = keras.Sequential([
    *common, kl.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
    kl.BatchNormalization(), kl.AveragePooling2D(3, strides=2, padding="same"),
    kl.SeparableConv2D(8, 3, padding="same"), kl.MaxPooling2D(),
    kl.Flatten(), kl.Dropout(0.5), kl.Dense(3),
])
pixels = np.random.default_rng(0).integers(0, 256, (20, *shape), dtype=np.uint8)
def write(model):
    logits = np.asarray(model(pixels.astype("float32"), training=False))
    write_bundle(
        Path(sys.argv[1]),
        Manifest(name="tf", created="2026-01-02T03:04:05Z", classes=("a", "b", "c"),
                 preprocessing=Preprocessing(height_px=13, width_px=16, channels=3),
                 temperature=1.5, threshold=0.5, target_error_rate=0.01),
        model=model, seen=np.empty(0, dtype=np.uint64), parity_pixels=[pixels],
        parity_logits=logits)
write(model)
assert "torch" not in sys.modules
try:
    odd = kl.Conv2DTranspose(2, 3, name="odd")
    write(keras.Sequential([*common, odd, kl.Flatten(), kl.Dense(3)]))
except BundleError as error:
    print(error)
"""


def on_tensorflow(program: str, *arguments: object) -> str:
    """Run a program where Keras runs on TensorFlow; skip where no such Python is at hand."""
    python = os.environ.get("SACCADE_TENSORFLOW_PYTHON")
    if not python:
        pytest.skip("SACCADE_TENSORFLOW_PYTHON is not set: no Python with TensorFlow at hand")
    source = str(Path(sys.modules["saccade"].__path__[0]).parent)
    settings = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": source}
    done = subprocess.run(
        [python, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | settings,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_model_opens_in_plain_keras_on_tensorflow(tmp_path: Path, parts: dict[str, Any]) -> None:
    """The largest form of our own family: pairs, and several views, which are no layer of Keras."""
    import keras

    keras.utils.set_random_seed(0)
    design = CompactDesign(stem_stride=1, widths=(4, 8), depth=1, head="whole")
    model = build_compact(
        design,
        input_shape=(6, 5, 3),
        num_classes=2,
        views=VIEWS,
    )
    pixels = np.concatenate(parts["parity_pixels"])
    logits = keras.ops.convert_to_numpy(model(pixels.astype(np.float32), training=False))
    changed = {"model": model, "parity_logits": logits}
    write_bundle(tmp_path / "m.saccade", **(parts | changed))
    with zipfile.ZipFile(tmp_path / "m.saccade") as archive:
        archive.extract(KERAS, tmp_path)
    np.save(tmp_path / "pixels.npy", pixels)
    printed = on_tensorflow(_ON_TENSORFLOW, tmp_path / KERAS, tmp_path / "pixels.npy")
    np.testing.assert_allclose(json.loads(printed.splitlines()[-1]), logits, atol=1e-5)


def test_bundle_is_written_on_tensorflow(tmp_path: Path) -> None:
    """Conversion needs no PyTorch; an unknown layer is refused by its name."""
    path = tmp_path / "m.saccade"
    printed = on_tensorflow(_WRITTEN_ON_TENSORFLOW, path)
    assert "the layer 'odd' (Conv2DTranspose) is not a known one" in printed
    assert read_bundle(path).manifest.classes == ("a", "b", "c")
