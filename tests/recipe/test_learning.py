"""What more pictures and more time are worth, and what a run says of what to do next."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import saccade
from saccade.cli import words
from saccade.config import TrainSettings
from saccade.data import Kin
from saccade.progress import Silence
from saccade.recipe.learning import EXTRA, subsets, training_share, units
from saccade.run import open_run

FLIPPED = 0.1


@pytest.fixture(scope="module")
def flipped(tmp_path_factory) -> saccade.Run:
    """A run on real digits of which one label in ten is wrong, its learning curve measured."""
    digits = load_digits()
    random = np.random.default_rng(0)
    label = digits.target.copy()
    wrong = random.random(len(label)) < FLIPPED
    label[wrong] = (label[wrong] + random.integers(1, 10, wrong.sum())) % 10
    return saccade.train(
        (np.round(digits.images * 255 / 16).astype(np.uint8), label),
        model="t5",
        epochs=6,
        learning_curve=True,
        out=tmp_path_factory.mktemp("runs"),
        progress=Silence(),
    )


def advice_of(run: saccade.Run, action: str):
    (found,) = (one for one in run.next_steps.advice if one.action == action)
    return found


def test_flipped_labels_come_first_and_are_found(flipped):
    first = flipped.next_steps.advice[0]
    assert first.action == "labels"
    assert first.measured
    assert first.worth.low <= 100 * FLIPPED <= first.worth.high
    truth = load_digits().target
    suspects = flipped.next_steps.suspects
    right = [str(truth[int(one.path.split("/")[-1])]) == one.looks_like for one in suspects]
    assert len(suspects) >= 8
    assert np.mean(right) > 0.9
    assert first.command == ""  # arrays have no name that a terminal knows


def test_learning_curve_is_of_parts_by_the_same_plan(flipped):
    points = flipped.next_steps.curve.points
    most = flipped.images.train
    assert [point.num_train / most for point in points] == pytest.approx(
        [1 / 8, 1 / 4, 1 / 2, 1], abs=0.01
    )
    best = flipped.fit["history"]["val_accuracy"][flipped.fit["best_epoch"] - 1]
    assert points[-1].num_wrong == round((1 - best) * flipped.images.validation)
    assert points[0].num_wrong > points[-1].num_wrong
    assert advice_of(flipped, "data").measured
    assert advice_of(flipped, "budget").measured
    assert flipped.seconds["learning curve"] > 0


def test_steps_are_kept_and_reported(flipped):
    assert open_run(flipped.folder).next_steps == flipped.next_steps
    html = flipped.report.read_text()
    assert "What to do next" in html
    assert 'data-chart="learning"' in html
    assert "Labels to look at" in html
    assert flipped.next_steps.suspects[0].path in html


def test_measuring_leaves_the_weights_as_they_are(tmp_path):
    digits = load_digits()
    data = digits.images[:200].astype(np.uint8), digits.target[:200]
    runs = [
        saccade.train(
            data,
            model="t3",
            epochs=2,
            learning_curve=asked,
            name=str(asked),
            out=tmp_path,
            progress=Silence(),
        )
        for asked in (False, True)
    ]
    assert runs[0].fit["history"] == runs[1].fit["history"]
    assert runs[0].test == runs[1].test
    assert runs[0].next_steps.curve is None
    assert not advice_of(runs[0], "data").measured


def test_what_was_not_measured_names_the_command_and_its_time(digits_run):
    for action in ("data", "budget"):
        found = advice_of(digits_run, action)
        assert (found.worth, found.measured) == (None, False)
        assert "--learning-curve does so, in about " in found.sentence
        assert found.command.startswith("saccade train digits --epochs 5 --model t5 --out ")
        assert found.command.endswith(" --learning-curve")


def test_parts_are_nested_stratified_and_keep_units_whole():
    random = np.random.default_rng(0)
    label = np.repeat([0, 1], [300, 60])
    unit = np.concatenate([np.arange(300) // 3, 100 + np.arange(60)])
    order = random.permutation(360)
    label, unit = label[order], unit[order]
    parts = subsets(unit, label, (1 / 8, 1 / 4, 1 / 2, 1.0), least=4)
    for part, share in zip(parts, (1 / 8, 1 / 4, 1 / 2, 1), strict=True):
        assert np.bincount(label[part]) == pytest.approx([300 * share, 60 * share], abs=2)
        taken = np.isin(np.arange(360), part)
        assert all(len(set(taken[unit == one])) == 1 for one in np.unique(unit))
    for small, large in zip(parts, parts[1:], strict=False):
        assert set(small) < set(large)


def test_parts_too_small_to_teach_are_left_out():
    parts = subsets(np.arange(16), np.repeat([0, 1], 8), (1 / 8, 1 / 4, 1 / 2), least=4)
    assert [len(part) for part in parts] == [4, 8]


def test_pictures_that_belong_together_are_one_unit():
    rows = np.setdiff1d(np.arange(20), [3])
    digest = np.arange(20, dtype=np.uint64)
    digest[1] = digest[0]  # a copy
    named = np.full(20, -1)
    named[[2, 3, 4]] = 3  # one patient; picture 3 takes no part
    near = (np.array([5]), np.array([6]), np.array([0.9], np.float32))
    found = units(Kin(groups=named, near=near), rows, digest, np.zeros(20, int))
    wanted = np.eye(20, dtype=bool)
    for group in ([0, 1], [2, 4], [5, 6]):
        wanted[np.ix_(group, group)] = True
    assert ((found[:, None] == found) == wanted[np.ix_(rows, rows)]).all()


def test_equal_pictures_of_two_groups_are_one_unit_with_both():
    """Groups 0 to 3 of three pictures each; the last of one group equals the first of the next."""
    rows, groups = np.arange(14), np.append(np.repeat([7, 5, 6, 4], 3), [-1, -1])
    digest = np.arange(14, dtype=np.uint64)
    digest[[2, 5]] = digest[[3, 6]]  # a chain through three groups; the fourth has no copy
    digest[12] = digest[4]  # a picture of no group that is a copy of one with a group
    found = units(Kin(groups=groups), rows, digest, np.zeros(14, int))
    wanted = np.eye(14, dtype=bool)
    for together in ([*range(9), 12], [9, 10, 11]):
        wanted[np.ix_(together, together)] = True
    assert ((found[:, None] == found) == wanted).all()
    for part in subsets(found, np.zeros(14, int), (1 / 8, 1 / 4, 1 / 2), least=1):
        taken = np.isin(rows, part)
        assert all(len(set(taken[digest == one])) == 1 for one in digest)


def test_main_training_leaves_time_for_the_rest():
    asked = TrainSettings(budget_s=60.0, learning_curve=True)
    share = training_share(asked, None)
    assert share * (1 + EXTRA) == pytest.approx(1)
    assert training_share(TrainSettings(budget_s=60.0), None) == 1


def test_classifier_that_learnt_nothing_is_to_learn_and_few_pictures_to_judge(tmp_path):
    """Noise under two names: no class is to be collected, and 12 pictures stop nobody."""
    random = np.random.default_rng(5)
    for number in range(60):
        (folder := tmp_path / "data" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, (8, 8)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    run = saccade.train(
        tmp_path / "data", model="t3", epochs=1, seed=5, out=tmp_path, progress=Silence()
    )
    assert [one.action for one in run.next_steps.advice[:2]] == ["test", "learn"]
    assert not {"class", "stop"} & {one.action for one in run.next_steps.advice}
    assert "--epochs 4 " in advice_of(run, "learn").command
    assert "--seed 5 --folds 5 " in advice_of(run, "test").command
    assert words.next_lines(run.next_steps)[0].startswith("Next      Judge more pictures: ")
