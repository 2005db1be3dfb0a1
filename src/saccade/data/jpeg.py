"""Plain JPEGs by the shortest way: nearly all that there are, without Pillow's general reader.

    header = plain_header(content)
    if header is not None:
        pixels = decode_plain(content, header)

simplejpeg decodes them, in a quarter of the time that Pillow takes for a small one and without
holding Python's lock; where it is not installed, Pillow does. Both wrap libjpeg-turbo, and the
pixels are those of `PIL.Image.open`, bit for bit. Plain is a baseline JPEG of one or three 8-bit
components whose EXIF and XMP, if any, leave it as it lies, without a second picture behind it or
anything out of order; the rest, and what does not decode without a warning, is for
`raster.with_file`, which knows the reasons. Sources: ITU-T T.81, annex B; EXIF 2.32; TIFF 6.0.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

try:
    import simplejpeg
except ImportError:  # no wheel for this system
    simplejpeg = None

DECODER: Final = f"simplejpeg {simplejpeg.__version__}" if simplejpeg else "Pillow"

_SOI: Final = b"\xff\xd8\xff"
_FRAME, _SCAN, _TABLES, _EXIF_OR_XMP = 0xC0, 0xDA, 0xDB, 0xE1
_START_OF_SCAN: Final = bytes((0xFF, _SCAN))
_SHORT_BYTES: Final = 4096  # of a header that is worth remembering
_MODE_OF_COMPONENTS: Final = {1: "L", 3: "RGB"}
_SPACE: Final = {"L": "GRAY", "RGB": "RGB"}  # simplejpeg's word for a mode
# Huffman tables, restart interval, comment, and application segments but APP1.
_PASSED: Final = frozenset({0xC4, 0xDD, 0xFE, 0xE0, *range(0xE2, 0xF0)})
_SCALES: Final = (8, 4, 2)
_EXIF: Final = b"Exif\0\0"
_BYTE_ORDER: Final[dict[bytes, Literal["little", "big"]]] = {b"II*\0": "little", b"MM\0*": "big"}
_ENTRY_BYTES: Final = 12
_ORIENTATION_TAG, _UPRIGHT = 0x0112, (3, 1, 1)  # type, number of values, value
_ORIENTATION_IN_XMP: Final = re.compile(rb"(?<!/tiff:)Orientation\W*(\w?)")  # not its end tag


class PlainHeader(NamedTuple):
    """What there is to know of a plain JPEG before it is decoded."""

    width_px: int
    height_px: int
    mode: str  # "L" or "RGB"


def plain_header(content: bytes) -> PlainHeader | None:
    """Return the header of a plain JPEG, or None for all else, damaged ones among it."""
    start = content.find(_START_OF_SCAN, 0, _SHORT_BYTES)
    # The header, where no segment happens to hold the same two bytes.
    found = _parsed_before(content[: start + 4]) if start > 0 else None
    header, end = found or _parsed(content) or (None, 0)
    return header if end < len(content) else None


def _parsed(content: bytes) -> tuple[PlainHeader, int] | None:
    """Return a plain JPEG's header, and where its coefficients begin."""
    if not content.startswith(_SOI):
        return None
    position, header = 2, None
    try:
        while content[position] == 0xFF:
            marker = content[position + 1]
            end = position + 2 + (content[position + 2] << 8 | content[position + 3])
            if marker == _FRAME and header is None:
                header = _frame(content[position + 4 : end])
                if header is None:
                    return None
            elif marker == _SCAN:
                return (header, end) if header else None
            elif not _is_plain_segment(content, position, end):
                return None
            position = end
    except IndexError:  # it ends in the middle of a header
        return None
    return None


# Files of one origin often have one header, tables and all.
_parsed_before = lru_cache(maxsize=64)(_parsed)


def decode_plain(content: bytes, header: PlainHeader, scale: int = 1) -> npt.NDArray[np.uint8]:
    """Decode to (H, W) or (H, W, 3), at 1/`scale`, which is 1, 2, 4 or 8.

    Raises ValueError, OSError, RuntimeError or MemoryError where that fails.
    """
    width, height = -(-header.width_px // scale), -(-header.height_px // scale)
    # simplejpeg takes the smallest size of at least what it is asked for. From 8 px on, each
    # eighth is a size of its own.
    if simplejpeg is None or (scale > 1 and max(header.width_px, header.height_px) < 8):
        image = Image.frombytes(
            header.mode, (width, height), content, "jpeg", header.mode, "", scale, 0
        )
        return np.asarray(image)
    wanted = {"min_height": height, "min_width": width} if scale > 1 else {}
    pixels: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(content, _SPACE[header.mode], **wanted)
    if pixels.shape[:2] != (height, width):
        raise ValueError(f"its decoder says {pixels.shape[:2]}, its header {height, width}")
    return pixels if header.mode == "RGB" else pixels[:, :, 0]


def plain_scale(header: PlainHeader, wanted: tuple[int, int]) -> int:
    """Return the largest reduction that leaves `wanted` (width, height), as Pillow's `draft`."""
    room = min(header.width_px // wanted[0], header.height_px // wanted[1])
    return next((scale for scale in _SCALES if scale <= room), 1)


def _frame(segment: bytes) -> PlainHeader | None:
    if len(segment) < 6 or segment[0] != 8 or len(segment) != 6 + 3 * segment[5]:
        return None
    mode = _MODE_OF_COMPONENTS.get(segment[5])
    height, width = int.from_bytes(segment[1:3]), int.from_bytes(segment[3:5])
    return PlainHeader(width, height, mode) if mode and width and height else None


def _is_plain_segment(content: bytes, position: int, end: int) -> bool:
    """Say whether the segment whose marker is at `position` allows the short way."""
    marker, start = content[position + 1], position + 4
    if marker == _TABLES:
        return _eight_bit_tables(content, start, end)
    if marker != _EXIF_OR_XMP:
        return marker in _PASSED and not content.startswith(b"MPF\0", start)
    if content.startswith(_EXIF, start):  # Pillow joins a second one to the first
        return content.find(_EXIF, 0, start) < 0 and _leaves_as_it_lies(content[start:end])
    return all(value == b"1" for value in _ORIENTATION_IN_XMP.findall(content, start, end))


def _leaves_as_it_lies(segment: bytes) -> bool:
    """Say whether EXIF certainly does not turn the picture; where it is broken, it may."""
    tiff = segment[len(_EXIF) :]
    order = _BYTE_ORDER.get(tiff[:4])
    if order is None:
        return False

    def number(start: int, size: int) -> int:
        return int.from_bytes(tiff[start : start + size], order)

    directory = number(4, 4)
    first, num_entries = directory + 2, number(directory, 2)
    after = first + _ENTRY_BYTES * num_entries
    if after > len(tiff):
        return False
    return all(
        (number(entry + 2, 2), number(entry + 4, 4), number(entry + 8, 2)) == _UPRIGHT
        for entry in range(first, after, _ENTRY_BYTES)
        if number(entry, 2) == _ORIENTATION_TAG
    )


def _eight_bit_tables(content: bytes, start: int, end: int) -> bool:
    """Say whether quantisation tables are whole, and of 8 bits."""
    return (end - start) % 65 == 0 and max(content[start:end:65], default=16) < 16
