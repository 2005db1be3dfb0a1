"""Plain JPEGs by the shortest way: nearly all that there are, without Pillow's general reader.

    header = plain_header(content)
    if header is not None:
        image = decode_plain(content, header)

The pixels are those of `PIL.Image.open`, bit for bit, since the same decoder makes them; what is
saved is the general reader around it, which takes twice as long as a small picture's pixels and
feeds a large one in blocks. Plain is a baseline JPEG of one or three 8-bit components without EXIF
or XMP (they may turn it), a second picture behind it, or anything out of order; the rest, and what
does not decode, is for `raster.with_file`, which knows the reasons. Source: ITU-T T.81, annex B.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from PIL import Image

_SOI: Final = b"\xff\xd8\xff"
_FRAME, _SCAN, _TABLES = 0xC0, 0xDA, 0xDB
_MODE_OF_COMPONENTS: Final = {1: "L", 3: "RGB"}
# Huffman tables, restart interval, comment, and application segments but APP1: EXIF and XMP.
_PASSED: Final = frozenset({0xC4, 0xDD, 0xFE, 0xE0, *range(0xE2, 0xF0)})
_SCALES: Final = (8, 4, 2)
_Box = tuple[float, float, float, float]


class PlainHeader(NamedTuple):
    """What there is to know of a plain JPEG before it is decoded."""

    width_px: int
    height_px: int
    mode: str  # "L" or "RGB"


def plain_header(content: bytes) -> PlainHeader | None:
    """Return the header of a plain JPEG, or None for all else, damaged ones among it."""
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
                return header if end < len(content) else None
            elif marker == _TABLES:
                if not _eight_bit_tables(content, position + 4, end):
                    return None
            elif marker not in _PASSED or content.startswith(b"MPF\0", position + 4):
                return None
            position = end
    except IndexError:  # it ends in the middle of a header
        return None
    return None


def decode_plain(content: bytes, header: PlainHeader, scale: int = 1) -> Image.Image:
    """Decode at 1/`scale`, which is 1, 2, 4 or 8; raise ValueError or OSError if it is damaged."""
    size = -(-header.width_px // scale), -(-header.height_px // scale)
    return Image.frombytes(header.mode, size, content, "jpeg", header.mode, "", scale, 0)


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


def _eight_bit_tables(content: bytes, start: int, end: int) -> bool:
    """Say whether quantisation tables are whole, and of 8 bits."""
    return (end - start) % 65 == 0 and max(content[start:end:65], default=16) < 16
