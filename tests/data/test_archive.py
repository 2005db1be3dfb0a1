from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from saccade.data import archive
from saccade.data.archive import TarSource, ZipSource
from saccade.data.source import Source
from saccade.errors import DataError

PICTURES = {
    "sets/train/cat/1.jpg": b"cat one",
    "sets/train/dog/ü 日.png": b"dog " * 500,
    "sets/test/dog/2.jpg": b"",
}
KINDS = ["photos.zip", "photos.tar", "photos.tar.gz", "photos.tgz"]


def pack(path: Path, members: dict[str, bytes]) -> Path:
    """Write an archive of the kind that its name says, without touching members' names."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in members.items():
                packed.writestr(name, content)
        return path
    with tarfile.open(path, "w:gz" if path.suffix in (".gz", ".tgz") else "w") as packed:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    return path


def open_archive(path: Path) -> Source:
    return ZipSource(path) if path.suffix == ".zip" else TarSource(path)


def read(source: Source) -> dict[str, object]:
    payloads = source.payloads(range(len(source.entries)))
    return {source.entries[row].path: payload for row, payload in payloads}


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_come_out_as_they_went_in(tmp_path, kind):
    source = open_archive(pack(tmp_path / kind, PICTURES))
    assert read(source) == PICTURES
    assert read(source) == PICTURES  # a second reading too
    assert [(entry.label, entry.part) for entry in source.entries] == [
        ("dog", "test"),
        ("cat", "train"),
        ("dog", "train"),
    ]
    assert source.name == "photos"
    assert list(tmp_path.iterdir()) == [tmp_path / kind]  # nothing is unpacked


@pytest.mark.parametrize("kind", KINDS)
def test_some_rows_are_read_in_any_order(tmp_path, kind):
    source = open_archive(pack(tmp_path / kind, PICTURES))
    assert dict(source.payloads([2, 0])) == {0: b"", 2: b"dog " * 500}
    assert dict(source.payloads([])) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_paths_that_escape_are_left_out(tmp_path, kind):
    hostile = ["../../evil.jpg", "cat/../../evil.jpg", "/etc/evil.jpg", "C:/evil.jpg"]
    if kind != "photos.zip":  # zipfile itself turns a backslash into a slash on Windows only
        hostile.append("..\\evil.jpg")
    good = {"cat/1.jpg": b"1", "dog/1.jpg": b"2"}
    source = open_archive(pack(tmp_path / kind, good | dict.fromkeys(hostile, b"evil")))
    assert read(source) == good
    assert sorted(path for path, _ in source.left_out) == sorted(hostile)
    assert all("its path" in reason for _, reason in source.left_out)


@pytest.mark.parametrize("kind", KINDS)
def test_dots_in_paths_change_nothing(tmp_path, kind):
    source = open_archive(pack(tmp_path / kind, {"./cat/1.jpg": b"1", "./dog//./1.jpg": b"2"}))
    assert read(source) == {"cat/1.jpg": b"1", "dog/1.jpg": b"2"}


def test_links_and_devices_in_a_tar_are_left_out(tmp_path):
    path = tmp_path / "photos.tar"
    with tarfile.open(path, "w") as packed:
        for name, kind in (
            ("cat/a.jpg", tarfile.SYMTYPE),
            ("cat/b.jpg", tarfile.LNKTYPE),
            ("cat/c.jpg", tarfile.CHRTYPE),
            ("cat/d.jpg", tarfile.FIFOTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            packed.addfile(info)
        packed.addfile(tarfile.TarInfo("cat/e.jpg"), io.BytesIO())
    source = TarSource(path)
    assert [entry.path for entry in source.entries] == ["cat/e.jpg"]
    assert dict(source.left_out) == {
        "cat/a.jpg": "a symbolic link in the archive",
        "cat/b.jpg": "a hard link in the archive",
        "cat/c.jpg": "a device in the archive",
        "cat/d.jpg": "not a file (a pipe or device) in the archive",
    }


def test_links_and_encrypted_members_in_a_zip_are_left_out(tmp_path):
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("cat/1.jpg", b"1")
        link = zipfile.ZipInfo("cat/link.jpg")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        packed.writestr(link, "/etc/passwd")
        packed.writestr("cat/secret.jpg", b"2")
    content = bytearray(path.read_bytes())
    content[content.rfind(b"PK\x01\x02") + 8] |= 1  # the last member's "encrypted" bit
    path.write_bytes(content)
    source = ZipSource(path)
    assert [entry.path for entry in source.entries] == ["cat/1.jpg"]
    assert dict(source.left_out) == {
        "cat/link.jpg": "a link or device in the archive",
        "cat/secret.jpg": "encrypted; pack the archive without a password",
    }


def test_the_last_of_equal_paths_counts(tmp_path):
    path = pack(tmp_path / "photos.tar", {"cat/1.jpg": b"old", "dog/1.jpg": b"d"})
    with tarfile.open(path, "a") as packed:
        info = tarfile.TarInfo("cat/1.jpg")
        info.size = 3
        packed.addfile(info, io.BytesIO(b"new"))
    source = TarSource(path)
    assert read(source) == {"cat/1.jpg": b"new", "dog/1.jpg": b"d"}
    assert source.left_out == (("cat/1.jpg", "a later member of the archive has the same path"),)


def test_a_tar_gz_bomb_is_refused_before_it_expands(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "_FREE_BYTES", 1 << 20)
    path = pack(tmp_path / "bomb.tar.gz", {"cat/1.jpg": b"1", "cat/2.bin": bytes(8 << 20)})
    assert (8 << 20) > (1 << 20) + 200 * path.stat().st_size
    with pytest.raises(DataError, match="expands to more than 200 times its size"):
        TarSource(path)


def test_a_zip_bomb_is_refused_before_it_expands(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "_FREE_BYTES", 1 << 20)
    path = pack(tmp_path / "bomb.zip", {"cat/1.jpg": bytes(8 << 20)})
    with pytest.raises(DataError, match="expands to more than 200 times its size"):
        ZipSource(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_huge_member_is_left_out(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(archive, "MAX_MEMBER", 1 << 20)
    source = open_archive(pack(tmp_path / kind, {"cat/1.jpg": bytes(2 << 20), "cat/2.jpg": b"2"}))
    assert source.left_out == (("cat/1.jpg", "2 MiB; a picture in an archive has at most 1"),)
    assert read(source) == {"cat/2.jpg": b"2"}


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_MEMBERS", 5)
    many = {f"cat/{number}.jpg": b"" for number in range(6)}
    for kind in KINDS:
        with pytest.raises(DataError, match="lists more than 5 members"):
            open_archive(pack(tmp_path / kind, many))


def test_a_member_that_lies_about_its_size_yields_no_more(tmp_path):
    path = pack(tmp_path / "photos.zip", {"cat/1.jpg": bytes(100_000)})
    content = bytearray(path.read_bytes())
    entry = content.rfind(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = (10).to_bytes(4, "little")  # declared size
    path.write_bytes(content)
    with pytest.raises(DataError, match="cat/1.jpg is damaged"):
        read(ZipSource(path))


@pytest.mark.parametrize("kind", KINDS)
def test_every_truncation_is_one_clear_error(tmp_path, kind):
    whole = pack(tmp_path / kind, PICTURES).read_bytes()
    path = tmp_path / f"cut-{kind}"
    end = len(whole.rstrip(b"\0")) if kind == "photos.tar" else int(len(whole) * 0.6)
    for length in {*range(0, end, 37), *range(0, end, 512)}:
        path.write_bytes(whole[:length])
        with pytest.raises(DataError) as caught:
            read(open_archive(path))
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_damaged_content_names_the_member(tmp_path):
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as packed:
        packed.writestr("cat/1.jpg", b"content of one")
    path.write_bytes(path.read_bytes().replace(b"content of one", b"kontent of one"))
    with pytest.raises(DataError, match="cat/1.jpg is damaged: Bad CRC-32"):
        read(ZipSource(path))


def test_a_gzip_with_a_wrong_checksum_is_refused(tmp_path):
    path = pack(tmp_path / "photos.tar.gz", PICTURES | {"x/y.jpg": bytes(100)})
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    path.write_bytes(damaged)
    with pytest.raises(DataError, match="damaged"):
        read(TarSource(path))


def test_what_is_no_archive_is_refused(tmp_path):
    for name in KINDS:
        (tmp_path / name).write_bytes(b"hello " * 400)
        with pytest.raises(DataError, match="damaged"):
            open_archive(tmp_path / name)
    (tmp_path / "text.tar.gz").write_bytes(gzip.compress(b"hello " * 400))
    with pytest.raises(DataError, match="is damaged: "):
        TarSource(tmp_path / "text.tar.gz")
    with pytest.raises(DataError, match="there is no file"):
        ZipSource(tmp_path / "absent.zip")


@pytest.mark.parametrize(
    ("name", "classes", "parts"),
    [
        ("cats-vs-dogs-192px.tar", {"cats", "dogs"}, {"train", "test"}),
        ("horses-or-humans-100px-gray.tar", {"horses", "humans"}, {"train", "validation"}),
        ("rock-paper-scissors-28px.tar", {"rock", "paper", "scissors"}, {"train", "test"}),
        ("flowers-originals.tar", {"daisy", "dandelion", "roses", "sunflowers", "tulips"}, {None}),
    ],
)
def test_real_archives_have_their_classes_and_parts(datasets, name, classes, parts):
    source = TarSource(datasets / name)
    assert {entry.label for entry in source.entries} == classes
    assert {entry.part for entry in source.entries} == parts
    with tarfile.open(datasets / name) as witness:
        expected = {m.name: m.size for m in witness if m.isfile()}
    assert {path: len(payload) for path, payload in read(source).items()} == expected


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_that_shrinks_after_it_was_listed(tmp_path, kind):
    path = pack(tmp_path / kind, {"cat/1.jpg": bytes(range(256)) * 40})
    source = open_archive(path)
    path.write_bytes(path.read_bytes()[:600] if kind == "photos.tar" else b"")
    with pytest.raises(DataError, match="damaged"):
        read(source)
