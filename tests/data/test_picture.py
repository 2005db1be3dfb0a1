from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import threading
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saccade.data.picture import PAD_VALUE, Preprocessing, digest_of, inspect
from saccade.errors import PictureError

SMALL = Preprocessing(height_px=8, width_px=8, channels=3)
SMALL_GREY = Preprocessing(height_px=8, width_px=8, channels=1)
SECONDS_A_FILE = 5.0  # the slowest of the corpus takes 0.1


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def photo(width=64, height=48, seed=0) -> Image.Image:
    """A smooth colour picture with no symmetry."""
    y, x = np.mgrid[0:height, 0:width]
    rng = np.random.default_rng(seed)
    a, b, c = rng.uniform(0.5, 2, 3)
    red = 255 * x / width
    green = 255 * (y / height) ** a
    blue = 127 * (1 + np.sin(b * x / width + c * y / height))
    return Image.fromarray(np.stack([red, green, blue], axis=-1).astype(np.uint8))


# What comes out ------------------------------------------------------------------------------


def test_a_picture_of_the_right_size_keeps_its_pixels():
    image = photo(8, 8)
    assert np.array_equal(SMALL.read(encoded(image)), np.asarray(image))


def test_paths_bytes_arrays_and_images_are_read_alike(tmp_path):
    image = photo(31, 17)
    path = tmp_path / "a.png"
    path.write_bytes(encoded(image))
    expected = SMALL.read(path)
    assert expected.shape == (8, 8, 3)
    assert expected.dtype == np.uint8
    for payload in (path.read_bytes(), np.asarray(image), image):
        assert np.array_equal(SMALL.read(payload), expected)


def test_pad_keeps_the_whole_picture_on_grey():
    pixels = SMALL.read(encoded(Image.new("RGB", (40, 20), "red")))
    assert (pixels[:2] == PAD_VALUE).all()
    assert (pixels[6:] == PAD_VALUE).all()
    assert (pixels[2:6] == (255, 0, 0)).all()


def test_pad_stands_a_tall_picture_upright():
    pixels = SMALL.read(encoded(Image.new("RGB", (20, 40), "red")))
    assert (pixels[:, 2:6] == (255, 0, 0)).all()
    assert (pixels[:, :2] == PAD_VALUE).all()


def test_stretch_fills_the_frame():
    stretch = Preprocessing(height_px=8, width_px=8, channels=3, fit="stretch")
    assert (stretch.read(encoded(Image.new("RGB", (40, 20), "red"))) == (255, 0, 0)).all()


def test_a_thin_picture_keeps_a_pixel():
    pixels = SMALL.read(encoded(Image.new("RGB", (3000, 1), "red")))
    assert (pixels == (255, 0, 0)).all(axis=2).sum() == 8


def test_reducing_averages_over_all_pixels():
    """Every second column white: any subsampling gives stripes, an average gives mid-grey."""
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    inner = SMALL_GREY.read(encoded(Image.fromarray(stripes)))[1:-1, 1:-1]
    assert abs(inner.astype(int) - 127).max() <= 2


def test_enlarging_neither_rings_nor_overshoots():
    edge = np.full((4, 4), 50, np.uint8)
    edge[:, 2:] = 200
    pixels = SMALL_GREY.read(encoded(Image.fromarray(edge)))[:, :, 0].astype(int)
    assert pixels.min() == 50
    assert pixels.max() == 200
    assert (np.diff(pixels, axis=1) >= 0).all()


def test_a_large_jpeg_is_decoded_at_reduced_scale_and_looks_the_same():
    data = encoded(photo(800, 600), "JPEG", quality=95)
    wanted = Preprocessing(height_px=60, width_px=80, channels=3)
    quick, full = wanted.decode(data), wanted.decode(data, full_scale=True)
    assert quick.reduced
    assert not full.reduced
    difference = quick.pixels.astype(int) - full.pixels
    assert abs(difference).max() <= 4  # a smooth picture; both average over about ten pixels
    assert not wanted.decode(encoded(photo(300, 200), "JPEG")).reduced  # less than four times


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_reduced_scale_does_not_shift_the_picture(orientation):
    """At 1/8, 257 pixels become 33, of which the last holds one: 3 per cent too wide unless cut."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(photo(257, 257), "JPEG", quality=95, exif=exif)
    wanted = Preprocessing(height_px=16, width_px=16, channels=3)
    quick, full = wanted.decode(data), wanted.decode(data, full_scale=True)
    assert quick.reduced
    assert abs(quick.pixels.astype(int) - full.pixels).max() <= 3


def test_a_turned_jpeg_is_reduced_by_its_upright_size():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(photo(800, 400), "JPEG", exif=exif)  # upright: 400 wide, 800 high
    tall = Preprocessing(height_px=200, width_px=20, channels=3, fit="stretch")
    wide = Preprocessing(height_px=20, width_px=200, channels=3, fit="stretch")
    assert tall.decode(data).reduced  # 800 is four times 200
    assert not wide.decode(data).reduced  # 400 is twice 200


def test_an_image_of_the_users_stays_as_it_is():
    image = Image.open(io.BytesIO(encoded(photo(800, 600), "JPEG")))
    SMALL.read(image)
    assert image.size == (800, 600)


def test_digests_are_equal_for_equal_pixels_alone():
    pixels = SMALL.read(encoded(photo()))
    assert digest_of(pixels) == digest_of(pixels.copy())
    assert digest_of(pixels) != digest_of(255 - pixels)
    expected = hashlib.blake2b(pixels.tobytes(), digest_size=8).digest()
    assert digest_of(pixels) == int.from_bytes(expected, "little")


# One meaning each ----------------------------------------------------------------------------


def flat(mode: str, colour) -> Image.Image:
    return Image.new(mode, (8, 8), colour)


@pytest.mark.parametrize(
    ("image", "kind", "expected"),
    [
        (flat("1", 1), "PNG", (255, 255, 255)),
        (flat("L", 77), "PNG", (77, 77, 77)),
        (flat("I;16", 257 * 77), "PNG", (77, 77, 77)),
        (flat("I;16", 77), "PNG", (0, 0, 0)),  # the range is the format's, not the picture's
        (flat("I;16", 65535), "TIFF", (255, 255, 255)),
        (flat("I;16B", 257 * 77), "TIFF", (77, 77, 77)),
        (flat("I", 257 * 77), "TIFF", (77, 77, 77)),
        (flat("F", 0.5), "TIFF", (128, 128, 128)),
        (flat("F", 77.0), "TIFF", (77, 77, 77)),
        (flat("F", float("nan")), "TIFF", (0, 0, 0)),
        (flat("F", float("inf")), "TIFF", (0, 0, 0)),
        (flat("LA", (0, 0)), "PNG", (255, 255, 255)),
        (flat("LA", (77, 255)), "PNG", (77, 77, 77)),
        (flat("RGBA", (255, 0, 0, 0)), "PNG", (255, 255, 255)),
        (flat("RGBA", (255, 0, 0, 128)), "PNG", (255, 127, 127)),
        (flat("RGBA", (255, 0, 0, 255)), "PNG", (255, 0, 0)),
        (flat("CMYK", (0, 255, 255, 0)), "TIFF", (255, 0, 0)),
        (flat("LAB", (255, 128, 128)), "TIFF", None),  # white in LAB is not exactly sRGB's
        (flat("RGB", (10, 20, 30)), "WEBP", None),
    ],
)
def test_every_mode_has_its_meaning(image, kind, expected):
    pixels = SMALL.read(encoded(image, kind, **({"lossless": True} if kind == "WEBP" else {})))
    assert (pixels == pixels[0, 0]).all()
    if expected is not None:
        assert tuple(pixels[0, 0].tolist()) == expected


def test_sixteen_bits_of_a_pgm_keep_the_formats_range():
    dark = b"P5 8 8 65535\n" + (77).to_bytes(2, "big") * 64  # Pillow promotes these to 32 bits
    assert (SMALL.read(dark) == 0).all()
    assert (SMALL.read(dark.replace(b"\0\x4d", b"\x4d\x4d")) == 77).all()


def test_adobe_cmyk_jpegs_are_not_inverted():
    pixels = SMALL.read(encoded(flat("CMYK", (0, 255, 255, 0)), "JPEG"))
    assert abs(pixels.astype(int) - (255, 0, 0)).max() <= 3


def test_a_palettes_transparent_entry_is_white():
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    assert (SMALL.read(encoded(image)) == (255, 0, 0)).all()
    assert (SMALL.read(encoded(image, transparency=1)) == 255).all()
    assert (SMALL.read(encoded(image, "GIF", transparency=1)) == 255).all()


def test_a_transparent_colour_is_white():
    data = encoded(flat("RGB", (9, 9, 9)), transparency=(9, 9, 9))
    assert (SMALL.read(data) == 255).all()


def test_transparency_is_weighed_while_resizing():
    """Invisible black beside white must not leave a dark seam."""
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    image.paste((255, 255, 255, 255), (0, 0, 31, 64))
    assert (SMALL.read(encoded(image)) == 255).all()


def test_luma_is_that_of_rec_601():
    pixels = SMALL_GREY.read(encoded(flat("RGB", (200, 100, 50))))
    assert pixels.shape == (8, 8, 1)
    assert abs(int(pixels[0, 0, 0]) - (0.299 * 200 + 0.587 * 100 + 0.114 * 50)) <= 0.5


def test_the_first_of_several_frames_is_read():
    red, blue = flat("RGB", "red"), flat("RGB", "blue")
    for kind in ("GIF", "PNG", "TIFF", "WEBP"):
        options = {"lossless": True} if kind == "WEBP" else {}
        data = encoded(red, kind, save_all=True, append_images=[blue], **options)
        assert (SMALL.read(data) == (255, 0, 0)).all(), kind
        assert "animated" in inspect(data).flags, kind


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[True, False]]), [255, 0]),
        (np.array([[0, 65535]], np.uint16), [0, 255]),
        (np.array([[0, 255]], np.int64), [0, 255]),
        (np.array([[0, 200]], np.int32), [0, 200]),
        (np.array([[0, 65535]], np.int32), [0, 255]),
        (np.array([[-1000, 1000]], np.int32), [0, 255]),
        (np.array([[0.0, 1.0]], np.float32), [0, 255]),
        (np.array([[0.0, 0.2]], np.float16), [0, 51]),
        (np.array([[0.0, 200.0]]), [0, 200]),
        (np.array([[-1e308, 1e308]]), [0, 255]),
        (np.array([[np.nan, 5e6]]), [0, 0]),
        (np.array([[np.nan, 0.2]]), [0, 51]),
        (np.array([[-np.inf, -5.0, 5.0]]), [0, 0, 255]),
    ],
)
def test_numbers_of_every_kind_have_a_scale(values, expected):
    shape = Preprocessing(height_px=1, width_px=values.shape[1], channels=1)
    assert shape.read(values)[0, :, 0].tolist() == expected


@pytest.mark.parametrize(
    "values", [np.zeros((2, 2, 5)), np.zeros(3), np.zeros((0, 2)), np.array([["a"]])]
)
def test_arrays_that_are_no_pictures_are_refused(values):
    with pytest.raises(PictureError):
        SMALL.read(values)


# Upright -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", range(10))
def test_every_orientation_comes_out_upright(kind, orientation):
    image = photo(64, 48)
    inverse = [None, None, 0, 3, 1, 5, 2, 6, 4, None][orientation]  # Image.Transpose
    stored = image if inverse is None else image.transpose(Image.Transpose(inverse))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"PNG": {}, "TIFF": {}, "WEBP": {"lossless": True}, "JPEG": {"quality": 95}}[kind]
    data = encoded(stored, kind, exif=exif, **options)
    difference = SMALL.read(data).astype(int) - SMALL.read(image)
    assert abs(difference).max() <= (4 if kind == "JPEG" else 0)
    facts = inspect(data)
    assert (facts.width_px, facts.height_px) == (64, 48)
    assert ("rotated" in facts.flags) == (2 <= orientation <= 8)


def test_a_broken_exif_block_spoils_no_pixel():
    data = encoded(photo(8, 8), "PNG", exif=b"Exif\0\0II*\0" + b"\xff" * 40)
    assert np.array_equal(SMALL.read(data), np.asarray(photo(8, 8)))
    assert inspect(data).flags == ()


def test_the_eighteen_orientation_files_agree(datasets):
    with tarfile.open(datasets / "exif-orientations.tar") as archive:
        files = {
            member.name.rsplit("/", 1)[-1]: archive.extractfile(member).read()
            for member in archive
            if member.name.endswith(".jpg")
        }
    assert len(files) == 18
    wanted = Preprocessing(height_px=60, width_px=60, channels=3)
    for kind in ("Landscape", "Portrait"):
        reference = wanted.read(files[f"{kind}_1.jpg"]).astype(int)
        for orientation in range(9):
            name = f"{kind}_{orientation}.jpg"
            facts = inspect(files[name], name=name)
            assert (facts.width_px > facts.height_px) == (kind == "Landscape"), name
            # Each file is its own JPEG, with a caption of its own: the mean tells a turned one.
            assert abs(wanted.read(files[name]) - reference).mean() < 6, name


# Facts ---------------------------------------------------------------------------------------


def test_facts_come_from_the_header(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(photo(64, 48), "PNG"))
    facts = inspect(path)
    assert facts.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (facts.width_px, facts.height_px, facts.mode, facts.format) == (64, 48, "RGB", "PNG")
    assert facts.flags == ("wrong-extension",)
    assert inspect(path.read_bytes(), name="b/c.png").flags == ()
    assert inspect(path.read_bytes()).flags == ()


@pytest.mark.parametrize(
    ("image", "kind", "flags"),
    [
        (flat("L", 1), "PNG", ("grey",)),
        (flat("LA", (1, 1)), "PNG", ("alpha", "grey")),
        (flat("P", 1), "PNG", ("palette",)),
        (flat("I;16", 1), "PNG", ("16-bit", "grey")),
        (flat("F", 1), "TIFF", ("deep", "grey")),
        (flat("CMYK", 1), "JPEG", ("cmyk",)),
        (flat("RGB", 1), "JPEG", ()),
    ],
)
def test_flags_say_what_is_unusual(image, kind, flags):
    assert inspect(encoded(image, kind)).flags == flags


def test_facts_of_an_array_tell_arrays_apart():
    one = inspect(np.zeros((4, 6, 3), np.uint8))
    assert (one.width_px, one.height_px, one.mode, one.format) == (6, 4, "RGB", "array")
    assert one.sha256 != inspect(np.zeros((6, 4, 3), np.uint8)).sha256


# What is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_a_truncated_picture_is_no_picture(kind):
    data = encoded(photo(), kind)
    with pytest.raises(PictureError, match="truncated|damaged|cannot be read"):
        SMALL.read(data[: len(data) * 2 // 3])


@pytest.mark.parametrize("content", [b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0", b"\xff\xd8\xff"])
def test_what_is_no_picture_is_refused(content):
    for use in (SMALL.read, inspect):
        with pytest.raises(PictureError, match="not a picture in a format that is read"):
            use(content)


def png_of(width: int, height: int) -> bytes:
    """The header of a PNG; the pixels that it promises need not be there."""

    def chunk(name: bytes, body: bytes) -> bytes:
        crc = zlib.crc32(name + body).to_bytes(4, "big")
        return len(body).to_bytes(4, "big") + name + body + crc

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b""))


@pytest.mark.parametrize("size", [(2**20, 2**20), (2**27 + 1, 1), (12000, 12000)])
def test_too_many_pixels_are_refused_from_the_header(size):
    for use in (SMALL.read, inspect):
        started = time.process_time()
        with pytest.raises(PictureError, match="too large"):
            use(png_of(*size))
        assert time.process_time() - started < 1


def test_a_hundred_megapixels_are_allowed_by_the_header():
    facts = inspect(png_of(12000, 9000))
    assert (facts.width_px, facts.height_px) == (12000, 9000)


def test_paths_that_are_no_files_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")  # opening it would wait for ever
    for path in (tmp_path, tmp_path / "absent.jpg", tmp_path / "pipe.jpg", Path("a\0b")):
        for use in (SMALL.read, inspect):
            with pytest.raises(PictureError, match=r"not a file|cannot be read: \w"):
                use(path)


def test_a_huge_file_is_refused_unread(tmp_path):
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        file.truncate(2**30 + 1)  # sparse
    with pytest.raises(PictureError, match="a file of 1,073,741,825 bytes"):
        inspect(path)


def test_warnings_of_pillow_stay_inside_even_among_threads():
    odd = encoded(photo(), "PNG", exif=b"Exif\0\0II*\0" + b"\xff" * 40)
    before = list(warnings.filters)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        inside = list(warnings.filters)
        threads = [
            threading.Thread(target=lambda: [SMALL.read(odd) for _ in range(50)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert warnings.filters == inside
    assert warnings.filters == before


def test_every_bad_input_gives_pixels_or_a_reason(datasets, tmp_path):
    """In its own process with 2 GB of address space, so that a crash or a bomb fails the test."""
    program = tmp_path / "read_all.py"
    program.write_text(READ_ALL)
    result = subprocess.run(
        [sys.executable, program, datasets / "bad-inputs.tar.gz", str(SECONDS_A_FILE)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    read, refused = map(int, result.stdout.split())
    assert read + refused == 586 + 2  # and the manifest and the licence
    assert read >= 480  # Pillow 13 reads 486; formats that we refuse are 74


READ_ALL = """
import resource, sys, tarfile, time, warnings
from saccade.data.picture import Preprocessing, inspect
from saccade.errors import PictureError

resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
warnings.simplefilter("error")
wanted, counts = Preprocessing(height_px=32, width_px=32, channels=3), [0, 0]
with tarfile.open(sys.argv[1]) as archive:
    for member in archive:
        if not member.isfile():
            continue
        data = archive.extractfile(member).read()
        started = time.monotonic()
        try:
            facts = inspect(data, name=member.name)
            assert facts.width_px > 0 and facts.height_px > 0
        except PictureError as error:
            assert "\\n" not in str(error) and len(str(error)) < 200, str(error)
        try:
            pixels = wanted.read(data)
            assert pixels.shape == (32, 32, 3) and pixels.dtype == "uint8"
            counts[0] += 1
        except PictureError as error:
            assert str(error) and "\\n" not in str(error) and len(str(error)) < 200, str(error)
            counts[1] += 1
        assert time.monotonic() - started < float(sys.argv[2]), member.name
print(*counts)
"""


# As JSON -------------------------------------------------------------------------------------


def test_preprocessing_comes_back_from_json():
    for preprocessing in (SMALL, Preprocessing(height_px=1, width_px=4096, channels=1)):
        assert Preprocessing.from_json(preprocessing.to_json()) == preprocessing


GOOD = {"height_px": 8, "width_px": 8, "channels": 3, "fit": "pad"}


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        GOOD | {"height_px": 0},
        GOOD | {"height_px": 4097},
        GOOD | {"height_px": 10**30},
        GOOD | {"width_px": -1},
        GOOD | {"width_px": 8.0},
        GOOD | {"width_px": "8"},
        GOOD | {"width_px": True},
        GOOD | {"channels": 4},
        GOOD | {"channels": True},
        GOOD | {"fit": "crop"},
        GOOD | {"fit": ["pad"]},
        GOOD | {"extra": 1},
        {name: value for name, value in GOOD.items() if name != "fit"},
    ],
)
def test_hostile_preprocessing_is_refused(document):
    with pytest.raises(ValueError, match="preprocessing holds|whole number|channels|fit"):
        Preprocessing.from_json(document)
