"""Problems of single pictures, each planted by itself, and in real files of every odd kind."""

from __future__ import annotations

import json
import shutil
import struct
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from saccade.check.data import check_data


def noise(width: int = 32, height: int = 32, seed: int = 0) -> Image.Image:
    random = np.random.default_rng(seed)
    return Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))


def found_in(root: Path) -> dict[str, set[str]]:
    return {f.name: {row.path for row in f.rows} for f in check_data(root)}


@pytest.fixture
def sound(tmp_path) -> Path:
    """Two classes of 24 pictures with nothing wrong; to the first a test adds one."""
    for place, name in enumerate("ab"):
        (tmp_path / name).mkdir()
        for number in range(24):
            noise(seed=100 + 24 * place + number).save(tmp_path / name / f"{number:02}.png")
    return tmp_path


def test_sound_pictures_have_no_finding(sound):
    assert found_in(sound) == {}


def test_one_class_alone_is_told_with_what_to_do(sound):
    shutil.rmtree(sound / "b")
    (finding,) = check_data(sound)
    assert (finding.name, finding.severity, finding.where) == ("one-class", "serious", "a")
    assert "a folder for each class" in finding.cure


def test_messages_read_well_of_one_file_and_of_two(sound):
    for number in range(2):
        Image.new("RGB", (32, 32), (200, 90, number)).save(sound / "a" / f"even{number}.png")
        found = {finding.name: finding.message for finding in check_data(sound)}
        count = ("1 file", "2 files")[number]
        assert found["blank"].startswith(f"{count} of one even colour: ")


def test_extreme_shape(sound):
    noise(100, 30).save(sound / "a" / "long.png")
    noise(30, 89).save(sound / "a" / "high.png")  # less than three times
    assert found_in(sound)["extreme-shape"] == {"a/long.png"}


def test_wrong_extension(sound):
    noise().save(sound / "a" / "x.jpg", "PNG")
    assert found_in(sound) == {"wrong-extension": {"a/x.jpg"}}


def test_animated(sound):
    frames = [noise(seed=seed) for seed in range(3)]
    frames[0].save(sound / "a" / "x.gif", save_all=True, append_images=frames[1:])
    frames[0].save(sound / "a" / "still.gif")
    found = found_in(sound)
    assert found["animated"] == {"a/x.gif"}
    assert set(found) == {"animated", "equal-copies"}  # the still is the animation's first frame


def test_odd_modes_are_named(sound):
    noise().convert("CMYK").save(sound / "a" / "print.jpg")
    deep = np.random.default_rng(0).integers(0, 65536, (32, 32), dtype=np.uint16)
    Image.fromarray(deep).save(sound / "a" / "deep.png")
    noise(seed=1).convert("P").save(sound / "a" / "palette.png")  # common, and loses nothing
    (finding,) = check_data(sound)
    assert finding.name == "odd-mode"
    assert finding.severity == "note"
    said = {row.path: row.detail for row in finding.rows}
    assert set(said) == {"a/print.jpg", "a/deep.png"}
    assert "CMYK" in said["a/print.jpg"]
    assert "16 bits" in said["a/deep.png"]


def test_truncated_and_bomb_are_unreadable(sound):
    whole = sound / "a" / "00.png"
    (sound / "a" / "torn.png").write_bytes(whole.read_bytes()[:-400])
    # A header alone that promises more than is ever decoded: 30,000 by 30,000.
    header = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    (sound / "a" / "bomb.png").write_bytes(whole.read_bytes()[:8] + chunk + whole.read_bytes()[33:])
    (finding,) = check_data(sound)
    assert finding.name == "unreadable"
    said = {row.path: row.detail for row in finding.rows}
    assert set(said) == {"a/torn.png", "a/bomb.png"}
    assert "too large" in said["a/bomb.png"]


def test_blank_and_dark(sound):
    Image.new("RGB", (32, 32), (9, 90, 200)).save(sound / "a" / "even.png")
    dim = np.asarray(noise()) // 16  # up to 15 of 255, and not even
    Image.fromarray(dim).save(sound / "a" / "night.png")
    assert found_in(sound) == {"blank": {"a/even.png"}, "dark": {"a/night.png"}}


def test_set_that_is_dark_by_nature_has_no_finding(tmp_path):
    (tmp_path / "a").mkdir()
    for number in range(24):
        dim = np.asarray(noise(seed=number)) // 16
        Image.fromarray(dim).save(tmp_path / "a" / f"{number}.png")
    assert "dark" not in found_in(tmp_path)


@pytest.fixture
def every_trouble(sound) -> Path:
    """The sound class and each problem of a picture, of a measured one two: a mild and a bad one.

    Their names sort the mild one first, so that order by path is not order by score.
    """
    place = sound / "a"
    noise(100, 30, seed=1).save(place / "shape-0.png")
    noise(200, 25, seed=2).save(place / "shape-1.png")
    for number, (blur, dim, depth) in enumerate([(1.5, 12, 3), (3, 18, 1)]):
        smooth = noise(seed=3 + number).filter(ImageFilter.GaussianBlur(blur))
        smooth.save(place / f"blurred-{number}.png")
        night = np.asarray(noise(seed=5 + number)) // dim
        Image.fromarray(night).save(place / f"dark-{number}.png")
        even = np.full((32, 32, 3), 90, np.uint8)
        even[::2] += np.uint8(depth)  # a deviation of half of that
        Image.fromarray(even).save(place / f"blank-{number}.png")
    (place / "torn.png").write_bytes((place / "00.png").read_bytes()[:-400])
    noise(seed=7).save(place / "misnamed.jpg", "PNG")
    noise(seed=8).convert("CMYK").save(place / "print.jpg")
    frames = [noise(seed=seed) for seed in (9, 10)]
    frames[0].save(place / "moving.gif", save_all=True, append_images=frames[1:])
    shutil.copy(place / "01.png", place / "equal.png")
    noise(seed=102).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(place / "near.png")
    return sound


def test_scores_grade_what_is_measured_and_the_worst_comes_first(every_trouble):
    found = {finding.name: finding.rows for finding in check_data(every_trouble)}
    measured = {"extreme-shape": "shape", "blurred": "blurred", "dark": "dark", "blank": "blank"}
    certain = {"unreadable", "wrong-extension", "odd-mode", "animated", "equal-copies"}
    assert set(found) == {*measured, *certain, "near-copies"}
    for name, word in measured.items():
        assert [row.path for row in found[name]] == [f"a/{word}-1.png", f"a/{word}-0.png"]
        worst, mild = (row.score for row in found[name])
        assert 0 < mild < worst < 1
    assert {row.score for name in certain for row in found[name]} == {1.0}
    assert all(0 <= row.score <= 1 for rows in found.values() for row in rows)
    # By hand: 1 - 3 / 8 and 1 - 3 / (10 / 3); stripes of 3 and of 1 deviate by 1.5 and 0.5 of 2.
    assert [row.score for row in found["extreme-shape"]] == pytest.approx([0.625, 0.1])
    assert [row.score for row in found["blank"]] == pytest.approx([0.75, 0.25])


def test_blurred_photographs_are_found(datasets, tmp_path):
    """Of real flowers, those blurred by a Gaussian of 1 % of the longer side; of the rest few."""
    (tmp_path / "a").mkdir()
    with tarfile.open(datasets / "flowers-originals.tar") as tar:
        members = [m for m in tar if m.name.endswith(".jpg")][:330:11]
        for number, member in enumerate(members):
            picture = Image.open(tar.extractfile(member)).convert("RGB")
            picture.thumbnail((160, 160))
            if number % 10 == 0:
                picture = picture.filter(ImageFilter.GaussianBlur(4))
            picture.save(tmp_path / "a" / f"{number:02}.png")
    blurred = {f"a/{number:02}.png" for number in (0, 10, 20)}
    assert found_in(tmp_path).get("blurred", set()) == blurred


# Of each kind of trouble a few of an image library's own test files, by what its MANIFEST says.
REAL = {
    "unreadable": ("decompression_bomb.ico", "truncated_jpeg.jpg", "truncated_end_chunk.png"),
    "odd-mode": ("pil_sample_cmyk.jpg", "16bit.deflate.tif", "12in16bit.tif"),
    "animated": ("chi.gif", "iss634.gif", "g4-multi.tiff"),
    "extreme-shape": ("bw_gradient.png", "colr_bungee.png", "g4_orientation_1.tif"),
    # Also two with next to nothing in the upper 8 of 16 bits, and a page 1 part in 8,000 black.
    "blank": (
        *("imagedraw_big_rectangle.png", "broken_exif_dpi.jpg"),
        *("12in16bit.tif", "16bit.deflate.tif", "g4-multi.tiff"),
    ),
}


def test_real_odd_files_are_named(datasets, tmp_path):
    wanted = {name for names in REAL.values() for name in names} | {"pil168.png"}
    (tmp_path / "a").mkdir()
    with tarfile.open(datasets / "bad-inputs.tar.gz") as tar:
        for member in tar:
            name = member.name.partition("/")[2]
            if name in wanted:
                place = tmp_path / "a" / name.replace("/", "-")
                place.write_bytes(tar.extractfile(member).read())
            if name == "MANIFEST.json":
                said = {entry["path"]: entry for entry in json.load(tar.extractfile(member))}
    found = found_in(tmp_path)
    for name, files in REAL.items():
        assert found[name] == {f"a/{file.replace('/', '-')}" for file in files}
    assert "a/pil168.png" not in found["blank"]  # red to blue: luma deviates by 1.7, blue by 54
    for file in REAL["extreme-shape"]:
        assert max(said[file]["size"]) > 3 * min(said[file]["size"])
    assert all(said[file]["frames"] > 1 for file in REAL["animated"])  # Pillow agrees
    assert [said[file]["mode"] for file in REAL["odd-mode"]] == ["CMYK", "I;16", "I;16"]


# Photographs of flowers by their mean luma of 255: the two darkest of 351, and two not so dark.
NIGHT = {"roses/14880561916_79aeb812fd_n.jpg": 15.3, "dandelion/9939430464_5f5861ebab.jpg": 21.0}
DUSK = {"roses/4414135084_1ac7e6cd54.jpg": 27.2, "dandelion/2161283279_02ea3ff8d4.jpg": 33.1}


def unpacked(archive: Path, folder: str, names: Iterable[str], to: Path) -> None:
    """Copy some files of a tar to a folder, under their own names."""
    to.mkdir(exist_ok=True)
    with tarfile.open(archive) as tar:
        for name in names:
            content = tar.extractfile(f"{folder}/{name}").read()
            (to / Path(name).name).write_bytes(content)


def exposed(picture: Image.Image, stops: int) -> Image.Image:
    """Return a photograph with so many stops less of light; each halves it, before sRGB's curve."""
    share = np.arange(256) / 255
    light = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4) / 2**stops
    share = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return picture.point(np.tile((share * 255).round().astype(int), 3).tolist())


def test_dark_photographs_are_found(datasets, tmp_path):
    """Flowers by night and by dusk, two cats, and one of these at five stops less of light."""
    place = tmp_path / "a"
    cats = ("cat.10.jpg", "cat.100.jpg")
    unpacked(datasets / "flowers-originals.tar", "flowers", [*NIGHT, *DUSK], place)
    unpacked(datasets / "cats-vs-dogs-192px.tar", "cats_vs_dogs/train/cats", cats, place)
    night = exposed(Image.open(place / "cat.10.jpg"), 5)
    night.save(place / "night.png")
    (finding,) = (finding for finding in check_data(tmp_path) if finding.name == "dark")
    said = {row.path: float(row.detail.split()[1]) for row in finding.rows}
    wanted = {f"a/{Path(name).name}": luma for name, luma in NIGHT.items()}
    wanted["a/night.png"] = np.asarray(night.convert("L")).mean()  # Pillow's luma
    assert said == pytest.approx(wanted, abs=1)  # large ones are looked at when shrunk


def test_real_jpeg_by_another_name_is_told(datasets, tmp_path):
    (name, *_) = NIGHT
    place = tmp_path / "a"
    unpacked(datasets / "flowers-originals.tar", "flowers", [name], place)
    shutil.copy(place / Path(name).name, place / "rose.png")
    assert found_in(tmp_path)["wrong-extension"] == {"a/rose.png"}


def test_turned_pictures_are_no_trouble(datasets, tmp_path):
    """Eighteen turned by EXIF; they show one scene, so they count as copies, and no more."""
    (tmp_path / "a").mkdir()
    with tarfile.open(datasets / "exif-orientations.tar") as tar:
        members = [member for member in tar if member.name.endswith(".jpg")]
        for number, member in enumerate(members):
            (tmp_path / "a" / f"{number:02}.jpg").write_bytes(tar.extractfile(member).read())
    found = found_in(tmp_path)
    # Each is like eight of eighteen: only nearly equal ones count, and these are.
    assert set(found) == {
        "too-few-pictures",
        "near-copies",
        "near-copies-not-told",
        "one-class",
    }
    assert len(found["near-copies"]) >= 16  # of two scenes, nine times each
