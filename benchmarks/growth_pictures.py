"""Sets of any size out of real pictures: one .tar of class folders, every picture different.

Small ones are Fashion-MNIST's 28 px as PNG files (`digits`, enlarged, where that is asked for);
larger ones are the photographs of `cats-vs-dogs-192px.tar`, resized, as JPEG files. A million of
the small ones hold each picture fifteen times, its number written into a corner, so that no two
files, and no two pictures, are equal; and so do fewer, since near copies cost time, and a set must
not grow in kind with its size. Photographs are repeated where there are no more. Classes are dealt
in turn: nothing can be learned from them, and what it costs to try is what is measured.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from saccade.data import open_source
from saccade.progress import Silence

PHOTOGRAPHS = "cats-vs-dogs-192px.tar"
_COPIES = 15
_NUMBER_BYTES = 4
_BLOCK_PX = 8  # of a JPEG, which keeps a block of black or white

Pixels = npt.NDArray[np.uint8]


def write_small(path: Path, *, name: str, side_px: int, count: int, num_classes: int) -> None:
    """Write `count` pictures of a named set, grey, `side_px` wide, as PNG files."""
    arrays = open_source(name, progress=Silence()).arrays
    assert arrays is not None
    different = arrays[: -(-count // _COPIES)]
    base = [_resized(Image.fromarray(picture[..., 0]), side_px) for picture in different]

    def encode(number: int) -> bytes:
        pixels = base[number % len(base)].copy()
        pixels[0, :_NUMBER_BYTES] = np.frombuffer(number.to_bytes(_NUMBER_BYTES), np.uint8)
        return _encoded(pixels, "PNG", compress_level=1)

    _write(path, encode, count=count, num_classes=num_classes, suffix="png")


def write_photographs(path: Path, *, side_px: int, count: int, num_classes: int) -> None:
    """Write `count` photographs, stretched to `side_px`, as JPEG files."""
    base = list(photographs(count, side_px))

    def encode(number: int) -> bytes:
        pixels = base[number % len(base)].copy()
        _mark(pixels, number // len(base))
        return _encoded(pixels, "JPEG", quality=85)

    _write(path, encode, count=count, num_classes=num_classes, suffix="jpg")


def photographs(count: int, side_px: int) -> Iterator[Pixels]:
    """Yield up to `count` photographs of cats and dogs, stretched to `side_px`, (S, S, 3)."""
    archive = Path(os.environ["SACCADE_DATASETS"], PHOTOGRAPHS)
    with tarfile.open(archive) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isfile() else None
            if content is not None and count > 0:
                count -= 1
                yield _resized(Image.open(content).convert("RGB"), side_px)


def _mark(pixels: Pixels, number: int) -> None:
    """Write a number into the top of a picture, a block for each bit, so that JPEG keeps it."""
    for place in range(pixels.shape[1] // _BLOCK_PX):
        if number >> place & 1:
            pixels[:_BLOCK_PX, place * _BLOCK_PX : (place + 1) * _BLOCK_PX] ^= 0xFF


def _resized(picture: Image.Image, side_px: int) -> Pixels:
    return np.array(picture.resize((side_px, side_px), Image.Resampling.BICUBIC))


def _encoded(pixels: Pixels, kind: str, **options: int) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind, **options)
    return content.getvalue()


def _write(
    path: Path, encode: Callable[[int], bytes], *, count: int, num_classes: int, suffix: str
) -> None:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number in range(count):
            content = encode(number)
            member = tarfile.TarInfo(f"set/{number % num_classes:04}/{number:07}.{suffix}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
            tar.members.clear()  # the list would hold a million
