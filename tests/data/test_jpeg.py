"""The short way to plain JPEGs; Pillow's general reader is the witness of every pixel and fact."""

from __future__ import annotations

import hashlib
import io
import random
import struct
import tarfile

import numpy as np
import pytest
from PIL import Image

from saccade.data.jpeg import PlainHeader, decode_plain, plain_header, plain_scale
from saccade.data.picture import Preprocessing, _facts, inspect
from saccade.data.raster import with_file
from saccade.errors import PictureError


def jpeg(width: int, height: int, mode: str = "RGB", **options) -> bytes:
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    smooth = Image.fromarray(pixels).resize((width, height), reducing_gap=1.0)
    buffer = io.BytesIO()
    smooth.convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def exif_block(order: str, *entries: tuple[int, int, int, int], directory: int = 8) -> bytes:
    """An EXIF segment's content by TIFF 6.0: entries are (tag, type, number of values, value)."""
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", directory)
    body = struct.pack(order + "H", len(entries))
    for tag, kind, count, value in entries:
        body += struct.pack(order + "HHI", tag, kind, count)
        body += (
            struct.pack(order + "HH", value, 0) if kind == 3 else struct.pack(order + "I", value)
        )
    return b"Exif\0\0" + head + body + bytes(4)


def with_segments(content: bytes, *segments: bytes) -> bytes:
    """A JPEG with these APP1 segments behind its first marker."""
    packed = (b"\xff\xe1" + struct.pack(">H", len(s) + 2) + s for s in segments)
    return content[:2] + b"".join(packed) + content[2:]


XMP = b"http://ns.adobe.com/xap/1.0/\0"
UPRIGHT, SIDEWAYS = (0x0112, 3, 1, 1), (0x0112, 3, 1, 6)
COMPRESSION = (0x0103, 3, 1, 6)  # of a thumbnail: another tag
AS_IT_LIES = {
    "exif 1": [exif_block("<", COMPRESSION, UPRIGHT)],
    "exif 1, big-endian": [exif_block(">", UPRIGHT, COMPRESSION)],
    "exif without orientation": [exif_block("<", COMPRESSION)],
    "exif without anything": [exif_block(">")],
    "exif with a thumbnail": [exif_block("<", UPRIGHT) + jpeg(8, 8)],
    "xmp without orientation": [XMP + b"<x:xmpmeta/>"],
    "xmp 1": [XMP + b'<x tiff:Orientation="1"/>'],
    "xmp 1, an element": [XMP + b"<tiff:Orientation>1</tiff:Orientation>"],
    "exif 1 and xmp 1": [exif_block("<", UPRIGHT), XMP + b'<x tiff:Orientation="1"/>'],
    "something else": [b"http://example.org/"],
}
MAY_TURN = {
    "exif 6": [exif_block("<", COMPRESSION, SIDEWAYS)],
    "exif 6, big-endian": [exif_block(">", SIDEWAYS)],
    "exif 1 and 6": [exif_block("<", UPRIGHT, SIDEWAYS)],
    "exif of another type": [exif_block("<", (0x0112, 4, 1, 6))],
    "exif of two values": [exif_block("<", (0x0112, 3, 2, 1))],
    "two exifs": [exif_block("<", UPRIGHT), exif_block("<", SIDEWAYS)],
    "exif cut": [exif_block("<", COMPRESSION, SIDEWAYS)[:-12]],
    "exif elsewhere": [exif_block("<", UPRIGHT, directory=500)],
    "no tiff": [b"Exif\0\0" + bytes(40)],
    "xmp 6": [XMP + b'<x tiff:Orientation="6"/>'],
    "xmp 6, an element": [XMP + b"<tiff:Orientation>6</tiff:Orientation>"],
    "xmp 1 and 6": [XMP + b'<x tiff:Orientation="1"/>', XMP + b'<x tiff:Orientation="6"/>'],
}


def outcome(work):
    """What came out: the value, or the reason."""
    try:
        return work()
    except PictureError as error:
        return str(error)


def by_general_reader(content: bytes, wanted: Preprocessing, *, full_scale: bool):
    """The way of everything that is no plain JPEG."""
    return with_file(io.BytesIO(content), lambda image: wanted._decode(image, full_scale))


def assert_both_ways_agree(content: bytes, wanted: Preprocessing) -> None:
    sha256 = hashlib.sha256(content).hexdigest()
    general = outcome(lambda: with_file(io.BytesIO(content), lambda i: _facts(i, sha256, "a.jpg")))
    assert outcome(lambda: inspect(content, name="a.jpg")) == general
    for full_scale in (False, True):
        general = outcome(lambda f=full_scale: by_general_reader(content, wanted, full_scale=f))
        ours = outcome(lambda f=full_scale: wanted.decode(content, full_scale=f))
        if isinstance(general, str):
            assert ours == general
        else:
            assert ours.reduced == general.reduced
            assert np.array_equal(ours.pixels, general.pixels)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (32, 32), (33, 31), (129, 257), (401, 263)])
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_pixels_are_those_of_the_general_reader(size, mode, subsampling):
    content = jpeg(*size, mode, subsampling=subsampling)
    assert plain_header(content) == PlainHeader(*size, mode)
    for channels in (1, 3):
        for fit in ("pad", "stretch"):
            wanted = Preprocessing(height_px=32, width_px=24, channels=channels, fit=fit)
            assert_both_ways_agree(content, wanted)


@pytest.mark.parametrize(
    "options",
    [{"keep_rgb": True}, {"restart_marker_blocks": 1}, {"optimize": True}, {"quality": 100}],
    ids=str,
)
def test_a_way_of_writing_changes_nothing(options):
    content = jpeg(61, 45, **options)
    assert plain_header(content) == PlainHeader(61, 45, "RGB")
    assert_both_ways_agree(content, Preprocessing(height_px=20, width_px=20, channels=3))


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_every_size_and_scale_is_as_pillow_decodes_it(mode, monkeypatch):
    """Small sizes above all, where two scales may give one size."""
    sizes = [(w, h) for w in range(1, 20) for h in (1, 2, 3, 7, 8, 9, 17)]
    contents = [jpeg(*size, mode, subsampling=2) for size in sizes]
    headers = [plain_header(content) for content in contents]

    def decoded():
        return [
            decode_plain(content, header, scale)
            for content, header in zip(contents, headers, strict=True)
            for scale in (1, 2, 4, 8)
        ]

    ours = decoded()
    monkeypatch.setattr("saccade.data.jpeg.simplejpeg", None)  # as where there is no wheel
    for got, pillows in zip(ours, decoded(), strict=True):
        assert np.array_equal(got, pillows)


def test_a_header_that_the_decoder_reads_otherwise_is_refused():
    with pytest.raises(ValueError, match="decode"):
        decode_plain(jpeg(16, 16), PlainHeader(16, 8, "RGB"))


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_a_scale_is_that_of_draft(scale):
    content = jpeg(101, 67)
    header = plain_header(content)
    assert header is not None
    wanted = 101 // scale, 67 // scale
    with Image.open(io.BytesIO(content)) as image:
        image.draft(None, wanted)
        assert plain_scale(header, wanted) == scale
        assert np.array_equal(decode_plain(content, header, scale), image)


@pytest.mark.parametrize(
    "content",
    [
        jpeg(16, 16, "CMYK"),
        jpeg(16, 16, progressive=True),
        jpeg(16, 16, exif=exif_of(6)),
        jpeg(16, 16, xmp=b"<x tiff:Orientation='6'/>"),
        jpeg(16, 16)[:300],
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xe0\x00\x00",
        b"",
        b"GIF89a",
    ],
    ids=["cmyk", "progressive", "exif", "xmp", "cut", "start", "length 0", "empty", "gif"],
)
def test_what_is_not_plain_is_left_to_the_general_reader(content):
    assert plain_header(content) is None
    assert_both_ways_agree(content, Preprocessing(height_px=8, width_px=8, channels=3))


@pytest.mark.parametrize("segments", AS_IT_LIES.values(), ids=AS_IT_LIES)
def test_exif_and_xmp_that_turn_nothing_are_plain(segments):
    content = with_segments(jpeg(40, 20), *segments)
    assert plain_header(content) == PlainHeader(40, 20, "RGB")
    assert_both_ways_agree(content, Preprocessing(height_px=8, width_px=16, channels=3))


@pytest.mark.parametrize("segments", MAY_TURN.values(), ids=MAY_TURN)
def test_exif_and_xmp_that_may_turn_are_left_to_the_general_reader(segments):
    content = with_segments(jpeg(40, 20), *segments)
    assert plain_header(content) is None
    assert_both_ways_agree(content, Preprocessing(height_px=8, width_px=16, channels=3))


def test_damaged_exif_and_xmp_turn_as_the_general_reader_says():
    rng = random.Random(1)
    wanted = Preprocessing(height_px=8, width_px=16, channels=1)
    kinds = [*AS_IT_LIES.values(), *MAY_TURN.values()]
    short = 0
    for _ in range(600):
        content = bytearray(with_segments(jpeg(16, 8), *rng.choice(kinds)))
        for _ in range(rng.choice((1, 2, 4))):  # in the segments above all
            content[rng.randrange(2, 80)] = rng.choice((0, 1, 3, 6, 8, 0x12, rng.randrange(256)))
        short += plain_header(bytes(content)) is not None
        assert_both_ways_agree(bytes(content), wanted)
    assert 60 < short < 540  # both ways were taken


def test_photographs_of_every_orientation_agree(datasets):
    wanted = Preprocessing(height_px=90, width_px=90, channels=3)
    upright = 0
    with tarfile.open(datasets / "exif-orientations.tar") as tar:
        for member in tar:
            if member.name.endswith(".jpg"):
                content = tar.extractfile(member).read()
                upright += plain_header(content) is not None
                assert_both_ways_agree(content, wanted)
    assert (
        upright == 2
    )  # orientation 1, landscape and portrait; 0 is nobody's business but Pillow's


@pytest.mark.parametrize("options", [{"comment": b"\xff\xda" * 9}, {"icc_profile": bytes(9000)}])
def test_a_header_is_read_to_its_end(options):
    """Where a comment holds the bytes that begin the coefficients, and where a header is long."""
    content = jpeg(20, 10, **options)
    assert plain_header(content) == PlainHeader(20, 10, "RGB")
    assert_both_ways_agree(content, Preprocessing(height_px=8, width_px=8, channels=3))


def test_one_header_before_two_pictures():
    """The second is known by the first; each is looked at for what follows."""
    content = jpeg(20, 10)
    header_bytes = content.index(b"\xff\xda") + 14  # length, three components, spectral selection
    assert plain_header(content) == plain_header(content[: header_bytes + 1])
    assert plain_header(content[:header_bytes]) is None


def test_a_second_picture_behind_it_is_not_plain():
    buffer = io.BytesIO()
    other = Image.new("RGB", (16, 16), "red")
    other.save(buffer, "MPO", save_all=True, append_images=[other])
    assert plain_header(buffer.getvalue()) is None
    assert inspect(buffer.getvalue()).format == "MPO"


@pytest.mark.parametrize(("mode", "flags"), [("RGB", ()), ("L", ("grey",))])
def test_facts_are_those_of_the_general_reader(mode, flags):
    facts = inspect(jpeg(20, 10, mode), name="a.png")
    assert (facts.width_px, facts.height_px, facts.mode, facts.format) == (20, 10, mode, "JPEG")
    assert facts.flags == (*flags, "wrong-extension")
    turned = inspect(jpeg(20, 10, mode, exif=exif_of(6)), name="a.jpg")
    assert (turned.width_px, turned.height_px, turned.flags) == (10, 20, (*flags, "rotated"))


def test_damage_has_the_reason_of_the_general_reader():
    """A thousand broken JPEGs: the same pixels or the same reason, whichever way was taken."""
    rng = random.Random(0)
    wanted = Preprocessing(height_px=16, width_px=16, channels=3)
    contents = [jpeg(48, 40, subsampling=number) for number in range(3)]
    for number in range(1000):
        content = bytearray(rng.choice(contents))
        for _ in range(rng.choice((1, 1, 4))):
            content[rng.randrange(len(content))] = rng.randrange(256)
        if number % 4 == 0:
            del content[rng.randrange(len(content)) :]
        assert_both_ways_agree(bytes(content), wanted)


def test_real_photographs_take_the_short_way_and_agree(datasets, tmp_path):
    wanted = Preprocessing(height_px=96, width_px=96, channels=3)
    with tarfile.open(datasets / "flowers-originals.tar") as tar:
        tar.extractall(tmp_path, filter="data")
    paths = sorted(tmp_path.rglob("*.jpg"))[::12]
    plain = 0
    for path in paths:
        content = path.read_bytes()
        plain += plain_header(content) is not None
        assert_both_ways_agree(content, wanted)
        assert np.array_equal(wanted.read(path), wanted.read(content))
    assert plain == len(paths)
