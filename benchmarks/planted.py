"""Copies as somebody may have made them, which the tests and the benchmark plant."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

KINDS = ("resized", "recompressed", "lighter", "darker", "cropped", "mirrored")
CROPPED = 0.08  # of width and height that a crop takes at most from each side


def changed(picture: Image.Image, kind: str, random: np.random.Generator) -> Image.Image:
    """Return a copy of `picture` as somebody may have changed it."""
    width, height = picture.size
    if kind == "resized":
        share = random.uniform(0.5, 0.9)
        return picture.resize((round(width * share), round(height * share)))
    if kind in ("lighter", "darker"):
        return ImageEnhance.Brightness(picture).enhance(1.25 if kind == "lighter" else 0.75)
    if kind == "cropped":
        left, top, right, bottom = random.uniform(0, CROPPED, 4) * (width, height, width, height)
        box = (round(left), round(top), round(width - right), round(height - bottom))
        return picture.crop(box)
    if kind == "mirrored":
        return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return picture


def as_jpeg(picture: Image.Image, kind: str) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=50 if kind == "recompressed" else 90)
    return stream.getvalue()


def files(archive: Path, number: int) -> list[bytes]:
    """Return at most so many of a tar's pictures, none of a test part, drawn blindly, in order."""
    with tarfile.open(archive) as tar:
        members = [m for m in tar if m.isfile() and m.name.endswith((".jpg", ".png"))]
        members = [m for m in members if "/test/" not in m.name]
        chosen = np.random.default_rng(0).permutation(len(members))[:number]
        return [tar.extractfile(members[place]).read() for place in sorted(chosen)]


def photographs(archive: Path, number: int) -> list[Image.Image]:
    """Return `files` as pictures."""
    return [Image.open(io.BytesIO(file)).convert("RGB") for file in files(archive, number)]


def blobs(number: int, *, side_px: int = 64, seed: int = 0) -> list[Image.Image]:
    """Return pictures of smooth random colour with some grain, no two of them alike."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(number):
        coarse = random.integers(0, 256, (9, 9, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize((side_px, side_px), Image.Resampling.BICUBIC)
        grain = random.normal(0, 12, (side_px, side_px, 3))
        pixels = np.clip(np.asarray(smooth) * 0.8 + 25 + grain, 0, 255)
        found.append(Image.fromarray(pixels.astype(np.uint8)))
    return found
