"""Series by names and by looks: on written names, on planted pictures, on real ones."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.test_split import make_index
from tests.recipe.test_kinship import prepared

from saccade.data import build_index, numbered_series, open_source, resemblance
from saccade.data.index import Index
from saccade.data.series import runs_of, sampled_series
from saccade.errors import DataError
from saccade.progress import Silence
from saccade.recipe.folds import in_folds
from saccade.recipe.prepare import data_notes
from saccade.types import TEST


def index_of(paths, label, part=None) -> Index:
    """An index of pictures by name alone."""
    classes = tuple("abcdef"[: max(label, default=-1) + 1])
    return make_index(label, parts=part, classes=classes).with_columns(
        path=np.array(paths, object), sha256=np.full(len(paths), "", object)
    )


def named(series, *, frames=4, folders="ab"):
    """Names such as a/film3-0.png, and the label of each: its folder's place."""
    names = [f"{f}/{s}-{i}.png" for f in folders for s in series for i in range(frames)]
    return names, [folders.index(name[0]) for name in names]


def films(folder: Path, *, num: int, frames: int, alike: bool = True) -> Path:
    """Two classes of `num` films each; frames of one look alike, or like nothing."""
    random = np.random.default_rng(0)
    for label in "ab":
        for film in range(num):
            scene = random.integers(0, 200, (20, 20))
            for frame in range(frames):
                path = folder / label / f"film{film:02}-{frame}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                shown = scene if alike else random.integers(0, 200, (20, 20))
                pixels = shown + random.integers(0, 40, (20, 20))
                Image.fromarray(pixels.astype(np.uint8)).save(path)
    return folder


def test_names_that_differ_in_their_last_number_are_a_series():
    names, label = named([f"film{n}" for n in range(5)])
    number = numbered_series(index_of([*names, "a/other.png", "b/film0-x.png"], [*label, 0, 1]))
    assert number is not None
    assert number[-2:].tolist() == [-1, -1]
    assert len(set(number[:-2].tolist())) == 10
    for row, name in enumerate(names):
        same = {names[other] for other in np.flatnonzero(number == number[row])}
        assert same == {other for other in names if other.rpartition("-")[0] == name[:7]}


@pytest.mark.parametrize(
    ("names", "label"),
    [
        named(["cat"], frames=40),  # one long count, as most folders have
        named([f"film{n}" for n in range(4)]),  # too few to lie in every part
        named([f"film{n}" for n in range(5)], frames=2),  # pairs prove nothing
        ([f"{f}/{n:08x}z.png" for f in "ab" for n in range(40)], [0] * 40 + [1] * 40),
        ([str(n) for n in range(40)], [n % 2 for n in range(40)]),  # rows of an array
        ([], []),
    ],
)
def test_other_names_show_no_series(names, label):
    assert numbered_series(index_of(names, label)) is None


def test_one_class_without_series_leaves_all_without():
    names, label = named([f"film{n}" for n in range(6)])
    plain = [f"b/{n:03}.png" for n in range(24)]
    index = index_of([*names[:24], *plain], [*label[:24], *[1] * 24])
    assert numbered_series(index) is None


def test_test_pictures_do_not_count_towards_series():
    names, label = named([f"film{n}" for n in range(5)])
    part = [TEST if "film4" in name else -1 for name in names]
    assert numbered_series(index_of(names, label, part)) is None


def test_resemblance_by_hand():
    """Two series of two in one class: three of four are nearest to their own."""
    thumbs = np.array([[[0, 9, 0, 0]], [[0, 8, 1, 0]], [[0, 0, 9, 0]], [[0, 7, 2, 0]]], np.uint8)
    found = resemblance(thumbs, np.array([0, 0, 1, 1]), np.zeros(4, int))
    assert found.share == 0.75  # the last looks most like the second; the third like the last
    assert found.by_chance == pytest.approx(1 / 3)
    assert found.is_clear


def test_series_of_unlike_pictures_are_no_series():
    thumbs = np.random.default_rng(0).integers(0, 256, (400, 8, 8), dtype=np.uint8)
    found = resemblance(thumbs, np.arange(400) // 8, np.zeros(400, int))
    assert found.share < 0.1
    assert not found.is_clear


def test_sample_holds_whole_series():
    number = np.repeat(np.arange(-1, 300), 20)
    rows = sampled_series(number, np.zeros(len(number), int), seed=0)
    names, counts = np.unique(number[rows], return_counts=True)
    assert 900 < len(rows) <= 1000
    assert (counts == 20).all()
    assert -1 not in names


@pytest.mark.parametrize(
    ("classes", "series", "frames"), [(2, 5, 400), (200, 5, 10), (1, 5, 3_000), (3, 40, 60)]
)
def test_sample_shows_each_drawn_class_several_series(classes, series, frames):
    """Else nothing else of its class would be there to look like."""
    number = np.repeat(np.arange(classes * series), frames)
    label = number // series
    rows = sampled_series(number, label, seed=0)
    assert min(500, classes * series * frames) <= len(rows) <= 1000
    drawn = np.unique(np.stack([label[rows], number[rows]], axis=1), axis=0)
    per_class = np.bincount(drawn[:, 0])
    assert np.sort(per_class[per_class > 0])[1:].min(initial=5) >= 5  # but of the last, cut short
    assert np.bincount(number[rows]).max() <= 100


def test_nothing_to_compare_is_no_series():
    assert len(sampled_series(np.full(4, -1), np.zeros(4, int), seed=0)) == 0
    for label in ([], [0, 1, 2]):  # nothing; a series with each picture of another class
        thumbs = np.zeros((len(label), 8, 8), np.uint8)
        found = resemblance(thumbs, np.zeros(len(label), int), np.array(label, int))
        assert not found.is_clear


def test_long_films_stay_on_one_side_too(tmp_path):
    data = films(tmp_path / "data", num=5, frames=260)
    _, found = prepared(data, tmp_path)
    assert any("names show 10 series" in note for note in data_notes(found))


def test_series_stay_on_one_side_of_the_split(tmp_path):
    data = films(tmp_path / "data", num=8, frames=5)
    _, found = prepared(data, tmp_path)
    part_of: dict[str, set[int]] = {}
    for path, part in zip(found.index.path, found.index.part, strict=True):
        part_of.setdefault(path.rpartition("-")[0], set()).add(int(part))
    assert len(part_of) == 16
    assert all(len(parts) == 1 for parts in part_of.values())
    assert set.union(*part_of.values()) == {0, 1, 2}
    assert any("names show 16 series" in note for note in data_notes(found))
    train = found.pictures(0)
    assert train.group is not None
    assert len(set(train.group.tolist())) == len(train.rows) // 5


@pytest.mark.parametrize(("alike", "group"), [(True, "none"), (False, None)])
def test_series_are_dealt_out_where_asked_or_where_they_do_not_look_it(tmp_path, alike, group):
    data = films(tmp_path / "data", num=8, frames=5, alike=alike)
    _, found = prepared(data, tmp_path, group=group)
    assert found.pictures(0).group is None
    assert not any("series" in note for note in data_notes(found))


def test_more_folds_than_series_names_the_series(tmp_path):
    """The user named no groups: the error says what was found, and how to do without."""
    data = films(tmp_path / "data", num=8, frames=5)
    run, found = prepared(data, tmp_path, folds=8)
    assert len(in_folds(found, run.settings)) == 8
    folds = replace(run.settings, folds=9)
    wanted = "'a' has 8, 'b' has 8; .*names show 16 series, such as that of a/film.*--group none"
    with pytest.raises(DataError, match=wanted):
        in_folds(found, folds)


def test_runs_are_ten_numbers_of_one_series_in_any_order():
    names = [f"a/film-{n}.png" for n in (3, 12, 9, 10, 119)] + ["a/other-9.png", "a/x.png"]
    number = np.array([0, 0, 0, 0, 0, 1, -1])
    run = runs_of(index_of(names, [0] * 7), number)
    assert run[0] == run[2] != run[1] == run[3]
    assert len(set(run[[0, 1, 4, 5]])) == 4
    assert run[6] == -1


def test_real_hands_and_riders_come_in_series():
    folder = os.environ.get("SACCADE_DATASETS")
    path = Path(folder or ".") / "rock-paper-scissors-28px.tar"
    if not path.exists():
        pytest.skip("needs rock-paper-scissors-28px.tar in the folder SACCADE_DATASETS names")
    index = build_index(open_source(path, progress=Silence()), progress=Silence())
    number = numbered_series(index)
    assert number is not None
    assert len(np.unique(number[number >= 0])) == 21  # 7 hands a class, as its makers say
