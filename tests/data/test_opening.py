from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from saccade.data.opening import open_source
from saccade.errors import DataError
from saccade.progress import Silence


def open_it(data, test=None):
    return open_source(data, test=test, progress=Silence())


def folder_of(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def test_a_folder_by_string_and_path(tmp_path):
    root = folder_of(tmp_path / "photos", "cat/1.jpg", "dog/1.jpg")
    assert len(open_it(str(root)).entries) == len(open_it(root).entries) == 2


def test_a_named_set_and_a_folder_of_its_name(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    folder_of(tmp_path / "digits", "cat/1.jpg", "dog/1.jpg")
    monkeypatch.chdir(tmp_path)
    assert len(open_it("digits").entries) == 1797
    assert len(open_it("./digits").entries) == 2
    assert len(open_it(Path("digits")).entries) == 2


def test_arrays_and_tables_and_archives(tmp_path):
    x = np.zeros((2, 4, 4), np.uint8)
    assert len(open_it((x, ["a", "b"])).entries) == 2
    np.savez(tmp_path / "S.NPZ", x=x, y=["a", "b"])
    (tmp_path / "S.NPZ.npz").rename(tmp_path / "S.NPZ")
    assert len(open_it(tmp_path / "S.NPZ").entries) == 2
    (tmp_path / "t.csv").write_text("path,label\na.jpg,x\n")
    assert len(open_it(tmp_path / "t.csv").entries) == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            "cifar-10",
            "there is no 'cifar-10'; the named sets are digits, fashion-mnist, mnist, cif",
        ),
        ("nowhere/at/all", "there is no 'nowhere/at/all'"),
        ("x" * 5000, "there is no 'xxx"),
        ("a\0b", "there is no"),
        (7, "data is a path, the name of a set or arrays .*; got int"),
    ],
)
def test_what_is_not_there(data, message):
    with pytest.raises(DataError, match=message) as caught:
        open_it(data)
    assert len(str(caught.value)) < 400


def test_a_file_of_another_kind(tmp_path):
    (tmp_path / "set.rar").write_bytes(b"x")
    with pytest.raises(DataError, match=r"is not a kind of data that is read; wanted a folder"):
        open_it(tmp_path / "set.rar")


def test_test_data_becomes_the_test_part(tmp_path):
    data = folder_of(tmp_path / "a", "train/cat/1.jpg", "train/dog/1.jpg", "notes.txt")
    # The test data lacks a class, and calls its own folder by another part's name.
    test = folder_of(tmp_path / "b", "val/dog/1.jpg", "val/dog/2.jpg", "x.txt")
    source = open_it(data, test)
    assert [(entry.path, entry.label, entry.part) for entry in source.entries] == [
        ("train/cat/1.jpg", "cat", "train"),
        ("train/dog/1.jpg", "dog", "train"),
        ("test:val/dog/1.jpg", "dog", "test"),
        ("test:val/dog/2.jpg", "dog", "test"),
    ]
    assert [path for path, _ in source.left_out] == ["notes.txt", "test:x.txt"]
    contents = {row: Path(path).read_bytes() for row, path in source.payloads([3, 0, 2])}
    assert contents == {0: b"train/cat/1.jpg", 2: b"val/dog/1.jpg", 3: b"val/dog/2.jpg"}


def test_test_arrays_join_when_their_shape_is_the_same():
    x = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4)
    same = open_it((x, [0, 1]), (x[:1] + 100, [1]))
    np.testing.assert_array_equal(same.arrays[..., 0], np.concatenate([x, x[:1] + 100]))
    other = open_it((x, [0, 1]), (x[:1, :2], [1]))
    assert other.arrays is None
    assert {row: pixels.shape for row, pixels in other.payloads([0, 2])} == {
        0: (4, 4, 1),
        2: (2, 4, 1),
    }


def test_two_test_parts_are_refused(tmp_path):
    data = folder_of(tmp_path / "a", "train/cat/1.jpg", "test/dog/1.jpg")
    with pytest.raises(DataError, match="a has a test part of its own; leave out"):
        open_it(data, data)


def test_empty_path_is_not_the_current_folder():
    with pytest.raises(DataError, match="path is empty"):
        open_source("", progress=Silence())
