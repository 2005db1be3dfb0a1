"""Cross-validation over real pictures and small networks, whole and stopped."""

from __future__ import annotations

import html
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.elements import Tags

import saccade
from saccade.cli.words import answer
from saccade.config import TrainSettings
from saccade.data import read_index
from saccade.errors import DataError, SettingsError
from saccade.progress import Silence
from saccade.recipe.clock import Clock
from saccade.recipe.folds import in_folds, with_share
from saccade.recipe.prepare import prepare
from saccade.recipe.request import new_request
from saccade.report import write_run_report
from saccade.run import open_run
from saccade.types import TEST, TRAIN, VALIDATION

OPTIONS = {"model": "t3", "epochs": 12, "folds": 3, "seed": 5}


def write_squares(folder: Path, count: int, *, shade: int) -> None:
    """Write noisy 8 px squares, `shade` above and its opposite below."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(shade)
    for number in range(count):
        pixels = random.integers(0, 90, (8, 8, 3)) + shade
        pixels[4:] += 150 - 2 * shade
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")


@pytest.fixture(scope="module")
def squares(tmp_path_factory) -> Path:
    """Two classes of fifteen, with three copies of one picture and a file that is none."""
    root = tmp_path_factory.mktemp("squares")
    write_squares(root / "dark", 13, shade=40)
    write_squares(root / "light", 15, shade=110)
    for number in (13, 14):
        (root / "dark" / f"{number}.png").write_bytes((root / "dark" / "0.png").read_bytes())
    (root / "dark" / "broken.png").write_bytes(b"\x89PNG broken")
    return root


@pytest.fixture(scope="module")
def folded(squares, tmp_path_factory) -> saccade.Run:
    out = tmp_path_factory.mktemp("runs")
    return saccade.train(squares, name="whole", out=out, progress=Silence(), **OPTIONS)


def prepared_for(data, out: Path, **settings):
    asked = TrainSettings(**({"model": "t3", "epochs": 1} | settings))
    request = new_request(data, test=None, settings=asked, name="run", out=out)
    return prepare(request, clock=Clock(), progress=Silence()), asked


def test_every_usable_picture_judges_once_and_copies_in_one_fold(folded):
    table = pq.read_table(folded.folder / "predictions.parquet").to_pydict()
    index = read_index(folded.folder / "index.parquet")
    assert sorted(table["path"]) == sorted(index.path[index.usable])
    assert len(table["path"]) == len(set(table["path"])) == 30
    by_class = Counter(zip(table["label"], table["fold"], strict=True))
    assert all(4 <= by_class[name, fold] <= 6 for name in folded.classes for fold in (1, 2, 3))
    fold = dict(zip(table["path"], table["fold"], strict=True))
    assert fold["dark/0.png"] == fold["dark/13.png"] == fold["dark/14.png"]


def test_figures_are_of_all_folds_and_stand_in_the_bundle(folded):
    table = pq.read_table(folded.folder / "predictions.parquet").to_pydict()
    right = [a == b for a, b in zip(table["label"], table["predicted"], strict=True)]
    assert folded.test.num_images == 30
    assert folded.test.accuracy.value == pytest.approx(np.mean(right))
    trainings = folded.trainings
    assert trainings is not None
    assert (trainings.folds, len(trainings.each)) == (3, 3)
    assert trainings.accuracy == folded.test.accuracy
    for one in trainings.each:
        mine = [ok for ok, fold in zip(right, table["fold"], strict=True) if fold == one.fold]
        assert one.num_images == len(mine)
        assert one.accuracy.value == pytest.approx(np.mean(mine))
    assert len({one.seed for one in trainings.each} | {OPTIONS["seed"]}) == 4
    assert saccade.load(folded.model).manifest.evaluation == folded.test


def test_what_is_shipped_is_one_more_training_on_all_but_a_validation_part(folded, squares):
    images = folded.images
    assert (images.test, images.used, images.left_out) == (0, 30, 1)
    assert 2 <= images.validation <= 4
    assert not (folded.folder / "checkpoint").exists()
    with pytest.raises(DataError, match="trained on"):
        saccade.evaluate(folded.model, squares, progress=Silence())


def test_run_opens_again_and_words_and_report_tell_the_folds(folded):
    assert open_run(folded.folder) == folded
    lines = answer(folded).splitlines()
    assert "of 30 pictures, each judged by a training that never saw it" in lines[0]
    assert folded.trainings.sentence() in lines[1]
    (pictures,) = (line for line in lines if line.startswith("Pictures"))
    assert f"30 used (each to test once; the classifier to ship: {folded.images.train}" in pictures
    write_run_report(folded)
    page = folded.report.read_text()
    assert "Fold by fold" in page
    assert folded.trainings.sentence() in page
    assert "was judged once, by one of 3 trainings" in page
    assert_ends_with_what_to_do_next(folded, page)


def assert_ends_with_what_to_do_next(run: saccade.Run, page: str) -> None:
    assert [facts["id"] for tag, facts in Tags(page).tags if tag == "section"][-1] == "next"
    last = html.unescape(page[page.rindex("What to do next") :])
    assert run.next_steps.advice
    assert all(step.sentence in last for step in run.next_steps.advice)


class Interrupting(Silence):
    """Presses Ctrl-C when a note begins with some words."""

    def __init__(self, words: str) -> None:
        self.words = words
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)
        if text.startswith(self.words):
            raise KeyboardInterrupt


def test_stopped_job_goes_on_with_its_fold_and_ends_the_same(squares, folded, tmp_path):
    stopping = Interrupting("training 3 of 4")
    with pytest.raises(KeyboardInterrupt):
        saccade.train(squares, name="stopped", out=tmp_path, progress=stopping, **OPTIONS)
    run = tmp_path / "stopped"
    assert stopping.notes[-1] == f"stopped; `saccade train --resume {run}` goes on"
    with pytest.raises(SettingsError, match="leave out --folds"):
        saccade.train(resume=run, folds=3, progress=Silence())
    going_on = Interrupting("never")
    resumed = saccade.train(resume=run, progress=going_on)
    assert [note for note in going_on.notes if note.startswith("training")] == [
        "training 3 of 4",
        "training 4 of 4: the classifier to ship",
    ]
    assert resumed.test == folded.test
    assert resumed.fit["history"] == folded.fit["history"]
    assert [one.accuracy for one in resumed.trainings.each] == [
        one.accuracy for one in folded.trainings.each
    ]


def test_repeated_folds_are_others_and_the_figures_are_means(squares, tmp_path):
    options = {"model": "t3", "epochs": 2, "folds": 2, "repeats": 2, "progress": Silence()}
    run = saccade.train(squares, name="twice", out=tmp_path, **options)
    trainings = run.trainings
    assert [(one.repeat, one.fold) for one in trainings.each] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert len({one.seed for one in trainings.each}) == 4
    right = [one.accuracy.value * one.num_images for one in trainings.each]
    assert run.test.num_images == 30
    assert run.test.accuracy.value == pytest.approx(sum(right) / 60)
    assert pq.read_table(run.folder / "predictions.parquet").num_rows == 30
    assert open_run(run.folder) == run
    page = run.report.read_text()
    assert "That was done 2 times, with other folds each time" in page
    assert "was judged 2 times, by one of 2 trainings" in page
    assert_ends_with_what_to_do_next(run, page)


def test_a_repeat_deals_the_folds_anew(squares, tmp_path):
    prepared, settings = prepared_for(squares, tmp_path, folds=3, repeats=2)
    folds = in_folds(prepared, settings)
    tested = [frozenset(fold.index.rows_of(TEST)) for fold in folds]
    usable = set(np.flatnonzero(prepared.index.usable))
    assert set().union(*tested[:3]) == set().union(*tested[3:]) == usable
    assert set(tested[:3]) != set(tested[3:])
    assert settings.num_trainings == 7


def test_each_fold_has_a_validation_part_of_its_own_and_no_kin_across(squares, tmp_path):
    prepared, settings = prepared_for(squares, tmp_path, folds=3, group=r"(\d)\.png")
    folds = in_folds(prepared, settings)
    paths = prepared.index.path
    tested = []
    for fold in folds:
        parts = [set(fold.index.rows_of(part)) for part in (TRAIN, VALIDATION, TEST)]
        assert sum(map(len, parts)) == 30
        assert all(parts)
        groups = [{paths[row][-5] for row in part} for part in parts]
        assert not groups[0] & groups[2]
        assert not groups[1] & groups[2]
        tested += parts[2]
    assert sorted(tested) == np.flatnonzero(prepared.index.usable).tolist()
    assert len({fold.plan.seed for fold in folds}) == 3


def test_budget_is_shared_among_the_trainings(squares, tmp_path):
    prepared, settings = prepared_for(squares, tmp_path, folds=3, epochs=None, budget_s=100.0)
    assert settings.num_trainings == 4
    assert 15 < prepared.plan.budget_s < 25
    options = {"clock": Clock(), "after_s": 10.0}
    assert with_share(prepared, settings, 20.0, trainings=4, **options).plan.budget_s == 20
    late = with_share(prepared, settings, 20.0, trainings=9, **options).plan.budget_s
    assert late == pytest.approx(10, abs=0.5)  # what is left of it, for nine


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (("train", "test"), r"sets apart test \(8 pictures\); leave out --folds, or train on the"),
        (("train", "val", "test"), r"apart validation \(8 pictures\) and test \(8 pictures\)"),
    ],
)
def test_parts_that_the_user_set_apart_are_not_mixed(tmp_path, parts, message):
    for number, part in enumerate(parts):
        write_squares(tmp_path / "data" / part / "dark", 4, shade=20 + number)
        write_squares(tmp_path / "data" / part / "light", 4, shade=120 + number)
    with pytest.raises(DataError, match=message):
        prepared_for(tmp_path / "data", tmp_path, folds=2)


def test_more_folds_than_a_class_has_pictures_are_refused_before_a_run_begins(squares, tmp_path):
    options = {"epochs": 1, "out": tmp_path / "runs", "progress": Silence()}
    with pytest.raises(DataError, match="'dark' has 13; take --folds 13 or fewer"):
        saccade.train(squares, model="t3", folds=14, **options)
    with pytest.raises(SettingsError, match="from 2, got 1; leave it out for one test part"):
        saccade.train(squares, folds=1, **options)
    assert not (tmp_path / "runs").exists()


def test_copies_near_each_other_in_two_folds_are_told(squares, tmp_path):
    """A chain of near copies too long to keep whole lies in several folds: a leak, and named."""
    prepared, settings = prepared_for(squares, tmp_path, folds=3)
    rows = np.flatnonzero(prepared.index.usable)
    near = (rows[:-1], rows[1:], np.full(len(rows) - 1, 0.97, np.float32))
    kinship = replace(prepared.kinship, kin=replace(prepared.kinship.kin, near=near))
    folds = in_folds(replace(prepared, kinship=kinship), settings)
    leak = kinship.leak([one.index for one in folds], rows, np.ones(len(rows), bool))
    assert leak is not None
    part = [one.index.part for one in folds]
    across = {
        row
        for one in part
        for a, b in zip(rows[:-1], rows[1:], strict=True)
        if (one[a] == TEST) != (one[b] == TEST)
        for row in (a, b)
        if one[row] == TEST
    }
    assert leak.num_images == len(across)
