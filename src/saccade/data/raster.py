"""Opening rasters safely, and turning what they hold into 8-bit images; see `picture`.

Pillow does the work. This file names the formats it may try, the errors it may raise and the
reasons they become, and gives each of Pillow's modes its one meaning.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import (
    IcoImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    QoiImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from saccade.data.quiet import QUIET
from saccade.errors import PictureError

try:  # Pillow 11.3 and later
    from PIL import AvifImagePlugin
except ImportError:
    _AVIF: tuple[str, ...] = ()
else:
    _AVIF = (AvifImagePlugin.AvifImageFile.format,)

Payload = str | Path | bytes | npt.NDArray[Any]  # a path, a file's bytes, or pixels
Pixels = npt.NDArray[np.uint8]

MAX_PIXELS: Final = 2**27  # 134 megapixels: the largest phone cameras' usual 108 fit
MAX_BYTES: Final = 2**30
_SMALL_BYTES: Final = 2**24

# Pillow tries these alone, by content. The first five are what Pillow itself loads first.
_FORMATS: Final = (
    *("JPEG", "PNG", "GIF", "BMP", "PPM"),
    TiffImagePlugin.TiffImageFile.format,
    WebPImagePlugin.WebPImageFile.format,
    Jpeg2KImagePlugin.Jpeg2KImageFile.format,
    IcoImagePlugin.IcoImageFile.format,
    QoiImagePlugin.QoiImageFile.format,
    *_AVIF,
)
SUFFIXES_OF_FORMAT: Final[Mapping[str, frozenset[str]]] = {
    "JPEG": frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"}),
    "MPO": frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"}),
    "PNG": frozenset({".png", ".apng"}),
    "GIF": frozenset({".gif"}),
    "BMP": frozenset({".bmp", ".dib"}),
    "PPM": frozenset({".ppm", ".pgm", ".pbm", ".pnm", ".pfm"}),
    "TIFF": frozenset({".tif", ".tiff"}),
    "WEBP": frozenset({".webp"}),
    "JPEG2000": frozenset({".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc"}),
    "ICO": frozenset({".ico"}),
    "QOI": frozenset({".qoi"}),
    "AVIF": frozenset({".avif", ".avifs"}),
}
PICTURE_SUFFIXES: Final = frozenset().union(*SUFFIXES_OF_FORMAT.values())

# What Pillow raises on damaged files, as seen over its own corpus of them and in its source.
_DECODING_ERRORS: Final = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, EOFError),
    *(ArithmeticError, MemoryError, RuntimeError, AssertionError, struct.error, zlib.error),
    Image.DecompressionBombError,
)
_TRANSPOSE: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION_TAG: Final = 0x0112

_Result = TypeVar("_Result")


def with_image(payload: Payload | Image.Image, use: Callable[[Image.Image], _Result]) -> _Result:
    """Open the payload, check its size, and use it; every failure becomes PictureError."""
    if isinstance(payload, str | Path):
        with opened_file(payload) as file:
            return with_file(file, use)
    if isinstance(payload, bytes):
        return with_file(io.BytesIO(payload), use)
    image = payload if isinstance(payload, Image.Image) else image_of_array(payload)
    check_size(*image.size)
    return read_safely(lambda: use(image))


def with_file(file: BufferedReader | io.BytesIO, use: Callable[[Image.Image], _Result]) -> _Result:
    """Do the same with an open file, which stays open."""

    def opened() -> _Result:
        with Image.open(file, formats=_FORMATS) as image:
            check_size(*image.size)
            return use(image)

    return read_safely(opened)


@contextmanager
def opened_file(path: str | Path) -> Iterator[BufferedReader]:
    """Open a regular file; a pipe or a device could block for ever."""
    try:
        _num_bytes(path)
        file = open(path, "rb")
    except (OSError, ValueError) as error:
        raise _unreadable(error) from error
    with file:
        yield file


def small_content(path: str | Path) -> bytes | None:
    """Return what a regular file holds; None for a large one, which is not read at once."""
    try:
        num_bytes = _num_bytes(path)
        return None if num_bytes > _SMALL_BYTES else _read_whole(path, num_bytes)
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        raise _unreadable(error) from error


def _num_bytes(path: str | Path) -> int:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise PictureError("not a file")
    if status.st_size > MAX_BYTES:
        raise PictureError(f"a file of {status.st_size:,} bytes, more than {MAX_BYTES:,}")
    return status.st_size


def _read_whole(path: str | Path, num_bytes: int) -> bytes:
    """Read a file of this size, in one call unless it has changed; `open` makes five."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        content = more = os.read(descriptor, num_bytes + 1)
        while more and len(content) != num_bytes:
            more = os.read(descriptor, _SMALL_BYTES)
            content += more
        return content
    finally:
        os.close(descriptor)


def _unreadable(error: OSError | ValueError) -> PictureError:
    return PictureError(f"cannot be read: {_short(error)}")


def check_size(width: int, height: int) -> None:
    """Raise PictureError unless a picture of this size may be decoded."""
    if width < 1 or height < 1:
        raise PictureError("a picture without pixels")
    if width * height > MAX_PIXELS:
        raise PictureError(f"too large: {width:,} x {height:,} pixels, more than {MAX_PIXELS:,}")


def read_safely(work: Callable[[], _Result]) -> _Result:
    """Do work that Pillow may fail at; what it raises becomes PictureError with the reason."""
    try:
        with QUIET:
            return work()
    except PictureError:
        raise
    except _DECODING_ERRORS as error:
        raise PictureError(_reason(error)) from error


def _reason(error: BaseException) -> str:
    """Say in a few words what is wrong with a picture."""
    text = _short(error)
    if isinstance(error, UnidentifiedImageError):
        return "not a picture in a format that is read: " + ", ".join(sorted(_FORMATS))
    if isinstance(error, Image.DecompressionBombError):
        return f"too large: more than {MAX_PIXELS:,} pixels"
    if isinstance(error, MemoryError):
        return "too large: not enough memory to decode it"
    if isinstance(error, OSError) and error.errno is not None:
        return f"cannot be read: {text}"
    if isinstance(error, EOFError) or "truncated" in text.lower():
        return "truncated: the file ends before the picture does"
    return f"damaged: {text}"


def _short(error: BaseException) -> str:
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    line = "".join(c if c.isprintable() else " " for c in text).strip()
    return line[:120] or type(error).__name__


def orientation_of(image: Image.Image) -> int:
    """Return EXIF's orientation, 1 to 8; 1 where it is absent, unknown or unreadable."""
    try:
        # Not PngImageFile.getexif, which decodes the whole picture to look behind it.
        value = Image.Image.getexif(image).get(_ORIENTATION_TAG, 1)
    except _DECODING_ERRORS:
        return 1  # broken metadata spoils no pixel
    return value if isinstance(value, int) and value in _TRANSPOSE else 1


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """Return the image upright; the orientation is EXIF's."""
    method = _TRANSPOSE.get(orientation)
    return image if method is None else image.transpose(method)


def eight_bit(image: Image.Image) -> Image.Image:
    """Return a loaded picture in L, LA, RGB or RGBA, the modes in which averages make sense."""
    mode = image.mode
    if mode in ("I", "F") or mode.startswith("I;16"):
        values = np.asarray(image)
        if mode == "I" and image.format in ("PPM", "PNG"):  # 16 bits, promoted by Pillow
            values = values.astype(np.uint16)
        return Image.fromarray(to_uint8(values))
    if mode in ("LA", "RGBA"):
        return image
    if image.has_transparency_data:
        return image.convert("RGBA")
    if mode == "1":
        return image.convert("L")
    return image if mode in ("L", "RGB") else image.convert("RGB")


def opaque(image: Image.Image, mode: str) -> Image.Image:
    """Return the image on white, in mode L or RGB."""
    if image.mode in ("LA", "RGBA"):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == mode else image.convert(mode)


def image_of_array(values: npt.NDArray[Any]) -> Image.Image:
    """Return an array (H, W) or (H, W, 1 to 4) as an image: grey, grey-alpha, RGB, RGBA."""
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.ndim != 2 and not (values.ndim == 3 and values.shape[2] in (2, 3, 4)):
        raise PictureError(f"an array of shape {values.shape}, not (H, W) or (H, W, 1 to 4)")
    if values.dtype.kind not in "buif":
        raise PictureError(f"an array of {values.dtype}, not of numbers")
    check_size(values.shape[1], values.shape[0])
    return Image.fromarray(np.ascontiguousarray(to_uint8(values)))


def to_uint8(values: npt.NDArray[Any]) -> Pixels:
    """Scale numbers of any kind to 0 to 255, as the module's docstring says."""
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        # 65,535 = 255 * 257
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    low, top = _range(values)
    scaled = np.zeros(values.shape, dtype=np.uint8)
    for start in range(0, len(values), 64):  # some rows at a time: float64 is eight times as large
        rows = np.clip(values[start : start + 64].astype(np.float64), -1e300, 1e300)
        finite = np.isfinite(values[start : start + 64])
        np.rint((rows - low) / max(top - low, 1e-300) * 255.0, out=rows, where=finite)
        np.copyto(scaled[start : start + 64], rows, where=finite, casting="unsafe")
    return scaled


def _range(values: npt.NDArray[Any]) -> tuple[float, float]:
    """Return which numbers are black and white; within 1e300, so that they can be subtracted."""
    finite = np.isfinite(values)
    if not finite.any():
        return 0.0, 1.0
    extremes = (float(f(values, where=finite, initial=values[finite][0])) for f in (np.min, np.max))
    low, high = (min(max(value, -1e300), 1e300) for value in extremes)
    for top in (255.0, 65535.0) if values.dtype.kind in "iu" else (1.0, 255.0, 65535.0):
        if low >= 0 and high <= top:
            return 0.0, top
    return low, high
