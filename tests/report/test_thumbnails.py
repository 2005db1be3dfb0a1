from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from saccade.report.thumbnails import data_uri, is_tiny


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition("base64,")[2])))


@pytest.mark.parametrize("shape", [(8, 8), (28, 28, 1), (32, 48, 3), (64, 64, 3)])
def test_tiny_pictures_are_exact(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    uri = data_uri(pixels)
    assert uri.startswith("data:image/png;base64,")
    assert np.array_equal(np.asarray(opened(uri)), pixels.reshape(shape[:2] + shape[2:]).squeeze())
    assert is_tiny(pixels)


def test_large_pictures_are_bounded() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1200, 2400, 3), dtype=np.uint8)
    uri = data_uri(noise)
    assert opened(uri).size == (192, 96)
    assert len(uri) < 60_000  # the hardest picture there is
    assert not is_tiny(noise)


def test_large_picture_keeps_its_look() -> None:
    ramp = np.tile(np.linspace(0, 255, 400, dtype=np.uint8), (400, 1))
    small = np.asarray(opened(data_uri(ramp)), dtype=float)
    # Means over whole columns: JPEG moves single pixels by a few levels, not these.
    assert np.abs(small.mean(axis=0) - np.linspace(0, 255, 192)).max() < 3


def test_strange_proportions() -> None:
    assert opened(data_uri(np.zeros((1, 5000), np.uint8))).size == (192, 1)
