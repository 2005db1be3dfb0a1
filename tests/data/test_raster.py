from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from saccade.data.raster import (
    PICTURE_SUFFIXES,
    _read_whole,
    eight_bit,
    opaque,
    orientation_of,
    small_content,
    to_uint8,
    turned,
)


def test_sixteen_bits_round_to_the_nearest_of_256():
    values = np.arange(65536, dtype=np.uint16)
    expected = np.floor(values / 257 + 0.5)  # never half-way: 257 is odd
    assert np.array_equal(to_uint8(values), expected.astype(np.uint8))


def test_rows_are_scaled_alike_beyond_a_block():
    """Rows are converted some at a time; the range is the whole picture's."""
    values = np.linspace(-3, 5, 1000 * 2).reshape(1000, 2)
    expected = np.rint((values + 3) / 8 * 255)
    assert np.array_equal(to_uint8(values), expected)


def test_turning_follows_the_tag():
    image = Image.fromarray(np.array([[1, 2], [3, 4]], np.uint8))
    assert np.asarray(turned(image, 6)).tolist() == [[3, 1], [4, 2]]  # clockwise
    assert np.asarray(turned(image, 8)).tolist() == [[2, 4], [1, 3]]
    assert np.asarray(turned(image, 1)).tolist() == [[1, 2], [3, 4]]


def test_an_orientation_that_is_no_number_is_upright():
    image = Image.new("L", (2, 2))
    image.getexif()[0x0112] = "6"
    assert orientation_of(image) == 1


def test_eight_bit_modes_are_those_that_can_be_averaged():
    for mode in (
        "1",
        "L",
        "P",
        "LA",
        "PA",
        "RGB",
        "RGBA",
        "CMYK",
        "YCbCr",
        "HSV",
        "I;16",
        "I",
        "F",
    ):
        image = eight_bit(Image.new(mode, (3, 2)))
        assert image.mode in ("L", "LA", "RGB", "RGBA"), mode
        for wanted in ("L", "RGB"):
            assert opaque(image, wanted).mode == wanted
            assert opaque(image, wanted).size == (3, 2)


@pytest.mark.parametrize("believed", [0, 3, 10, 11, 50])
def test_a_file_that_has_changed_its_size_is_read_to_its_end(believed, tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")
    assert _read_whole(path, believed) == b"0123456789"
    assert small_content(str(path)) == small_content(path)


def test_picture_suffixes_are_lower_case_with_a_dot():
    assert all(s.startswith(".") and s == s.lower() for s in PICTURE_SUFFIXES)
    assert {".jpg", ".jpeg", ".png", ".webp", ".tif"} <= PICTURE_SUFFIXES
