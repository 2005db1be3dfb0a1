"""The tar reader against Python's own `tarfile`, in every format that it writes."""

from __future__ import annotations

import io
import random
import tarfile

import pytest

from saccade.data.tar import MAX_EXTENSION, Member, read_members

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


class Stream(io.BytesIO):
    def skip(self, size: int) -> None:
        if len(self.read(size)) < size:
            raise EOFError


def members_of(content: bytes) -> list[Member]:
    return list(read_members(Stream(content)))


def packed(names: dict[str, bytes], form: int, **fields: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, **fields) as archive:
        for name, content in names.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.mark.parametrize("form", FORMATS)
def test_members_equal_those_of_tarfile(form):
    long = "a" * 90 + "/" + "b" * 60 + ".jpg"
    longer = "c/" * 100 + "d" * 90 if form != tarfile.USTAR_FORMAT else "c/x"
    unicode = "日本/ü.jpg"
    sizes = random.Random(0)
    names = {name: sizes.randbytes(sizes.randrange(2000)) for name in (long, longer, unicode)}
    names |= {f"cat/{number}.jpg": sizes.randbytes(number * 100) for number in range(30)}
    content = packed(names, form)
    with tarfile.open(fileobj=io.BytesIO(content)) as witness:
        expected = [(m.name, m.offset_data, m.size) for m in witness]
    found = members_of(content)
    assert [(m.path, m.offset, m.size) for m in found] == expected
    assert all(content[m.offset : m.offset + m.size] == names[m.path] for m in found)
    assert {m.kind for m in found} == {""}


def test_kinds_of_members():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for number, kind in enumerate(
            (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE)
        ):
            info = tarfile.TarInfo(f"m{number}")
            info.type, info.linkname = kind, "t" * 150
            archive.addfile(info)
    assert [(m.path.rstrip("/"), m.kind) for m in members_of(out.getvalue())] == [
        ("m0", "folder"),
        ("m1", "a symbolic link"),
        ("m2", "a hard link"),
        ("m3", "not a file (a pipe or device)"),
        ("m4", "a device"),
    ]


def test_pax_headers_for_all_members_and_sizes():
    content = packed(
        {"a/1.jpg": b"1"}, tarfile.PAX_FORMAT, pax_headers={"comment": "for all members"}
    )
    assert [m.path for m in members_of(content)] == ["a/1.jpg"]
    info = tarfile.TarInfo("b.jpg")
    info.size, info.pax_headers = 3, {"GNU.sparse.major": "1"}
    sparse = info.tobuf(tarfile.PAX_FORMAT) + b"abc".ljust(1024, b"\0")
    assert [m.kind for m in members_of(sparse)] == ["a sparse file"]


def test_sizes_over_8_gib_are_read():
    info = tarfile.TarInfo("big.jpg")
    info.size = 9 << 30
    with pytest.raises(ValueError, match="ends in the middle of big.jpg"):
        members_of(info.tobuf(tarfile.GNU_FORMAT))
    reader = read_members(Stream(info.tobuf(tarfile.GNU_FORMAT)))
    assert next(reader).size == 9 << 30


@pytest.mark.parametrize("cut", [0, 100, 511, 700, 1200, 1536])
def test_truncated_archives_are_refused(cut):
    whole = packed({"cat/1.jpg": bytes(600), "cat/2.jpg": bytes(600)}, tarfile.USTAR_FORMAT)
    with pytest.raises(ValueError, match="ends early|ends in the middle"):
        members_of(whole[:cut])


def test_every_damaged_header_byte_is_noticed():
    whole = packed({"cat/1.jpg": b"x"}, tarfile.USTAR_FORMAT)
    for position in range(512):
        damaged = bytearray(whole)
        damaged[position] ^= 0x15
        with pytest.raises(ValueError, match="tar header"):
            members_of(bytes(damaged))


def with_checksum(header: bytearray) -> bytes:
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return bytes(header)


@pytest.mark.parametrize("size", [b"-7\0", b"1_7", b"9999", b"\xff" * 12])
def test_sizes_that_are_no_numbers_are_refused(size):
    header = bytearray(tarfile.TarInfo("a.jpg").tobuf(tarfile.USTAR_FORMAT))
    header[124:136] = size.ljust(12, b"\0")
    with pytest.raises(ValueError, match="where a number belongs"):
        members_of(with_checksum(header))


@pytest.mark.parametrize(
    "records", [b"9999 path=a\n", b"x path=a\n", b"3 path=a\n", b"0 a=b\n", b"path", b"-5 a=b\n"]
)
def test_damaged_pax_records_are_refused(records):
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, len(records)
    content = info.tobuf(tarfile.USTAR_FORMAT) + records.ljust(512, b"\0")
    with pytest.raises(ValueError, match="a pax header is damaged"):
        members_of(content)


def test_a_huge_extension_header_is_not_read():
    info = tarfile.TarInfo("long")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, MAX_EXTENSION + 1
    with pytest.raises(ValueError, match="a tar header of 1,048,577 bytes"):
        members_of(info.tobuf(tarfile.GNU_FORMAT) + bytes(2 * MAX_EXTENSION))


def test_a_pax_header_of_many_records_is_read_in_linear_time():
    records = b"6 a=b\n" * (MAX_EXTENSION // 6)
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, len(records)
    padded = records.ljust(-(-len(records) // 512) * 512, b"\0")
    content = info.tobuf(tarfile.USTAR_FORMAT) + padded
    content += tarfile.TarInfo("a.jpg").tobuf(tarfile.USTAR_FORMAT) + bytes(512)
    assert [m.path for m in members_of(content)] == ["a.jpg"]


def test_random_damage_never_raises_anything_else():
    whole = packed({f"{'n' * 120}/{i}.jpg": bytes(i * 99) for i in range(9)}, tarfile.PAX_FORMAT)
    dice = random.Random(1)
    for _ in range(2000):
        damaged = bytearray(whole)
        for _ in range(dice.randrange(1, 4)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        try:
            members_of(bytes(damaged[: dice.randrange(len(damaged))]))
        except ValueError:
            pass


def test_the_size_of_a_link_is_no_content():
    """Some writers give a hard link the size of its file; no content follows."""
    info = tarfile.TarInfo("link.jpg")
    info.type, info.linkname, info.size = tarfile.LNKTYPE, "a.jpg", 700
    content = info.tobuf(tarfile.USTAR_FORMAT) + packed({"a.jpg": b"a"}, tarfile.USTAR_FORMAT)
    with tarfile.open(fileobj=io.BytesIO(content)) as witness:
        expected = [member.name for member in witness]
    assert [m.path for m in members_of(content)] == expected == ["link.jpg", "a.jpg"]
