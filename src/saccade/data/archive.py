"""A .zip, .tar, .tar.gz or .tgz of class folders, read as it stands; nothing is unpacked to disk.

An archive may come from a stranger, so:

* a member whose path is absolute or climbs out ("..", a drive, a backslash) is left out, and so
  is every link, device, sparse or encrypted member, each with its reason;
* a member over `MAX_MEMBER` is left out; an archive that declares or expands to more than 1 GiB
  and 200 times its own size, or that lists more than `MAX_MEMBERS`, is refused as a whole;
* content is held one member at a time, and never more of it than its header declared;
* damage gives one DataError that names the archive and the place.

Of members with one path the last counts, as when unpacking. A tar is read from front to back
once to list it and once for each reading of its pictures; a .tar.gz cannot be entered elsewhere.
"""

from __future__ import annotations

import gzip
import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from saccade.data.layout import arrange
from saccade.data.raster import Payload
from saccade.data.source import Source, must_be_file, printable
from saccade.data.tar import Member, read_members
from saccade.errors import DataError

MAX_MEMBER: Final = 256 << 20  # bytes
MAX_MEMBERS: Final = 4_000_000
_FREE_BYTES: Final = 1 << 30  # an archive may expand to this much whatever its size
_MAX_RATIO: Final = 200
_STEP: Final = 1 << 20
_GZIP_MAGIC: Final = b"\x1f\x8b"

_ENCRYPTED = 0x1  # bit of a zip member's flags
# What zipfile, gzip and zlib raise on damaged bytes, among others UnicodeDecodeError.
_DAMAGE = (
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    NotImplementedError,  # a compression that Python lacks
    struct.error,
    ValueError,
    OverflowError,
)


class ZipSource(Source):
    """Pictures in class folders in a .zip."""

    def __init__(self, path: Path) -> None:
        with _damage_named(path), zipfile.ZipFile(must_be_file(path)) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
        _refuse_expansion(path, len(members), sum(member.file_size for member in members))
        names = [_plain(member.filename) for member in members]
        kept, left_out = _sift(names, [_zip_refusal(member) for member in members])
        found = arrange(str(path), [names[position] for position in kept], left_out)
        super().__init__(_stem(path), found.entries, found.left_out)
        self._path = path
        self._members = [members[kept[position]] for position in found.origin]

    def payloads(self, rows: Iterable[int]) -> Iterator[tuple[int, Payload]]:
        """Yield each picture's bytes, in the archive's order."""
        wanted = sorted(rows, key=lambda row: self._members[row].header_offset)
        with _damage_named(self._path), zipfile.ZipFile(self._path) as archive:
            for row in wanted:
                with _damage_named(self._path, self.entries[row].path):
                    content = archive.read(self._members[row])
                yield row, content


class TarSource(Source):
    """Pictures in class folders in a .tar or .tar.gz."""

    def __init__(self, path: Path) -> None:
        members: list[Member] = []
        with _damage_named(path), _tar_stream(must_be_file(path)) as stream:
            for member in read_members(stream):
                if member.kind != "folder":
                    members.append(member)
                if len(members) > MAX_MEMBERS:
                    _refuse_expansion(path, len(members), 0)
        names = [_plain(member.path) for member in members]
        kept, left_out = _sift(names, [_tar_refusal(member) for member in members])
        found = arrange(str(path), [names[position] for position in kept], left_out)
        super().__init__(_stem(path), found.entries, found.left_out)
        self._path = path
        self._members = [members[kept[position]] for position in found.origin]

    def payloads(self, rows: Iterable[int]) -> Iterator[tuple[int, Payload]]:
        """Yield each picture's bytes, in the archive's order."""
        wanted = sorted(rows, key=lambda row: self._members[row].offset)
        with _damage_named(self._path), _tar_stream(self._path) as stream:
            for row in wanted:
                member = self._members[row]
                with _damage_named(self._path, self.entries[row].path):
                    stream.skip(member.offset - stream.position)
                    content = stream.read(member.size)
                    if len(content) < member.size:
                        raise EOFError("the archive ends in the middle of it")
                yield row, content


class _ForwardStream:
    """Reads an archive from front to back, and no further than it may expand."""

    def __init__(self, path: Path, file: IO[bytes], *, zipped: bool) -> None:
        self.position = 0
        self._path, self._file, self._zipped = path, file, zipped
        self._limit = _expansion_limit(path) if zipped else path.stat().st_size

    def read(self, size: int) -> bytes:
        content = self._file.read(size)
        self.position += len(content)
        if self.position > self._limit:
            raise DataError(_too_large(self._path))
        return content

    def skip(self, size: int) -> None:
        if not self._zipped:
            if self.position + size > self._limit:
                raise EOFError("the archive ends early")
            self.position = self._file.seek(self.position + size)
            return
        while size > 0:
            passed = len(self.read(min(size, _STEP)))
            if not passed:
                raise EOFError("the archive ends early")
            size -= passed


@contextmanager
def _tar_stream(path: Path) -> Iterator[_ForwardStream]:
    with path.open("rb", buffering=_STEP) as file:
        zipped = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        if zipped:
            with gzip.GzipFile(fileobj=file) as raw, io.BufferedReader(raw, _STEP) as content:
                yield _ForwardStream(path, content, zipped=True)
        else:
            yield _ForwardStream(path, file, zipped=False)


@contextmanager
def _damage_named(path: Path, member: str = "") -> Iterator[None]:
    """Turn what a damaged archive raises into one DataError that names the place."""
    place = f"{path}: {member}" if member else str(path)
    try:
        yield
    except _DAMAGE as error:
        raise DataError(f"{place} is damaged: {error}; download or pack it again") from error
    except OSError as error:
        raise DataError(f"{place} cannot be read: {error.strerror or error}") from error


def _sift(names: Sequence[str], refusals: Sequence[str]) -> tuple[list[int], list[tuple[str, str]]]:
    """Return the positions of the members to use, and the others with their reasons."""
    last = {name: position for position, name in enumerate(names)}
    kept: list[int] = []
    left_out: list[tuple[str, str]] = []
    for position, (name, refusal) in enumerate(zip(names, refusals, strict=True)):
        reason = refusal or _escape(name)
        if not reason and last[name] != position:
            reason = "a later member of the archive has the same path"
        if reason:
            left_out.append((printable(name), reason))
        else:
            kept.append(position)
    return kept, left_out


def _plain(name: str) -> str:
    """Return a member's path without what changes nothing: ``./a//b`` is ``a/b``."""
    if not name.startswith("./") and "/./" not in name and "//" not in name:
        return name
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return ("/" if name.startswith("/") else "") + "/".join(parts)


def _escape(name: str) -> str:
    """Return why a member's path is not that of a file inside, or nothing."""
    if name.startswith("/") or "\\" in name or name[1:2] == ":" or "\0" in name:
        return "its path in the archive is absolute or no plain path"
    if ".." in name.split("/"):
        return "its path leads out of the archive"
    return ""


def _zip_refusal(member: zipfile.ZipInfo) -> str:
    mode = member.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "a link or device in the archive"
    if member.flag_bits & _ENCRYPTED:
        return "encrypted; pack the archive without a password"
    return _size_refusal(member.file_size)


def _tar_refusal(member: Member) -> str:
    return f"{member.kind} in the archive" if member.kind else _size_refusal(member.size)


def _size_refusal(size: int) -> str:
    if size > MAX_MEMBER:
        return f"{size >> 20:,} MiB; a picture in an archive has at most {MAX_MEMBER >> 20}"
    return ""


def _expansion_limit(path: Path) -> int:
    return _FREE_BYTES + _MAX_RATIO * path.stat().st_size


def _refuse_expansion(path: Path, num_members: int, size: int) -> None:
    if num_members > MAX_MEMBERS:
        raise DataError(f"{path} lists more than {MAX_MEMBERS:,} members; split it")
    if size > _expansion_limit(path):
        raise DataError(_too_large(path))


def _too_large(path: Path) -> str:
    return (
        f"{path} expands to more than {_MAX_RATIO} times its size; "
        "if that is right, unpack it and give the folder"
    )


def _stem(path: Path) -> str:
    name = path.name
    for suffix in (".gz", ".tgz", ".tar", ".zip"):
        name = name[: -len(suffix)] if name.casefold().endswith(suffix) else name
    return name or path.name
