from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import saccade
from saccade.config import TrainSettings
from saccade.data import open_source, read_index
from saccade.errors import DataError, SettingsError
from saccade.progress import Silence
from saccade.recipe.clock import Clock
from saccade.recipe.request import new_request
from saccade.recipe.training import missed
from saccade.report import write_run_report
from saccade.run import open_run
from saccade.types import PARTS, TEST, TRAIN


def write_pictures(folder: Path, count: int, *, shade: int, side: int = 8) -> None:
    """Write noisy squares, `shade` above and its opposite below: easily told apart."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(shade)
    for number in range(count):
        pixels = random.integers(0, 60, (side, side, 3)) + shade
        pixels[side // 2 :] += 190 - 2 * shade
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")


def shades(root: Path, count: int = 12) -> Path:
    write_pictures(root / "dark", count, shade=20)
    write_pictures(root / "light", count, shade=180)
    return root


def test_digits_are_learnt_and_judged_on_pictures_never_seen(digits_run):
    assert digits_run.test.accuracy.value > 0.9
    assert digits_run.test.accuracy.low > digits_run.test.baseline_accuracy.high
    index = read_index(digits_run.folder / "index.parquet")
    by_part = {part: set(index.sha256[index.part == code]) for code, part in enumerate(PARTS)}
    assert all(by_part.values())
    assert not by_part["test"] & (by_part["train"] | by_part["validation"])
    assert not by_part["train"] & by_part["validation"]
    assert digits_run.images.used == len(index) == 1797


def test_sealed_pictures_have_no_say_in_the_plan(tmp_path):
    """All of the test pictures but their shade changes: size, and what colours there are."""
    data = shades(tmp_path / "data")
    options = {"epochs": 1, "out": tmp_path / "runs", "progress": Silence()}
    run = saccade.train(data, name="before", **options)
    index = read_index(run.folder / "index.parquet")
    tested = {index.path[row] for row in index.rows_of(TEST)}
    for path in tested:
        picture = Image.open(data / path)
        picture.convert("L").resize((90, 90)).save(data / path)
    again = saccade.train(data, name="after", **options)
    index = read_index(again.folder / "index.parquet")
    assert {index.path[row] for row in index.rows_of(TEST)} == tested
    assert again.plan == run.plan


def test_run_folder_holds_what_the_docs_say_and_opens_again(digits_run):
    names = {path.name for path in digits_run.folder.iterdir()}
    assert names == {
        "started.json",
        "index.parquet",
        "predictions.parquet",
        "gallery.npz",
        "model.saccade",
        "report.html",
        "run.json",
    }  # and no augmented.npz: t5 is shown its pictures as they are
    page = digits_run.report.read_text()
    assert "shown as they are" in page
    assert digits_run.fit["compiled_reason"]
    assert f"not compiled ({digits_run.fit['compiled_reason']})" in page
    again = open_run(digits_run.folder)
    assert again.to_json() == digits_run.to_json()
    assert json.loads((digits_run.folder / "run.json").read_text()) == digits_run.to_json()


def test_document_holds_the_promised_fields(digits_run):
    document = digits_run.to_json()
    for figure in ("accuracy", "macro_f1", "log_loss"):
        assert set(document["test"][figure]) == {"value", "low", "high"}
    assert Path(document["run"], "model.saccade") == Path(document["model"])
    assert Path(document["report"]).is_file()
    assert document["classes"] == [str(digit) for digit in range(10)]
    assert document["seconds"]["total"] >= document["seconds"]["train"] > 0
    assert "learning curve" not in document["seconds"]  # none was asked for
    assert document["images"]["used"] == 1797
    assert document["images"]["left_out"] == 0


def test_bundle_scores_the_test_rows_as_the_run_recorded(digits_run):
    scored = saccade.evaluate(digits_run.model, "digits", progress=Silence())
    assert scored.images_seen == digits_run.images.train + digits_run.images.validation
    assert scored.test == digits_run.test
    assert scored.unknown == digits_run.unknown
    assert saccade.load(digits_run.model).manifest.evaluation == digits_run.test


def test_same_seed_gives_the_same_figures(tmp_path):
    data = shades(tmp_path / "data")
    runs = [
        saccade.train(
            data, model="t3", epochs=2, seed=7, name=name, out=tmp_path, progress=Silence()
        )
        for name in ("first", "second")
    ]
    assert runs[0].test == runs[1].test
    assert runs[0].fit["history"] == runs[1].fit["history"]


def test_three_pictures_a_class_are_enough_to_run(tmp_path):
    data = shades(tmp_path / "data", count=3)
    run = saccade.train(data, model="t3", epochs=2, out=tmp_path, progress=Silence())
    assert (run.images.train, run.images.validation, run.images.test) == (2, 2, 2)
    assert run.test.accuracy.high - run.test.accuracy.low > 0.5  # two pictures prove little


def test_users_own_parts_are_kept_and_bind_by_name(tmp_path):
    data = tmp_path / "data"
    write_pictures(data / "train" / "b", 9, shade=20)
    write_pictures(data / "train" / "a", 9, shade=180)
    write_pictures(data / "test" / "b", 5, shade=21)  # the test part lacks class "a"
    run = saccade.train(data, model="t3", epochs=20, out=tmp_path, progress=Silence())
    assert run.images.test == 5
    assert run.test.classes == ("a", "b")
    assert run.test.confusion[0] == (0, 0)
    assert run.test.accuracy.value > 0.7  # scored against "a" it would be near 0


def test_bad_picture_is_left_out_and_listed(tmp_path):
    data = shades(tmp_path / "data")
    (data / "dark" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (data / "light" / "notes.txt").write_text("not a picture")
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    run = saccade.train(data, model="t3", epochs=1, out=tmp_path / "runs", progress=Silence())
    assert run.images.left_out == 2
    report = run.report.read_text()
    assert "broken.png" in report
    assert "notes.txt" in report
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before


def test_users_training_copy_of_a_test_picture_is_left_out(tmp_path):
    data = tmp_path / "data"
    shades(data / "train")
    shades(data / "test", count=4)  # the same seeds: the same first four pictures
    run = saccade.train(data, model="t3", epochs=1, out=tmp_path / "runs", progress=Silence())
    assert run.images.test == 8
    assert run.images.left_out == 8
    assert run.images.train + run.images.validation == 16


def test_arrays_are_trained_on_as_they_are(tmp_path):
    random = np.random.default_rng(0)
    dark = random.integers(0, 90, (20, 8, 8), dtype=np.uint8)
    light = random.integers(150, 255, (20, 8, 8), dtype=np.uint8)
    y = np.array(["night"] * 20 + ["day"] * 20)
    run = saccade.train(
        (np.concatenate([dark, light]), y), model="t3", epochs=10, out=tmp_path, progress=Silence()
    )
    assert run.classes == ("day", "night")
    assert saccade.load(run.model).predict(light[0]).label == "day"


def test_tutorials_network_with_one_sigmoid_makes_a_whole_run(tmp_path):
    data = tmp_path / "data"
    write_pictures(data / "dark", 12, shade=20, side=32)
    write_pictures(data / "light", 12, shade=180, side=32)
    run = saccade.train(data, model="t7", epochs=3, out=tmp_path, progress=Silence())
    answer = saccade.load(run.model).predict(data / "dark" / "0.png")
    assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-5)


def test_users_function_makes_a_whole_run(tmp_path, monkeypatch):
    (tmp_path / "own_network.py").write_text(
        "import keras\n"
        "def build(input_shape, num_classes):\n"
        "    return keras.Sequential([keras.Input(input_shape), keras.layers.Rescaling(1 / 255),\n"
        "        keras.layers.Flatten(), keras.layers.Dense(num_classes)])\n"
    )
    monkeypatch.chdir(tmp_path)
    data = shades(tmp_path / "data")
    run = saccade.train(data, model="own_network:build", epochs=2, out=tmp_path, progress=Silence())
    assert [layer["kind"] for layer in run.layers][-1] == "Dense"


def test_one_class_is_refused_plainly(tmp_path):
    write_pictures(tmp_path / "data" / "only", 5, shade=20)
    with pytest.raises(DataError, match="at least two.*found one, 'only'"):
        saccade.train(tmp_path / "data", epochs=1, out=tmp_path, progress=Silence())


def test_class_with_one_picture_is_refused_plainly(tmp_path):
    data = shades(tmp_path / "data")
    write_pictures(data / "rare", 1, shade=100)
    with pytest.raises(DataError, match="'rare'"):
        saccade.train(data, model="t3", epochs=1, out=tmp_path, progress=Silence())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": None}, "give the pictures"),
        ({"model": "resnet999"}, "no model is called 'resnet999'; choose from auto, t3"),
        ({"budget": "soon"}, "a budget is a time"),
        ({"epochs": 0}, "from 1"),
        ({"epochs": 1, "budget": "1m"}, "not both"),
        ({"name": "../elsewhere"}, "one short folder"),
        ({"seed": -1}, "a seed is"),
    ],
)
def test_settings_are_refused_before_any_picture_is_read(tmp_path, arguments, message):
    arguments = {"data": tmp_path / "absent", "out": tmp_path / "runs"} | arguments
    data = arguments.pop("data")
    with pytest.raises(SettingsError, match=message):
        saccade.train(data, progress=Silence(), **arguments)
    assert not (tmp_path / "runs").exists()


def test_run_that_exists_is_never_written_over(tmp_path):
    data = shades(tmp_path / "data")
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    with pytest.raises(SettingsError, match="exists; choose another --name"):
        saccade.train(
            data, model="t3", epochs=1, name="mine", out=tmp_path / "runs", progress=Silence()
        )


def test_report_is_written_again_from_the_folder(digits_run, tmp_path):
    import shutil

    moved = tmp_path / "moved"
    shutil.copytree(digits_run.folder, moved)
    (moved / "report.html").unlink()
    from saccade.report import write_run_report

    path = write_run_report(open_run(moved))
    assert path == moved / "report.html"
    assert "digits" in path.read_text() or "moved" in path.read_text()


def test_damaged_run_is_refused_in_one_line(tmp_path):
    with pytest.raises(SettingsError, match="not a run's folder"):
        open_run(tmp_path)
    (tmp_path / "run.json").write_text('{"version": 1}')
    with pytest.raises(DataError, match="damaged"):
        open_run(tmp_path)
    (tmp_path / "run.json").write_text('{"version": 99}')
    with pytest.raises(DataError, match="not of version 1"):
        open_run(tmp_path)


def test_run_that_takes_longer_than_its_budget_says_so(tmp_path):
    data = shades(tmp_path / "data")
    run = saccade.train(data, budget=0.05, out=tmp_path / "runs", progress=Silence())
    assert any("longer than the budget of 0.05 s" in note for note in run.notes)
    assert "longer than the budget" in run.report.read_text()


def test_run_that_ran_out_of_epochs_says_so(digits_run):
    rich = replace(digits_run, settings=dict(digits_run.settings) | {"budget_s": 600.0})
    (note,) = missed(rich, Clock())
    assert "ended early, after 0 s of 600 s" in note
    assert missed(digits_run, Clock()) == ()


def test_runs_that_begin_in_one_second_have_folders_of_their_own(tmp_path):
    settings = TrainSettings(epochs=1)
    folders = []
    for _ in range(12):  # well within a second or two, so that most names are taken
        request = new_request("digits", test=None, settings=settings, name=None, out=tmp_path)
        request.folder.mkdir()
        folders.append(request.folder)
    assert len(set(folders)) == 12
    assert any(folder.name.endswith("-2") for folder in folders)


def training_section(run: saccade.Run) -> str:
    return run.report.read_text().partition('<section id="training">')[2].partition("</section>")[0]


def test_asked_changes_reach_the_plan_the_pictures_and_the_report(tmp_path):
    """Training pictures alone are changed: the first of each row is one of them, as it is."""
    asked = {"rotate": 20, "fill": "nearest", "flip": True}
    run = saccade.train(
        "digits", model="t3", augment=asked, epochs=1, out=tmp_path, progress=Silence()
    )
    assert run.settings["augment"] == "rotate=20,flip,fill=nearest"
    assert run.plan["augmentation"] == run.fit["augmentation"]
    assert run.fit["augmentation"]["rotate"] == 20
    assert any("mirrored, as asked, but may not look it" in note for note in run.notes)
    shown = np.load(run.folder / "augmented.npz")["pixels"]
    assert (shown.shape, shown.dtype) == ((4, 6, 8, 8, 1), np.uint8)
    source = open_source("digits", progress=Silence()).arrays
    index = read_index(run.folder / "index.parquet")
    train = source[index.rows_of(TRAIN)]
    for versions in shown:
        assert (train.reshape(len(train), -1) == versions[0].reshape(-1)).all(axis=1).any()
        assert (versions[1:] != versions[0]).any()
    page = training_section(run)
    assert "rotated by up to 20° either way" in page
    assert page.count('alt="training picture') == 24
    write_run_report(open_run(run.folder))
    assert training_section(run) == page
    (run.folder / "augmented.npz").unlink()
    with pytest.raises(DataError, match=r"augmented\.npz cannot be read.*train again"):
        write_run_report(run)
