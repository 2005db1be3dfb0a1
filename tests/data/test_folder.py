from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from saccade.data.folder import FolderSource
from saccade.errors import DataError


def fill(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


def read(source: FolderSource) -> dict[str, bytes]:
    pairs = source.payloads(range(len(source.entries)))
    return {source.entries[row].path: Path(path).read_bytes() for row, path in pairs}


def test_payloads_are_the_files_themselves(tmp_path):
    names = ("cat/1.jpg", "dog/ü 2.png", "dog/sub/3.gif")
    source = FolderSource(fill(tmp_path / "photos", *names))
    assert read(source) == {name: name.encode() for name in names}
    assert source.name == "photos"
    assert source.arrays is None


def test_links_are_followed_only_inside(tmp_path):
    root = fill(tmp_path / "photos", "cat/1.jpg", "dog/1.jpg")
    fill(tmp_path, "secret/2.jpg")
    (root / "cat/inside.jpg").symlink_to("../dog/1.jpg")
    (root / "cat/outside.jpg").symlink_to(tmp_path / "secret/2.jpg")
    (root / "cat/broken.jpg").symlink_to("nothing.jpg")
    (root / "cat/loop.jpg").symlink_to("loop.jpg")
    (root / "kitten").symlink_to("cat")
    (root / "away").symlink_to(tmp_path / "secret")
    (root / "dog/up").symlink_to("..")
    source = FolderSource(root)
    assert sorted(read(source)) == ["cat/1.jpg", "cat/inside.jpg", "dog/1.jpg"]
    reasons = dict(source.left_out)
    assert reasons["cat/outside.jpg"] == "a link that leads out of the folder"
    assert reasons["away"] == "a link that leads out of the folder"
    assert reasons["cat/broken.jpg"].startswith("a broken link")
    assert reasons["cat/loop.jpg"].startswith("a broken link")
    assert reasons["kitten"] == "a link to a folder; links to folders are not followed"
    assert reasons["dog/up"] == "a link to a folder; links to folders are not followed"


def test_the_folder_itself_may_be_a_link(tmp_path):
    fill(tmp_path / "real", "cat/1.jpg", "dog/1.jpg")
    (tmp_path / "link").symlink_to("real")
    source = FolderSource(tmp_path / "link")
    assert len(read(source)) == 2
    assert source.name == "link"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in folders")
def test_a_pipe_is_left_out_unopened(tmp_path):
    root = fill(tmp_path, "cat/1.jpg")
    os.mkfifo(root / "cat/pipe.jpg")
    (root / "cat/link.jpg").symlink_to("pipe.jpg")
    assert dict(FolderSource(root).left_out) == {
        "cat/pipe.jpg": "not a file (a pipe or device)",
        "cat/link.jpg": "a link to a pipe or device",
    }


@contextmanager
def nested_folders(root: Path, depth: int) -> Iterator[None]:
    """Make them step by step, because the whole path is longer than a system takes."""
    here = os.getcwd()
    os.chdir(root)
    try:
        for _ in range(depth):
            os.mkdir("deep")
            os.chdir("deep")
        Path("1.jpg").write_bytes(b"x")
        yield
        Path("1.jpg").unlink()
        for _ in range(depth):
            os.chdir("..")
            os.rmdir("deep")
    finally:
        os.chdir(here)


def test_two_thousand_nested_folders_give_one_message(tmp_path):
    with nested_folders(tmp_path, 2000):
        with pytest.raises(DataError, match="nested more than 64 deep") as caught:
            FolderSource(tmp_path)
        assert len(str(caught.value)) < 400 + len(str(tmp_path))
        fill(tmp_path, "cat/1.jpg", "dog/1.jpg")
        source = FolderSource(tmp_path)
        assert len(source.entries) == 2
        assert len(source.left_out) == 1


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="changes who reads")
def test_unreadable_folders_are_listed_as_another_user():
    with tempfile.TemporaryDirectory() as folder:
        root = fill(Path(folder), "cat/1.jpg", "dog/1.jpg")
        root.chmod(0o755)
        (root / "dog").chmod(0)
        os.seteuid(65534)
        try:
            source = FolderSource(root)
        finally:
            os.seteuid(0)
        assert source.left_out == (("dog/", "cannot be listed: Permission denied"),)
        assert [entry.path for entry in source.entries] == ["cat/1.jpg"]


def test_a_file_is_no_folder(tmp_path):
    with pytest.raises(DataError, match="is not a folder"):
        FolderSource(fill(tmp_path, "a.jpg") / "a.jpg")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no pictures"):
        FolderSource(tmp_path / "empty")
