from __future__ import annotations

import hashlib
import os
import sys
import tarfile
import tempfile
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saccade.data import scan
from saccade.data.folder import FolderSource
from saccade.data.index import Index
from saccade.data.opening import open_source
from saccade.data.picture import inspect
from saccade.data.scan import build_index
from saccade.progress import Progress, Silence, Stage


def index_of(data: object, test: object = None) -> Index:
    return build_index(open_source(data, test=test, progress=Silence()), progress=Silence())


def same(first: Index, second: Index) -> bool:
    return all(
        np.array_equal(getattr(first, field.name), getattr(second, field.name))
        for field in fields(Index)
    )


def picture_folder(root: Path) -> Path:
    for part, label, mode in (("train", "cat", "L"), ("train", "dog", "RGB"), ("test", "dog", "P")):
        folder = root / part / label
        folder.mkdir(parents=True)
        Image.new(mode, (7, 5), 3).save(folder / "1.png")
    (root / "train/cat/2.jpg").write_bytes(b"no picture at all")
    (root / "train/dog/notes.txt").write_bytes(b"notes")
    return root


def test_rows_hold_what_the_files_are(tmp_path):
    index = index_of(picture_folder(tmp_path))
    assert index.classes == ("cat", "dog")
    assert index.path.tolist() == [
        "test/dog/1.png",
        "train/cat/1.png",
        "train/cat/2.jpg",
        "train/dog/1.png",
        "train/dog/notes.txt",
    ]
    assert index.label.tolist() == [1, 0, 0, 1, -1]
    assert index.part.tolist() == [2, 0, 0, 0, -1]
    assert index.usable.tolist() == [True, True, False, True, False]
    for row in np.flatnonzero(index.usable):
        content = (tmp_path / index.path[row]).read_bytes()
        assert index.sha256[row] == hashlib.sha256(content).hexdigest()
        assert (index.width_px[row], index.height_px[row]) == (7, 5)
    assert index.mode.tolist() == ["P", "L", "", "RGB", ""]
    assert "palette" in index.flags[0]
    assert index.reason[2].startswith("not a picture")
    assert index.reason[4] == "not a picture: its name ends in .txt"


def test_labels_bind_by_name_across_parts(tmp_path):
    folder = picture_folder(tmp_path / "data")
    other = tmp_path / "other"
    for label in ("zebra", "dog"):
        (other / label).mkdir(parents=True)
        Image.new("L", (2, 2)).save(other / label / "1.png")
    (folder / "test").rename(tmp_path / "gone")
    (folder / "train/dog/notes.txt").unlink()
    index = index_of(folder, other)
    named = {path: index.classes[code] for path, code in zip(index.path, index.label, strict=True)}
    assert index.classes == ("cat", "dog", "zebra")
    assert named["test:dog/1.png"] == named["train/dog/1.png"] == "dog"
    assert named["test:zebra/1.png"] == "zebra"


def test_workers_change_nothing(tmp_path, monkeypatch):
    folder = tmp_path / "photos"
    for label in ("a", "b"):
        (folder / label).mkdir(parents=True)
        for number in range(300):
            Image.new("L", (number % 9 + 1, 4)).save(folder / label / f"{number}.png")
    with tarfile.open(tmp_path / "photos.tar", "w") as archive:
        archive.add(folder, "photos")
    here = index_of(folder)
    monkeypatch.setattr(scan, "_FIRST_LOOK_S", 0.0)
    monkeypatch.setattr(scan, "_WORTH_WORKERS_S", 0.0)
    assert same(index_of(folder), here)
    packed = index_of(tmp_path / "photos.tar")
    assert packed.sha256.tolist() == here.sha256.tolist()
    assert packed.usable.all()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_arrays_are_described_as_single_pictures_are(channels):
    x = np.random.default_rng(0).integers(0, 256, (4, 6, 5, channels), dtype=np.uint8)
    index = index_of((x, [10, 9, 9, 10]))
    for row, picture in enumerate(x):
        facts = inspect(picture)
        assert index.sha256[row] == facts.sha256
        assert (index.width_px[row], index.height_px[row]) == (facts.width_px, facts.height_px)
        assert index.mode[row] == facts.mode
        assert index.flags[row] == ";".join(facts.flags)
    assert index.classes == ("10", "9")
    assert index.label.tolist() == [0, 1, 1, 0]


def test_arrays_of_two_shapes_are_scanned_one_by_one():
    x = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4)
    index = index_of((x, [0, 1]), (x[:1, :2], [1]))
    assert index.height_px.tolist() == [4, 4, 2]
    assert index.usable.all()


def test_a_file_that_vanished_or_is_a_folder_is_one_row(tmp_path):
    source = FolderSource(picture_folder(tmp_path))
    (tmp_path / "train/cat/1.png").unlink()
    (tmp_path / "train/dog/1.png").unlink()
    (tmp_path / "train/dog/1.png").mkdir()
    index = build_index(source, progress=Silence())
    assert index.usable.tolist() == [True, False, False, False, False]
    assert all(reason and "\n" not in reason for reason in index.reason[1:])


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="changes who reads")
def test_an_unreadable_file_is_one_row():
    with tempfile.TemporaryDirectory() as folder:
        root = picture_folder(Path(folder))
        root.chmod(0o755)
        (root / "train/cat/1.png").chmod(0)
        source = FolderSource(root)
        os.seteuid(65534)
        try:
            index = build_index(source, progress=Silence())
        finally:
            os.seteuid(0)
    assert "ermission denied" in index.reason[1]
    assert index.usable.sum() == 2


class Counted(Stage):
    def __init__(self) -> None:
        self.done = 0.0

    def advance(self, amount: float = 1) -> None:
        self.done += amount

    def describe(self, text: str) -> None:
        pass


class Counting(Progress):
    def __init__(self) -> None:
        self.stages: dict[str, tuple[float | None, Counted]] = {}

    def start(self, name: str, total: float | None) -> Stage:
        self.stages[name] = (total, Counted())
        return self.stages[name][1]

    def finish(self, stage: Stage) -> None:
        pass

    def note(self, text: str) -> None:
        pass


def test_progress_counts_every_picture(tmp_path):
    progress = Counting()
    build_index(FolderSource(picture_folder(tmp_path)), progress=progress)
    total, stage = progress.stages["scan"]
    assert total == stage.done == 4


@pytest.mark.parametrize("name", ["bad-inputs.tar.gz", "exif-orientations.tar"])
def test_every_bad_file_is_one_row_with_one_line(datasets, tmp_path, name):
    with tarfile.open(datasets / name) as archive:
        archive.extractall(tmp_path, filter="data")
        files = {member.name for member in archive.getmembers() if member.isfile()}
    index = index_of(tmp_path)
    assert set(index.path) == files
    assert len(index) == len(files)
    assert all(len(r) < 200 and "\n" not in r and r == r.strip() for r in index.reason)
    assert index.usable.sum() >= 18
    packed = index_of(datasets / name)
    assert packed.path.tolist() == index.path.tolist()
    assert packed.usable.tolist() == index.usable.tolist()
    assert packed.sha256.tolist() == index.sha256.tolist()
