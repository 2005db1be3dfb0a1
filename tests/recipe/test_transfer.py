"""Transfer learning through the whole journey, on weights in a local file, with no download."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
import pytest
from PIL import Image

import saccade
from saccade.config import choose_settings
from saccade.errors import DataError, SettingsError
from saccade.progress import Silence
from saccade.recipe.backbone import choose_backbone
from saccade.training import Facts
from saccade.transfer import backbone

NETWORK = "MobileNet-0.25"
FILE = "mobilenet_2_5_224_tf_no_top.weights.h5"
CUT = "conv_pw_3_relu"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a small network, as Keras saves them, under Keras's name."""
    keras.utils.set_random_seed(0)
    network = keras.applications.MobileNet(
        alpha=0.25, include_top=False, weights=None, input_shape=(64, 64, 3)
    )
    folder = tmp_path_factory.mktemp("weights")
    network.save_weights(folder / FILE)
    return folder / FILE


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of noisy squares, dark or light above."""
    root = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    for name, shade in (("dark", 20), ("light", 180)):
        (root / name).mkdir()
        for number in range(20):
            pixels = random.integers(0, 60, (40, 40, 3)) + shade
            pixels[20:] += 190 - 2 * shade
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def run(data: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> saccade.Run:
    out = tmp_path_factory.mktemp("runs")
    return saccade.train(data, weights=weights, cut=CUT, out=out, name="frozen", progress=Silence())


def kept_files() -> list[Path]:
    return sorted(Path(os.environ["SACCADE_CACHE"]).rglob("features-*.npy"))


def weights_in(model: Path) -> dict[str, np.ndarray]:
    """Return the weights of the Keras model in a bundle, by their names."""
    with zipfile.ZipFile(model) as bundle:
        (name,) = [name for name in bundle.namelist() if name.endswith(".keras")]
        path = model.with_name("from-bundle.keras")
        path.write_bytes(bundle.read(name))
    network = keras.models.load_model(path)
    path.unlink()
    return {variable.path: np.asarray(variable) for variable in network.variables}


def test_frozen_network_makes_a_whole_run(run: saccade.Run, data: Path) -> None:
    assert run.test.accuracy.value == 1.0
    backbone = run.plan["backbone"]
    assert (backbone["name"], backbone["cut"], backbone["fine_tune"]) == (NETWORK, CUT, False)
    assert len(backbone["digest"]) == 64
    assert run.settings["weights"].endswith(FILE)
    assert (run.plan["height_px"], run.plan["channels"]) == (96, 3)
    assert saccade.load(run.model).manifest.provenance["plan"] == dict(run.plan)
    answer = saccade.load(run.model).predict(data / "light" / "0.png")
    assert answer.label == "light"
    scored = saccade.evaluate(run.model, data, progress=Silence())
    assert scored.test == run.test
    assert any(f"a head on {NETWORK}, since its weights were given" in note for note in run.notes)
    assert "MobileNet" in run.report.read_text()


def test_frozen_network_takes_several_labels(weights: Path, tmp_path: Path) -> None:
    """Red, green, both or neither; no learning curve, which is of one class."""
    random = np.random.default_rng(0)
    targets = random.integers(0, 2, (60, 2), dtype=np.uint8)
    pixels = random.integers(0, 60, (60, 40, 40, 3), dtype=np.uint8)
    pixels[..., :2] += 180 * targets[:, None, None]
    options = {"weights": weights, "cut": CUT, "out": tmp_path, "progress": Silence()}
    run = saccade.train((pixels, targets), multi_label=True, **options)
    assert run.plan["backbone"]["name"] == NETWORK
    assert run.test.accuracy.value == 1.0
    assert run.next_steps.curve is None


def test_learning_curve_of_heads_is_always_measured(run: saccade.Run) -> None:
    curve = run.next_steps.curve
    assert [point.num_train for point in curve.points] == [8, 14, 28]
    assert curve.points[-1].num_wrong == 0
    (data,) = (one for one in run.next_steps.advice if one.action == "data")
    assert data.measured
    assert "heads on the frozen network" in data.sentence
    (time,) = (one for one in run.next_steps.advice if one.action == "budget")
    assert time.command.endswith(" --fine-tune")
    assert "--weights" in time.command


def weights_in_file(weights: Path) -> dict[str, np.ndarray]:
    network = keras.applications.MobileNet(
        alpha=0.25, include_top=False, weights=None, input_shape=(96, 96, 3)
    )
    network.load_weights(weights)
    return {variable.path: np.asarray(variable) for variable in network.variables}


def test_frozen_weights_are_those_of_the_file_bit_for_bit(run: saccade.Run, weights: Path) -> None:
    wanted = weights_in_file(weights)
    found = weights_in(run.model)
    below = {path: values for path, values in found.items() if not path.startswith("logits/")}
    assert len(below) == len(found) - 2 == 35  # seven convolutions, each normalised by four
    for path, values in below.items():
        assert values.tobytes() == wanted[path].tobytes(), path


def test_features_are_computed_once(run: saccade.Run, data: Path, weights: Path, tmp_path) -> None:
    before = {path: path.stat().st_mtime_ns for path in kept_files()}
    again = saccade.train(data, weights=weights, cut=CUT, out=tmp_path, progress=Silence())
    assert before
    assert {path: path.stat().st_mtime_ns for path in kept_files()} == before
    assert again.fit["history"] == run.fit["history"]
    assert again.test == run.test


def test_stopped_run_goes_on_from_any_folder(
    run: saccade.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = tmp_path / "stopped"
    stopped.mkdir()
    shutil.copy(run.folder / "started.json", stopped)
    monkeypatch.chdir(tmp_path)
    resumed = saccade.train(resume=stopped, progress=Silence())
    assert resumed.fit["history"] == run.fit["history"]
    assert resumed.test == run.test


def test_weights_that_changed_do_not_go_on(run: saccade.Run, weights: Path, tmp_path: Path) -> None:
    document = json.loads((run.folder / "started.json").read_text())
    document["plan"]["backbone"]["digest"] = "0" * 64
    (tmp_path / "started.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match="have changed since; train anew"):
        saccade.train(resume=tmp_path, progress=Silence())


def test_fine_tuning_is_judged_by_validation(data: Path, weights: Path, tmp_path: Path) -> None:
    run = saccade.train(
        data, weights=weights, cut=CUT, fine_tune=True, epochs=2, out=tmp_path, progress=Silence()
    )
    losses = run.fit["history"]["val_calibrated_loss"]
    kept, head = losses[run.fit["best_epoch"] - 1], min(losses[:-2])
    (note,) = [note for note in run.notes if note.startswith("fine-tuning")]
    tuned = run.fit["best_epoch"] > len(losses) - 2
    after, before = map(float, re.search(r"loss ([\d.]+), ([\d.]+) before", note).groups())
    assert before == pytest.approx(head, abs=1e-4)
    assert kept == pytest.approx(after if tuned else before, abs=1e-4)
    assert kept < head if tuned else kept == head
    assert ("is kept" if tuned else "is undone") in note
    assert run.next_steps.curve.points[-1].num_train == run.images.train  # of a head alone
    assert run.test.accuracy.value == 1.0
    changed = changed_kernels(run, weights)
    assert set(changed) == {
        "conv1",
        *(f"conv_{kind}_{n}" for kind in ("dw", "pw") for n in (1, 2, 3)),
    }
    assert set(changed.values()) == {tuned}  # down to the lowest, in steps of at most:
    assert run.plan["learning_rate"] == 1e-4


def changed_kernels(run: saccade.Run, weights: Path) -> dict[str, bool]:
    """Return for each convolution whether its kernel left the file's; no normalisation may."""
    before, after = weights_in_file(weights), weights_in(run.model)
    same = {
        path: np.array_equal(values, before[path])
        for path, values in after.items()
        if not path.startswith("logits/")
    }
    assert all(alike for path, alike in same.items() if "_bn" in path)
    assert sum("moving_" in path for path in same) == 2 * 7
    return {path.partition("/")[0]: not alike for path, alike in same.items() if "_bn" not in path}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "gone.h5"}, r"no weights file gone\.h5"),
        ({"weights": "{own}"}, r"own\.h5 does not tell which network.*--model"),
        ({"weights": "{own}", "model": "t5"}, r"--weights goes with a network of keras"),
        ({"weights": "{own}", "model": NETWORK}, r"does not hold the weights of MobileNet-0\.25"),
        ({"cut": CUT}, r"--cut goes with a network of keras\.applications.*--model InceptionV3"),
        ({"fine_tune": True, "model": "t5"}, r"--fine-tune goes with a network"),
        ({"weights": "{real}", "cut": "conv_pw_3_rel"}, r"no layer 'conv_pw_3_rel'.*conv_pw_3_r"),
        ({"weights": "{real}", "augment": "flip"}, r"--augment changes pictures.*add --fine-tune"),
        ({"model": "MobileNetV9"}, "no model is called 'MobileNetV9'"),
    ],
)
def test_what_does_not_fit_is_one_line(
    options: dict, message: str, data: Path, weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "own.h5").write_bytes(b"not weights")
    places = {"{own}": tmp_path / "own.h5", "{real}": weights}
    options = {name: places.get(value, value) for name, value in options.items()}
    with pytest.raises(SettingsError, match=message) as caught:
        saccade.train(data, **options, out=tmp_path / "runs", progress=Silence())
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists()


FACTS = Facts(
    width_px=200,
    height_px=150,
    same_size=False,
    channels=3,
    num_classes=2,
    num_train=100,
    budget_s=60.0,
    epochs=None,
)


@pytest.mark.parametrize(
    ("at_hand", "changes", "name", "why"),
    [
        (False, {}, None, "no pretrained weights are at hand; --weights FILE"),
        (True, {}, NETWORK, f"a head on {NETWORK}, since Keras has its weights at hand: {FILE}"),
        (True, {"channels": 1}, NETWORK, "since Keras has its weights at hand"),
        (False, {"channels": 1}, None, "no pretrained weights are at hand; --weights FILE"),
        (True, {"width_px": 32, "height_px": 32}, None, "pictures of 32 px gain little"),
    ],
)
def test_auto_takes_what_is_at_hand(
    at_hand, changes, name, why, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    if at_hand:
        (tmp_path / "models").mkdir()
        (tmp_path / "models" / FILE).touch()
    settings = choose_settings(model="auto", budget=None, epochs=None, seed=0)
    chosen, said = choose_backbone(settings, replace(FACTS, **changes))
    assert (chosen and chosen.name) == name
    assert why in said


def test_auto_trains_on_real_weights_in_keras_own_cache(
    datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve photographs of cats and twelve of dogs, at half their size."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    (tmp_path / "keras" / "models").mkdir(parents=True)
    real = datasets / "weights" / "mobilenet_2_5_224_tf_no_top.h5"
    kept = Path(shutil.copy(real, tmp_path / "keras" / "models"))
    with tarfile.open(datasets / "cats-vs-dogs-192px.tar") as tar:
        for kind, number in itertools.product(("cat", "dog"), range(1, 13)):
            place = tmp_path / "data" / kind / f"{number}.jpg"
            place.parent.mkdir(parents=True, exist_ok=True)
            name = f"cats_vs_dogs/train/{kind}s/{kind}.{number}.jpg"
            picture = Image.open(tar.extractfile(name))
            picture.thumbnail((96, 96))
            picture.save(place)
    options = {"epochs": 1, "out": tmp_path / "runs", "progress": Silence()}
    run = saccade.train(tmp_path / "data", model="auto", **options)
    chosen = run.plan["backbone"]
    assert (chosen["name"], chosen["weights"]) == (NETWORK, str(kept))
    assert any(f"Keras has its weights at hand: {kept.name}" in note for note in run.notes)
    given = backbone(NETWORK, run.plan["height_px"], weights=real)
    assert chosen["digest"] == given.digest
    assert run.classes == ("cat", "dog")


def test_folds_share_the_features_and_repeats_of_a_frozen_head_are_refused(
    data, weights, tmp_path, monkeypatch
):
    monkeypatch.setenv("SACCADE_CACHE", str(tmp_path / "cache"))
    options = {"weights": weights, "cut": CUT, "out": tmp_path / "runs", "progress": Silence()}
    with pytest.raises(SettingsError, match="hangs on none; add --folds 5"):
        saccade.train(data, repeats=2, **options)
    assert not (tmp_path / "runs").exists()
    run = saccade.train(data, folds=2, **options)
    assert run.test.num_images == 40
    assert run.test.accuracy.value > 0.8
    assert len(list((tmp_path / "cache").rglob("features-*.npy"))) == 1
