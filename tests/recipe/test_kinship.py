"""Doubtful data on the whole journey: near copies, groups, exclusions and leaks in real runs."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from benchmarks import planted

import saccade
from saccade.check.data import check_data
from saccade.cli.words import answer
from saccade.config import choose_settings
from saccade.data import Index, Kin, read_index
from saccade.errors import DataError, SettingsError
from saccade.progress import Silence
from saccade.recipe.clock import Clock
from saccade.recipe.kinship import _across
from saccade.recipe.prepare import data_notes, prepare
from saccade.recipe.request import new_request, resumed_request, write_started
from saccade.run import open_run
from saccade.types import TEST


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def with_copies(root: Path, count: int = 36) -> Path:
    """Two classes of `count` pictures, each with one changed copy beside it."""
    random = np.random.default_rng(0)
    for number, picture in enumerate(planted.blobs(2 * count)):
        kind = planted.KINDS[number % len(planted.KINDS)]
        name = f"{'ab'[number % 2]}/{number:03}"
        write(root / f"{name}-first.jpg", planted.as_jpeg(picture, ""))
        write(
            root / f"{name}-copy.jpg", planted.as_jpeg(planted.changed(picture, kind, random), kind)
        )
    return root


def prepared(data, tmp_path, **settings):
    settings = choose_settings(
        **({"model": "t3", "budget": None, "epochs": 1, "seed": 0} | settings)
    )
    request = new_request(data, test=None, settings=settings, name="run", out=tmp_path / "runs")
    return request, prepare(request, clock=Clock(), progress=Silence())


def test_planted_near_copies_never_lie_on_two_sides(tmp_path):
    data = with_copies(tmp_path / "data")
    for seed in range(3):
        index = prepared(data, tmp_path, seed=seed)[1].index
        part = dict(zip(index.path.tolist(), index.part.tolist(), strict=True))
        pairs = [(p, p.replace("-copy", "-first")) for p in part if "-copy" in p]
        assert len(pairs) == 72
        assert [pair for pair in pairs if part[pair[0]] != part[pair[1]]] == []
        assert set(part.values()) == {0, 1, 2}


def kin_at_random(num_rows, num_pairs, *, left_out):
    """Return an index of so many rows in three parts, some left out, and the pairs among them."""
    random = np.random.default_rng(0)
    first, second = np.sort(random.integers(0, num_rows, (2, num_pairs)), axis=0)
    score = random.random(num_pairs).astype(np.float32)
    columns = {"width_px": 1, "height_px": 1, "label": 0, "sha256": "", "mode": "L", "flags": ""}
    index = Index(
        classes=("a",),
        path=np.array([f"{row}" for row in range(num_rows)], object),
        part=random.integers(0, 3, num_rows).astype(np.int8),
        reason=np.where(random.random(num_rows) < left_out, "blank", "").astype(object),
        **{name: np.full(num_rows, value) for name, value in columns.items()},
    )
    return index, Kin(groups=None, near=(first, second, score))


def test_leaks_are_those_that_a_look_at_each_pair_finds():
    index, kin = kin_at_random(60, 200, left_out=0.2)
    wanted = []
    for first, second, score in zip(*kin.near, strict=True):
        parts = index.part[first], index.part[second]
        if index.reason[first] or index.reason[second]:
            continue
        if (parts[0] == TEST) != (parts[1] == TEST):
            ends = (first, second) if parts[0] == TEST else (second, first)
            wanted.append((*ends, score))
    assert len(wanted) > 30
    assert _across(index, kin) == wanted


def test_leaks_among_many_pictures_take_no_quadratic_step():
    """A look at every row for each pair would take minutes."""
    index, kin = kin_at_random(300_000, 300_000, left_out=0.1)
    began = time.process_time()
    assert len(_across(index, kin)) > 100_000
    assert time.process_time() - began < 5


def test_near_copies_of_two_labels_are_counted_as_check_counts_them(tmp_path):
    """Six pictures of class a, mirrored into b, and one into its own class."""
    data, pictures = tmp_path / "data", planted.blobs(48)
    for number, picture in enumerate(pictures):
        write(data / "ab"[number % 2] / f"{number:02}.jpg", planted.as_jpeg(picture, ""))
    for number in range(0, 14, 2):
        turned = planted.changed(pictures[number], "mirrored", np.random.default_rng(0))
        write(data / "ab"[number < 12] / f"x{number}.jpg", planted.as_jpeg(turned, ""))
    (found,) = (f for f in check_data(data) if f.name == "near-copies-conflicting-labels")
    assert len(found.rows) == 6
    notes = data_notes(prepared(data, tmp_path)[1])
    (note,) = (note for note in notes if "different labels" in note)
    assert note.startswith("6 pairs of near copies have different labels")


def test_leak_of_a_users_split_has_both_accuracies(tmp_path):
    """Half of the test pictures are changed copies of training pictures."""
    data, random = tmp_path / "data", np.random.default_rng(1)
    for number, picture in enumerate(planted.blobs(64)):
        label = "ab"[number % 2]
        part = "test" if number < 16 else "train"
        write(data / part / label / f"{number:02}.jpg", planted.as_jpeg(picture, ""))
        if part == "train" and number < 32:
            copy = planted.changed(picture, "mirrored", random)
            write(data / "test" / label / f"copy-{number}.jpg", planted.as_jpeg(copy, ""))
        if number == 40:
            write(data / "test" / label / "equal.jpg", planted.as_jpeg(picture, ""))
    run = saccade.train(data, model="t3", epochs=4, out=tmp_path / "runs", progress=Silence())

    import pyarrow.parquet as pq

    rows = pq.read_table(run.folder / "predictions.parquet").to_pylist()
    right = {row["path"]: row["label"] == row["predicted"] for row in rows}
    clean = [is_right for path, is_right in right.items() if "copy-" not in path]
    assert run.leak is not None
    assert run.leak.num_images == 16
    assert len(clean) == 17
    assert run.leak.accuracy.value == sum(right.values()) / 33 == run.test.accuracy.value
    assert run.leak.accuracy_without.value == sum(clean) / 17
    assert {Path(copy["path"]).name for copy in run.leak.copies} >= {"copy-16.jpg", "copy-31.jpg"}
    assert "1 picture equal to a test picture was left out of training" in " ".join(run.data_notes)
    document = json.loads((run.folder / "run.json").read_text())
    assert document["leak"] == run.leak.to_json()
    assert open_run(run.folder).leak == run.leak
    assert f"Leak      {run.leak.sentence()}" in answer(run).splitlines()
    assert "16 of 33 test pictures have a near copy" in run.report.read_text()


def test_group_and_exclude_travel_and_resume(tmp_path):
    data = tmp_path / "data"
    for number, picture in enumerate(planted.blobs(48, side_px=32)):
        write(
            data / "ab"[number % 2] / f"p{number // 4}-{number}.jpg", planted.as_jpeg(picture, "")
        )
    listed = tmp_path / "list.csv"
    listed.write_text("path,other\na/p0-0.jpg,a/p0-2.jpg\n")
    request, before = prepared(data, tmp_path, group=r"p(\d+)-", exclude=listed)
    index = before.index
    patients: dict[str, set[int]] = {}
    for path, part in zip(index.path[index.usable], index.part[index.usable], strict=True):
        patients.setdefault(path[2:].partition("-")[0], set()).add(int(part))
    assert {len(parts) for parts in patients.values()} == {1}
    assert index.reason[0] == "excluded by list.csv: copy of a/p0-2.jpg"

    write_started(request, before.plan, before.data_digest)
    again = prepare(resumed_request(request.folder, None, None), clock=Clock(), progress=Silence())
    assert np.array_equal(again.index.part, index.part)
    listed.write_text("path\na/p0-2.jpg\n")
    with pytest.raises(DataError, match="has changed since"):
        prepare(resumed_request(request.folder, None, None), clock=Clock(), progress=Silence())
    listed.write_text("path\na/p0-0.jpg\n")
    run = saccade.train(resume=request.folder, progress=Silence())
    assert run.settings["group"] == r"p(\d+)-"
    assert run.provenance["settings"]["exclude"] == "list.csv"
    assert len(run.provenance["exclude_digest"]) == 64
    assert run.images.left_out == 1
    assert read_index(run.folder / "index.parquet").reason[0] == "excluded by list.csv"


def test_groups_that_the_user_set_apart_are_told(tmp_path):
    data = tmp_path / "data"
    for number, picture in enumerate(planted.blobs(24, side_px=32)):
        part = "test" if number % 6 == 0 else "train"
        name = f"{part}/{'ab'[number % 4 // 2]}/p{number // 12}-{number}.jpg"
        write(data / name, planted.as_jpeg(picture, ""))
    _, ready = prepared(data, tmp_path, group=r"p(\d+)-")
    (note,) = (note for note in ready.kinship.notes(ready.index) if "groups lie" in note)
    assert note.startswith("2 of 2 groups lie in several parts, as you set them apart, with 4 test")


@pytest.mark.parametrize("option", [{"group": "p(1)"}, {"exclude": "list.csv"}])
def test_a_stopped_run_settles_group_and_exclude(tmp_path, option):
    with pytest.raises(SettingsError, match=f"leave out --{next(iter(option))}"):
        saccade.train(resume=tmp_path, progress=Silence(), **option)
