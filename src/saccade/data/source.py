"""Where pictures come from: one abstract source, and the names that every kind shares.

A source lists its pictures without reading them (`entries`), lists what it leaves out with a
reason (`left_out`), and hands the pictures' content out in whatever order is cheapest to read
(`payloads`). Folders hand out paths, so that the reading itself can happen in parallel; archives
hand out bytes in one pass; arrays hand out pixels. Nothing is ever unpacked to disk or deleted.

What counts as a picture is decided by the file's name here (`is_picture_name`) and by its content
in the scan. Names without a suffix are looked at, because hashes serve as file names. Hidden
files and what operating systems leave behind are passed over in silence (`is_clutter`).
"""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os.path import splitext
from pathlib import Path
from typing import Final

from saccade.data.raster import Payload, Pixels
from saccade.errors import DataError
from saccade.types import Part

# More than can be read: a name that promises a picture is looked at, and the reason is exact.
_SUFFIXES: Final = frozenset(
    ".jpg .jpeg .jpe .jfif .png .apng .gif .bmp .dib .webp .tif .tiff .mpo .avif .avifs .heic"
    " .heif .jp2 .j2k .j2c .jpc .jpf .jpx .ppm .pgm .pbm .pnm .pfm .tga .icb .vda .vst .ico .cur"
    " .icns .pcx .dcx .sgi .rgb .rgba .bw .dds .psd .qoi .xbm .xpm .im .msp .fli .flc .ras".split()
)
_CLUTTER: Final = frozenset({"__MACOSX", "Thumbs.db", "ehthumbs.db", "desktop.ini", "@eaDir"})

PART_NAMES: Final[dict[str, Part]] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One picture as its source names it."""

    path: str  # relative, with "/", always printable; how the user knows the picture
    label: str | None
    part: Part | None  # the part its owner put it in; None where nobody said


class Source(ABC):
    """Labelled pictures that can be read more than once.

    `entries` are in a stable order, sorted by path; a row is a position in it.
    """

    def __init__(
        self, name: str, entries: Sequence[Entry], left_out: Sequence[tuple[str, str]] = ()
    ) -> None:
        self.name = printable(name)
        self.entries = tuple(entries)
        self.left_out = tuple(left_out)  # (path, reason): what is no picture, or has no place

    @abstractmethod
    def payloads(self, rows: Iterable[int]) -> Iterator[tuple[int, Payload]]:
        """Yield ``(row, content)`` for each of `rows`, in the order that is cheapest to read."""

    @property
    def arrays(self) -> Pixels | None:
        """The pictures as one (N, H, W, C) uint8 array where they are in memory, else None."""
        return None

    def column(self, name: str) -> list[str] | None:
        """Return each entry's cell in a table's column; None where there is no such column."""
        return None


def part_of(name: str) -> Part | None:
    """Return the part that a folder or a table's cell names, or None: ``"Val"`` is validation."""
    return PART_NAMES.get(name.strip().casefold())


def is_picture_name(name: str) -> bool:
    """Say whether a file of this name may be a picture: a picture's suffix, or none at all."""
    suffix = splitext(name)[1].casefold()
    return suffix in _SUFFIXES or not suffix or suffix[1:].isdigit()


def not_a_picture(name: str) -> str:
    """Return the reason for leaving out a file whose name is no picture's."""
    return f"not a picture: its name ends in {printable(splitext(name)[1])}"


def is_clutter(name: str) -> bool:
    """Say whether a file or folder is hidden or left by an operating system."""
    return name.startswith(".") or name in _CLUTTER


def printable(text: str) -> str:
    r"""Return `text` with bytes that are no UTF-8 written as ``\udcff``, so it can be stored."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def class_name(text: str) -> str:
    """Return a label in the one form in which labels are compared.

    macOS writes "é" as two characters and others as one; both are the same class.
    """
    return printable(unicodedata.normalize("NFC", text))


def must_be_file(path: Path) -> Path:
    """Return `path` if it is a regular file; raise DataError otherwise."""
    if not path.is_file():
        raise DataError(f"there is no file {path}; give the path of a file that exists")
    return path
