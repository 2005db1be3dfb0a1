"""Several labels a picture, from a table to predictions: two digits side by side, or fewer."""

from __future__ import annotations

import csv
import html
import json
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import onnxruntime
import pyarrow.parquet as parquet
import pytest
from PIL import Image
from sklearn import metrics

import saccade
from saccade.cli import main, words
from saccade.data import LabelSets, open_source
from saccade.errors import DataError, SettingsError
from saccade.evaluation import LabelEvaluation
from saccade.progress import Silence, Stage
from saccade.report import write_run_report
from saccade.run import open_run

NUM_PICTURES = 360


def pairs(count: int, *, digits: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (N, 8, 16) pictures of up to two digits below `digits`, and (N, digits) of 0 and 1."""
    source = open_source("digits", progress=Silence())
    names = np.array([int(entry.label) for entry in source.entries])
    known = np.flatnonzero(names < digits)
    random = np.random.default_rng(0)
    # A faint ground, so that pictures without a digit are no copies of each other.
    pixels = random.integers(0, 30, (count, 8, 16), dtype=np.uint8)
    targets = np.zeros((count, digits), np.uint8)
    for picture, target in zip(pixels, targets, strict=True):
        for half in (picture[:, :8], picture[:, 8:]):
            if random.random() < 0.7:
                chosen = random.choice(known)
                np.maximum(half, source.arrays[chosen, :, :, 0], out=half)
                target[names[chosen]] = 1
    return pixels, targets


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pairs")
    pixels, targets = pairs(NUM_PICTURES, digits=5)
    with (root / "digits.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["path", "labels"])
        for number, (picture, target) in enumerate(zip(pixels, targets, strict=True)):
            Image.fromarray(picture).save(root / f"{number}.png")
            names = "|".join(f"digit {digit}" for digit in np.flatnonzero(target)[::-1])
            rows.writerow([f"{number}.png", names])
    return root / "digits.csv"


@pytest.fixture(scope="module")
def run(table: Path, tmp_path_factory: pytest.TempPathFactory) -> saccade.Run:
    out = tmp_path_factory.mktemp("runs")
    return trained(table, out, epochs=4, name="pairs")


def trained(data, out: Path, **options) -> saccade.Run:
    options = {"epochs": 1} | options
    return saccade.train(data, multi_label=True, out=out, progress=Silence(), **options)


@pytest.fixture
def command(monkeypatch, capsys):
    """Return what runs a command line in this process, which has keras loaded already."""

    def run_command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["saccade", *map(str, arguments)])
        with pytest.raises(SystemExit) as ending:
            main()
        return (ending.value.code or 0, *capsys.readouterr())

    return run_command


def scored(run: saccade.Run) -> tuple[np.ndarray, np.ndarray]:
    """Return what the run kept of each test picture: probabilities (N, L) and true labels."""
    kept = parquet.read_table(run.folder / "predictions.parquet").to_pydict()
    probabilities = np.stack([kept[f"p:{name}"] for name in run.classes], axis=1)
    truth = tuple(kept["label"])
    return probabilities, LabelSets.of(truth, names=run.classes).membership


def test_figures_are_scikit_learns_of_what_was_kept(run):
    assert run.classes == tuple(f"digit {digit}" for digit in range(5))
    assert isinstance(run.test, LabelEvaluation)
    probabilities, truth = scored(run)
    thresholds = saccade.load(run.model).manifest.label_thresholds
    said = probabilities >= np.array(thresholds)
    assert run.test.num_images == len(truth)
    assert run.test.accuracy.value == pytest.approx(metrics.accuracy_score(truth, said))
    macro = metrics.f1_score(truth, said, average="macro")
    assert run.test.macro_f1.value == pytest.approx(macro)
    assert run.test.macro_f1.value > 0.8  # it has learnt
    assert run.plan["design"] is not None
    assert run.test.accuracy.low > run.test.baseline_accuracy.high
    assert "" in parquet.read_table(run.folder / "predictions.parquet")["label"].to_pylist()


def test_run_and_bundle_hold_the_same_figures(run):
    assert open_run(run.folder).test == run.test
    manifest = saccade.load(run.model).manifest
    assert manifest.evaluation == run.test
    assert manifest.format_version == 4
    with pytest.raises(
        ValueError, match="the evaluation is of labels, or the bundle, but not both"
    ):
        replace(manifest, label_thresholds=None)
    assert run.provenance["baseline_class"] == run.test.baseline_class


def test_probabilities_are_sigmoids_of_what_keras_says(run, table, tmp_path):
    """The bundle's own Keras model, divided by the temperature, one label at a time."""
    with zipfile.ZipFile(run.model) as bundle:
        bundle.extract("model.keras", tmp_path)
        session = onnxruntime.InferenceSession(bundle.read("model.onnx"))
    pixels = np.stack([np.asarray(Image.open(p)) for p in sorted(table.parent.glob("1?.png"))])
    (probabilities,) = session.run(["probabilities"], {"pixels": pixels[..., None]})
    model = keras.saving.load_model(tmp_path / "model.keras")
    assert model.layers[-1].activation.__name__ == "linear"
    logits = keras.ops.convert_to_numpy(model(pixels[..., None].astype(np.float32)))
    temperature = saccade.load(run.model).manifest.temperature
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-logits / temperature)), atol=1e-5)


def test_prediction_says_every_label_over_its_threshold(run, table):
    classifier = saccade.load(run.model)
    thresholds = dict(zip(run.classes, classifier.manifest.label_thresholds, strict=True))
    numbers = set()
    for answer in classifier.predict_files(table.parent.glob("?.png")):
        shares = answer.probabilities
        said = tuple(name for name in shares if shares[name] >= thresholds[name])
        assert (answer.labels, answer.label, answer.probability) == (said, None, None)
        assert answer.to_json()["labels"] == list(said)
        assert classifier.predict(answer.path).labels == said
        numbers.add(len(said))
    assert len(numbers) > 1


def test_evaluating_on_the_table_gives_the_sealed_figures_again(run, table):
    again = saccade.evaluate(run.model, table, progress=Silence())
    assert again.test == run.test
    assert again.images_seen == NUM_PICTURES - run.test.num_images


class Stopping(Silence):
    """Presses Ctrl-C while it trains, once there is a checkpoint in a run's folder."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "checkpoint" / "state.json"

    def start(self, name: str, total: float | None) -> Stage:
        stage = super().start(name, total)
        if name == "train":
            stage.advance = self.advance
        return stage

    def advance(self, amount: float = 1) -> None:
        if self.state.exists():
            raise KeyboardInterrupt


def test_stopped_run_goes_on_and_ends_as_if_never_stopped(run, table, tmp_path):
    folder = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        saccade.train(
            table,
            multi_label=True,
            epochs=4,
            name="stopped",
            out=tmp_path,
            progress=Stopping(folder),
        )
    assert not (folder / "run.json").exists()
    resumed = saccade.train(resume=folder, progress=Silence())
    assert resumed.fit["history"] == run.fit["history"]
    assert resumed.test == run.test


def test_labels_that_the_model_does_not_know_are_refused(run, table):
    other = table.parent / "other.csv"
    other.write_text("path,label\n1.png,digit 1;cat\n")
    with pytest.raises(DataError, match="does not know the label 'cat'"):
        saccade.evaluate(run.model, other, progress=Silence())
    (tested, *_) = parquet.read_table(run.folder / "predictions.parquet")["path"].to_pylist()
    other.write_text(f"path,label,split\n1.png,cat,train\n{tested},digit 1,test\n")
    assert saccade.evaluate(run.model, other, progress=Silence()).images_used == 1
    with pytest.raises(DataError, match="several labels a picture .* read from a table"):
        saccade.evaluate(run.model, "digits", progress=Silence())


def test_commands_are_read_by_people(command, run, table, tmp_path):
    picture = table.parent / "1.png"
    code, said, more = command("predict", run.model, picture)
    assert code == 0
    assert "Refuses" not in more  # nothing here is unknown
    (refuses,) = words.refused_lines(run.refused)
    assert "handwritten digits" not in refuses  # they trained it, in pairs
    labels = saccade.load(run.model).predict(picture).labels
    assert all(f"{name} " in said for name in labels)
    output = tmp_path / "said.csv"
    code, _, more = command("predict", run.model, picture, "--format", "csv", "--output", output)
    assert (code, more) == (0, "")
    (row,) = csv.DictReader(output.read_text().splitlines())
    assert row["labels"] == ";".join(labels)
    assert set(row) == {"path", "labels", "unknown", "error", *run.classes}


def test_commands_take_the_flag(command, table):
    code, said, why = command("train", table, "--multi-label", "--balance", "on")
    assert (code, said) == (2, "")
    assert "--balance is for one class a picture" in why
    code, said, _ = command("check", table, "--multi-label", "--json")
    assert code == 0
    named = {finding["name"] for finding in json.loads(said)["findings"]}
    assert "too-few-pictures" not in named  # each label has many, however rare some sets are


def test_answer_is_read_by_people(run):
    text = words.answer(run)
    for line in ("Exact  ", "Macro F1", "Micro F1", "Mean AP ", "Weakest "):
        assert f"\n{line}" in f"\n{text}"
    assert "test pictures have every label right; always" in text


def test_report_has_labels_and_no_confusion(run):
    page = write_run_report(run).read_text()
    assert "<h2>Label by label</h2>" in page
    assert 'id="confusion"' not in page
    next_steps = page[page.index('<section id="next">') :]
    assert all(html.escape(one.sentence) in next_steps for one in run.next_steps.advice)
    assert "the share of pictures with every label right" in next_steps
    assert "may still be of another kind" in page
    assert "none of the classes" not in page
    assert "Exact match" in page
    assert "digit 0, digit" in page  # sets in the gallery, as people write them


def test_run_says_what_to_do_next(run, table):
    """The weakest label by scikit-learn's F1, and the pictures on which it alone is wrong."""
    assert open_run(run.folder).next_steps == run.next_steps
    probabilities, truth = scored(run)
    said = probabilities >= np.array(saccade.load(run.model).manifest.label_thresholds)
    f1 = metrics.f1_score(truth, said, average=None)
    (weak,) = (
        one for one in run.next_steps.advice if one.sentence.startswith("Collect pictures w")
    )
    k = int(f1.argmin())
    wrong = said != truth
    alone = int((wrong[:, k] & ~np.delete(wrong, k, axis=1).any(axis=1)).sum())
    assert weak.worth.value == pytest.approx(100 * alone / len(truth))
    assert f"“{run.classes[k]}”: its F1 is {100 * f1[k]:.1f} % (95 % interval " in weak.sentence
    assert f"On {alone:,} of {len(truth):,} it alone is wrong" in weak.sentence
    (time,) = (one for one in run.next_steps.advice if one.action == "budget")
    assert run.fit["best_epoch"] == run.fit["num_epochs"] == 4
    assert "the last of 4 epochs was the best on validation" in time.sentence
    folder = run.folder.parent
    assert time.command == f"saccade train {table} --epochs 8 --multi-label --out {folder}"
    assert (time.worth, time.measured, weak.command) == (None, False, "")
    assert words.next_lines(run.next_steps)[0].endswith(run.next_steps.advice[0].sentence)


def test_arrays_train_a_tutorials_network_and_few_pictures_are_noted(tmp_path):
    pixels, targets = pairs(120, digits=3)
    run = trained((pixels, targets), tmp_path, model="t3")
    assert run.classes == ("0", "1", "2")
    actions = [one.action for one in run.next_steps.advice]
    assert "stop" not in actions  # the one epoch was the best: more time may help
    assert actions[-2:] == ["data", "labels"]
    assert all(np.isfinite(run.fit["history"]["val_loss"]))
    (note,) = (note for note in run.notes if "one half" in note)
    thresholds = saccade.load(run.model).manifest.label_thresholds
    for name, threshold in zip(run.classes, thresholds, strict=True):
        assert (repr(name) in note) == (threshold == 0.5)


def test_a_label_without_training_pictures_is_refused(table, tmp_path):
    rows = table.read_text().splitlines()
    lines = [f"{row},{'test' if at % 3 == 0 else 'train'}" for at, row in enumerate(rows[1:])]
    lines[0] = "0.png,rare,test"
    data = table.parent / "unlearnable.csv"
    data.write_text("\n".join(["path,labels,split", *lines]))
    with pytest.raises(DataError, match=r"label 'rare' has no picture to train on \(1 listed"):
        trained(data, tmp_path, model="t3")


def test_one_label_alone_is_two_classes(tmp_path):
    data = tmp_path / "one.csv"
    data.write_text("path,labels\na.png,cat\nb.png,\n")
    for name in "ab":
        Image.fromarray(np.full((4, 4), ord(name), np.uint8)).save(tmp_path / f"{name}.png")
    with pytest.raises(DataError, match="at least two labels.* found 'cat' in 2"):
        trained(data, tmp_path)


def test_table_of_missing_pictures_says_that_they_are(tmp_path):
    data = tmp_path / "gone.csv"
    data.write_text("path,labels\ngone.png,cat;dog\n")
    with pytest.raises(DataError, match=r"in 0 different sets.*first: gone.png: cannot be read"):
        trained(data, tmp_path)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"balance": "on"}, "--balance is for one class a picture"),
        ({"operating_point": "recall:a=0.9"}, "--operating-point is for one class"),
        ({"folds": 3}, "--folds is for one class"),
        ({"learning_curve": True}, "--learning-curve is for one class"),
        ({"model": "t7"}, "t7 ends in one output"),
    ],
)
def test_what_is_for_one_class_a_picture_is_refused(table, tmp_path, options, why):
    with pytest.raises(SettingsError, match=why):
        trained(table, tmp_path, **options)


@pytest.mark.parametrize(
    ("units", "activation", "loss", "why"),
    [
        (4, None, None, r"has the output \(None, 4\); 5 classes need"),
        (5, "softmax", None, "ends in a softmax"),
        (5, "sigmoid", "categorical_crossentropy", "needs binary_crossentropy"),
        (5, "sigmoid", "binary_crossentropy", ""),
    ],
)
def test_models_of_the_users_own(table, tmp_path, units, activation, loss, why):
    layers = [keras.Input((8, 16, 1)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    model = keras.Sequential([*layers, keras.layers.Dense(units, activation=activation)])
    if loss:
        model.compile(optimizer="adam", loss=loss)
    model.save(tmp_path / "own.keras")
    if why:
        with pytest.raises(SettingsError, match=why):
            trained(table, tmp_path, model=str(tmp_path / "own.keras"))
        return
    run = trained(table, tmp_path, model=str(tmp_path / "own.keras"), epochs=2)
    assert run.fit["history"]["val_loss"][-1] < np.log(2)
