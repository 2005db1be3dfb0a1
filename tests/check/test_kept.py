"""Near copies of a cache's pictures: found, kept, and given up on with a reason."""

from __future__ import annotations

import platform
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saccade.check import kept
from saccade.check.kept import kept_copies, thumbs_of, tints_of
from saccade.check.tints import tint_of
from saccade.data import Cache
from saccade.data.picture import digest_of


def noise(count: int, *, side: int = 40, channels: int = 3) -> np.ndarray:
    """Coarse random pictures, no two alike."""
    random = np.random.default_rng(count)
    coarse = random.integers(0, 256, (count, side // 4, side // 4, channels), dtype=np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


def cache_of(pixels: np.ndarray, folder: Path) -> Cache:
    digest = np.array([digest_of(picture) for picture in pixels], np.uint64)
    return Cache(pixels=pixels, pixel_digest=digest, key="0", folder=folder, reused=False)


def found(pixels: np.ndarray, folder: Path, *, limit_s: float | None = None) -> kept.KeptCopies:
    sizes = [(pixels.shape[2], pixels.shape[1])] * len(pixels)
    return kept_copies(cache_of(pixels, folder), sizes, limit_s=limit_s)


def ends(copies: kept.KeptCopies) -> list[tuple[int, int]]:
    assert copies.pairs is not None, copies.why_not
    return list(zip(copies.pairs.first.tolist(), copies.pairs.second.tolist(), strict=True))


def test_pairs_are_of_the_caches_rows_and_are_kept(tmp_path):
    pixels = noise(60)
    pixels[50] = pixels[7][:, ::-1]
    pixels[51] = pixels[9] // 2 + 40
    pixels[3] = pixels[4]  # equal: row 3 stands for both
    first = found(pixels, tmp_path)
    assert ends(first) == [(7, 50), (9, 51)]
    (path,) = tmp_path.iterdir()
    written = path.stat().st_mtime_ns
    again = found(pixels, tmp_path)
    assert ends(again) == ends(first)
    assert path.stat().st_mtime_ns == written
    path.write_bytes(path.read_bytes()[:-40])  # damaged: computed anew
    assert ends(found(pixels, tmp_path)) == ends(first)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_other_settings_are_other_files(tmp_path, monkeypatch):
    found(noise(20), tmp_path)
    monkeypatch.setattr(kept, "SETTINGS", ("other",))
    found(noise(20), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_of_lookalikes_only_nearly_equal_ones_are_copies_and_a_note_says_so(tmp_path):
    one = noise(2)[0].astype(int)
    grain = np.random.default_rng(0).normal(0, 8, (30, *one.shape))
    pixels = np.clip(one + grain, 0, 255).astype(np.uint8)
    pixels[20] = pixels[7][:, ::-1]
    for _ in range(2):  # the second time from what is kept
        copies = found(pixels, tmp_path)
        assert ends(copies) == [(7, 20)]
        assert "only nearly equal copies were looked for: each picture is like" in copies.why_not


@pytest.mark.parametrize("looked_for_before", [False, True])
def test_budget_decides_alike_whether_pairs_are_kept_or_not(tmp_path, looked_for_before):
    pixels = noise(100)
    if looked_for_before:
        found(pixels, tmp_path)
    assert "among 100 pictures that takes" in found(pixels, tmp_path, limit_s=0.001).why_not
    assert ends(found(pixels, tmp_path, limit_s=1)) == []


def test_tiny_pictures_are_not_compared(tmp_path):
    copies = found(noise(10, side=12), tmp_path)
    assert copies.pairs is None
    assert "under 16 px" in copies.why_not


@pytest.mark.parametrize(("width", "height"), [(28, 28), (96, 40), (32, 32)])
def test_thumbnails_are_pillows_less_the_padding(width, height):
    pixels = np.full((2, 100, 100, 3), 128, np.uint8)
    inner = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    top, left = (100 - height) // 2, (100 - width) // 2
    pixels[1, top : top + height, left : left + width] = inner
    ours = thumbs_of(pixels, np.array([1]), [(100, 100), (width, height)])[0]
    grey = inner.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    theirs = Image.fromarray(grey).resize((32, 32), Image.Resampling.BILINEAR)
    assert ours.astype(int) == pytest.approx(np.asarray(theirs).round().astype(int), abs=1)
    tints = tints_of(pixels, np.array([1]), [(100, 100), (width, height)])[0]
    assert tints.astype(int) == pytest.approx(tint_of(inner).astype(int), abs=1)
    assert not tints_of(pixels[..., :1], np.array([0]), [(100, 100)]).any()


def test_many_large_pictures_are_never_all_in_float32():
    pixels = np.zeros((400, 128, 128, 3), np.uint8)  # 19 MiB; 75 MiB in float32
    rows, sizes = np.arange(400), [(128, 128)] * 400
    thumbs_of(pixels[:1], rows[:1], sizes)  # what is kept between calls
    tracemalloc.start()
    try:
        thumbs_of(pixels, rows, sizes)
        tints_of(pixels, rows, sizes)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < pixels.nbytes


SEARCHES = """
import sys
from pathlib import Path
from resource import getpagesize
from saccade.models.process import tune_process
from tests.check.test_kept import found, noise

def held_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize() / 2**20

tune_process()  # as training does, which goes on in this process
few, many = map(Path, sys.argv[1:])
found(noise(60), few)  # loads what it needs
pixels = noise(5_000, side=28, channels=1)
before = held_mib()
found(pixels, many)
print(held_mib() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps nothing")
def test_memory_of_the_search_goes_back_to_the_system(tmp_path):
    """Of 5,000 pictures 40 MiB were kept, of 60,000 132."""
    folders = [tmp_path / name for name in ("few", "many")]
    for folder in folders:
        folder.mkdir()
    command = [sys.executable, "-c", SEARCHES, *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert list(folders[1].iterdir())
    assert float(done.stdout) < 15
