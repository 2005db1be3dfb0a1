from __future__ import annotations

import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saccade.data.cache import build_cache, cache_key, clear_caches, list_caches
from saccade.data.cachefolder import pixels_folder
from saccade.data.index import Index
from saccade.data.picture import Payload, Preprocessing, digest_of
from saccade.data.scan import build_index
from saccade.data.source import Entry, Source
from saccade.errors import DataError, SettingsError
from saccade.progress import Silence

PROGRESS = Silence()
WANTED = Preprocessing(height_px=16, width_px=16, channels=3)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SACCADE_CACHE", str(tmp_path / "cache"))


class Pictures(Source):
    """A source over payloads in memory; `missing` rows are listed and then not there."""

    def __init__(self, payloads: list[Payload], missing: Iterable[int] = ()) -> None:
        entries = [
            Entry(path=f"{i:05d}", label="ab"[i % 2], part=None) for i in range(len(payloads))
        ]
        super().__init__("pictures", entries)
        self.contents, self.missing = payloads, set(missing)

    def payloads(self, rows: Iterable[int]) -> Iterator[tuple[int, Payload]]:
        # Not in the rows' order, as an archive's would not be.
        return (
            (row, self.contents[row]) for row in reversed(list(rows)) if row not in self.missing
        )


class Arrays(Pictures):
    @property
    def arrays(self):
        return np.stack(self.contents)


def png(seed: int, side: int = 20) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels), "PNG")


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def build(source: Source, preprocessing: Preprocessing = WANTED):
    index = build_index(source, progress=PROGRESS)
    return build_cache(source, index, preprocessing, progress=PROGRESS)


def left_behind() -> list[str]:
    return [p.name for p in pixels_folder().iterdir() if not p.name.endswith(".lock")]


def test_every_row_holds_what_read_gives(tmp_path):
    payloads: list[Payload] = [png(i) for i in range(150)]
    for i in range(0, 150, 3):
        path = tmp_path / f"{i}.png"
        path.write_bytes(payloads[i])
        payloads[i] = path
    payloads[7] = np.random.default_rng(7).integers(0, 256, (30, 20), dtype=np.uint8)
    cache, index = build(Pictures(payloads))
    assert cache.pixels.shape == (150, 16, 16, 3)
    assert isinstance(cache.pixels, np.memmap)
    assert index.usable.all()
    for row, payload in enumerate(payloads):
        expected = WANTED.read(payload)
        assert np.array_equal(cache.pixels[row], expected), row
        assert cache.pixel_digest[row] == digest_of(expected)


def test_what_does_not_decode_is_left_out_with_its_reason():
    payloads = [png(i) for i in range(10)]
    payloads[4] = payloads[4][:-200]
    for reused in (False, True):
        cache, index = build(Pictures(payloads))
        assert cache.reused is reused
        assert index.reason[4].startswith("truncated")
        assert index.usable.sum() == 9
        assert not cache.pixels[4].any()
        assert cache.pixel_digest[4] == 0


def test_what_is_gone_when_it_is_decoded_is_left_out():
    _, index = build(Pictures([png(i) for i in range(6)]))
    source = Pictures([png(i) for i in range(6)])
    index = build_index(source, progress=PROGRESS)
    source.missing = {2}
    clear_caches()
    _, index = build_cache(source, index, WANTED, progress=PROGRESS)
    assert index.reason[2] == "it could not be read a second time: it is gone or has changed"


def test_rows_left_out_by_the_scan_stay_zero():
    cache, index = build(Pictures([png(0), b"no picture", png(2)]))
    assert index.usable.tolist() == [True, False, True]
    assert not cache.pixels[1].any()


def test_nothing_to_use_is_refused():
    with pytest.raises(DataError, match="none of the 2 files in pictures is a usable picture"):
        build(Pictures([b"a", b"b"]))


def test_arrays_of_the_right_size_are_taken_as_they_are():
    pixels = np.random.default_rng(0).integers(0, 256, (50, 16, 16, 3), dtype=np.uint8)
    quick, _ = build(Arrays(list(pixels)))
    assert np.array_equal(quick.pixels, pixels)
    assert quick.pixel_digest.tolist() == [digest_of(p) for p in pixels]
    clear_caches()
    slow, _ = build(Pictures(list(pixels)))
    assert np.array_equal(slow.pixels, quick.pixels)
    assert np.array_equal(slow.pixel_digest, quick.pixel_digest)


def test_arrays_with_rows_left_out_keep_their_rows():
    pixels = np.random.default_rng(0).integers(1, 256, (9, 16, 16, 3), dtype=np.uint8)
    source = Arrays(list(pixels))
    index = build_index(source, progress=PROGRESS)
    reason = index.reason.copy()
    reason[[0, 4, 5]] = "left out"
    cache, _ = build_cache(source, index.with_columns(reason=reason), WANTED, progress=PROGRESS)
    for row in range(9):
        expected = 0 if row in (0, 4, 5) else pixels[row]
        assert (cache.pixels[row] == expected).all()


# Copies --------------------------------------------------------------------------------------


def test_equal_pixels_have_equal_digests_whatever_the_file():
    y, x = np.mgrid[0:300, 0:400]
    image = Image.fromarray(np.stack([x % 256, y % 256, (x + y) % 256], axis=-1).astype(np.uint8))
    jpeg = encoded(image, "JPEG", quality=90)
    decoded = Image.open(io.BytesIO(jpeg)).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise to be upright
    payloads = [
        jpeg,
        encoded(decoded, "PNG"),
        encoded(decoded, "BMP"),
        encoded(decoded.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif),
        encoded(decoded, "TIFF", compression="tiff_lzw"),
        encoded(image, "PNG"),  # before the JPEG's loss: another picture
        encoded(image, "JPEG", quality=89),
        encoded(decoded.resize((200, 150)), "PNG"),
    ]
    assert WANTED.decode(jpeg).reduced
    cache, _ = build(Pictures(payloads))
    assert len(set(cache.pixel_digest[:5].tolist())) == 1
    assert len(set(cache.pixel_digest[4:].tolist())) == 4


def test_jpegs_alone_keep_the_digest_of_their_row():
    payloads = [encoded(Image.open(io.BytesIO(png(i, 200))), "JPEG") for i in range(4)]
    cache, _ = build(Pictures(payloads))
    assert cache.pixel_digest.tolist() == [digest_of(p) for p in cache.pixels]


# Found again ---------------------------------------------------------------------------------


def test_a_cache_is_found_again_by_content_and_preprocessing():
    payloads = [png(i) for i in range(4)]
    first, _ = build(Pictures(payloads))
    again, _ = build(Pictures(payloads))
    assert (first.reused, again.reused) == (False, True)
    assert again.key == first.key
    others = [
        build(Pictures(payloads[::-1]))[0],
        build(Pictures(payloads[:3]))[0],
        build(Pictures(payloads), Preprocessing(height_px=16, width_px=16, channels=1))[0],
        build(Pictures(payloads), Preprocessing(height_px=16, width_px=17, channels=3))[0],
        build(
            Pictures(payloads), Preprocessing(height_px=16, width_px=16, channels=3, fit="stretch")
        )[0],
    ]
    assert not any(cache.reused for cache in others)
    assert len({cache.key for cache in (first, *others)}) == 6


def test_paths_and_labels_do_not_matter_to_the_key():
    index = build_index(Pictures([png(i) for i in range(4)]), progress=PROGRESS)
    renamed = index.with_columns(path=index.path[::-1].copy(), label=index.label[::-1].copy())
    assert cache_key(index, WANTED) == cache_key(renamed, WANTED)


def damage_pixels(folder: Path) -> None:
    with (folder / "pixels.npy").open("r+b") as file:
        file.truncate(1000)


def damage_digests(folder: Path) -> None:
    content = bytearray((folder / "digests.npy").read_bytes())
    content[-1] ^= 1
    (folder / "digests.npy").write_bytes(content)


def damage_description(folder: Path) -> None:
    (folder / "cache.json").write_text('{"version": 1, "key"')


def damage_failures(folder: Path) -> None:
    document = json.loads((folder / "cache.json").read_bytes())
    (folder / "cache.json").write_text(json.dumps(document | {"failures": [[10**6, "x"]]}))


def damage_header(folder: Path) -> None:
    with (folder / "pixels.npy").open("r+b") as file:
        file.write(b"garbage")


def remove_digests(folder: Path) -> None:
    (folder / "digests.npy").unlink()


@pytest.mark.parametrize(
    "damage",
    [
        damage_pixels,
        damage_digests,
        damage_description,
        damage_failures,
        damage_header,
        remove_digests,
    ],
)
def test_a_damaged_cache_is_built_again(damage):
    source = Pictures([png(i) for i in range(4)])
    first, _ = build(source)
    expected = np.array(first.pixels)
    damage(first.folder)
    again, _ = build(source)
    assert not again.reused
    assert np.array_equal(again.pixels, expected)
    assert build(source)[0].reused


def test_pixels_cannot_be_changed_by_accident():
    cache, _ = build(Pictures([png(i) for i in range(4)]))
    with pytest.raises(ValueError, match="read-only"):
        cache.pixels[0] = 0


# Listed and cleared --------------------------------------------------------------------------


def test_caches_are_listed_and_cleared():
    assert list_caches() == ()
    assert clear_caches() == 0
    cache, _ = build(Pictures([png(0), png(1), b"no"]))
    (entry,) = list_caches()
    assert (entry.key, entry.name, entry.folder) == (cache.key, "pictures", cache.folder)
    assert (entry.num_pictures, entry.shape) == (2, (16, 16, 3))
    assert entry.bytes == sum(p.stat().st_size for p in cache.folder.iterdir())
    assert clear_caches() == entry.bytes
    assert list_caches() == ()
    assert left_behind() == []


def test_only_folders_of_our_own_are_deleted(tmp_path):
    cache, _ = build(Pictures([png(0), png(1)]))
    root = pixels_folder()
    strangers = [root / "photos", root / ("a" * 64), root / ".tmp-mine", root.parent / "models"]
    for folder in strangers:
        folder.mkdir()
        (folder / "keep.txt").write_text("mine")
    outside = tmp_path / "outside"
    shutil.copytree(cache.folder, outside)
    (root / ("b" * 64)).symlink_to(outside)
    clear_caches()
    assert not cache.folder.exists()
    assert all((folder / "keep.txt").read_text() == "mine" for folder in strangers)
    assert (outside / "pixels.npy").exists()


# Trouble -------------------------------------------------------------------------------------


PROGRAM = """
import sys, time
sys.path.insert(0, {tests!r})
from test_cache import Pictures, build, png
from saccade.data.cache import build_cache

class Slow(Pictures):
    def payloads(self, rows):
        for number, (row, payload) in enumerate(super().payloads(rows)):
            if number % 64 == 0:
                print(number, flush=True)
                time.sleep({pause})
            yield row, payload

cache, index = build(Slow([png(i % 50, 20 + i // 50) for i in range({count})]))
print("done", cache.reused, int(index.usable.sum()), flush=True)
"""


def start(pause: float, count: int = 300, **options) -> subprocess.Popen[str]:
    program = PROGRAM.format(tests=str(Path(__file__).parent), pause=pause, count=count)
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def wait_until_building(process: subprocess.Popen[str]) -> Path:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if pixels_folder().is_dir() and (found := list(pixels_folder().glob(".tmp-*/pixels.npy"))):
            return found[0].parent
        time.sleep(0.02)
    raise AssertionError(process.communicate())


def children_of(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in listed.read_text().split()] if listed.exists() else []


def wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, f"{pids} live on"
        time.sleep(0.02)


def wait_for_children(pid: int) -> list[int]:
    deadline = time.monotonic() + 60
    while not (found := children_of(pid)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def test_two_processes_build_one_cache_once():
    processes = [start(0.05), start(0.05)]
    last = [process.communicate(timeout=120)[0].split("\n")[-2] for process in processes]
    assert sorted(last) == ["done False 300", "done True 300"]
    assert len(list_caches()) == 1


def test_kill_9_leaves_only_what_the_next_build_clears():
    process = start(0.5)
    temporary = wait_until_building(process)
    workers = wait_for_children(process.pid)
    process.kill()
    process.communicate()
    wait_until_gone(workers)  # their input closed
    assert left_behind() == [temporary.name]
    assert list_caches() == ()
    cache, _ = build(Pictures([png(i) for i in range(3)]))  # another set clears it too
    assert left_behind() == [cache.key]


def test_ctrl_c_leaves_no_files_and_no_processes():
    process = start(0.5, start_new_session=True)
    wait_until_building(process)
    workers = wait_for_children(process.pid)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    _, errors = process.communicate(timeout=60)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    wait_until_gone(workers)
    assert left_behind() == []


def test_a_full_disk_is_one_line_and_leaves_nothing():
    """A limit on the size of files stands for the disk; the kernel says EFBIG, not ENOSPC."""
    source = Pictures([png(i) for i in range(200)])
    index = build_index(source, progress=PROGRESS)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(SettingsError, match="^cannot write .*File too large; free space"):
            build_cache(source, index, WANTED, progress=PROGRESS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert left_behind() == []


@pytest.fixture
def tiny_disk(disk_of):
    return disk_of("3m")


def test_a_disk_too_small_is_seen_at_once(tiny_disk, monkeypatch):
    monkeypatch.setenv("SACCADE_CACHE", str(tiny_disk))
    large = Preprocessing(height_px=200, width_px=200, channels=3)
    with pytest.raises(SettingsError, match=r"it takes 6,000,\d+ bytes and .* are free"):
        build(Pictures([png(i) for i in range(50)]), large)
    assert left_behind() == []


def test_a_disk_that_fills_up_meanwhile_is_one_line(tiny_disk, monkeypatch):
    monkeypatch.setenv("SACCADE_CACHE", str(tiny_disk))
    large = Preprocessing(height_px=200, width_px=200, channels=3)

    class Filling(Pictures):
        def payloads(self, rows):
            for row, payload in super().payloads(rows):
                with (tiny_disk / "other").open("ab") as file:
                    try:
                        file.write(bytes(100_000))
                    except OSError:
                        pass
                yield row, payload

    source = Filling([png(i) for i in range(18)])
    index = build_index(Pictures(source.contents), progress=PROGRESS)
    with pytest.raises(SettingsError, match="No space left on device; free space"):
        build_cache(source, index, large, progress=PROGRESS)
    assert left_behind() == []


def test_a_place_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SACCADE_CACHE", str(tmp_path / "file"))
    with pytest.raises(
        SettingsError,
        match="^cannot write .*Not a directory; .* choose another place by SACCADE_CACHE$",
    ):
        build(Pictures([png(0), png(1)]))


def test_a_set_larger_than_memory_is_built_in_a_small_one(tmp_path):
    """300 MB of pixels in a process that may hold 200 MB of data."""
    program = tmp_path / "large.py"
    program.write_text(
        f"""
import resource, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_cache import Pictures, Preprocessing, build, png
resource.setrlimit(resource.RLIMIT_DATA, (200 << 20, 200 << 20))
some = [png(i) for i in range(4)]
cache, index = build(Pictures(some * 25), Preprocessing(height_px=1000, width_px=1000, channels=3))
assert cache.pixels.nbytes == 300_000_000 and index.usable.all()
assert (cache.pixels[0] == cache.pixels[96]).all()
"""
    )
    result = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stderr[-2000:]
    clear_caches()


def test_a_cache_is_an_index_wide(tmp_path):
    cache, index = build(Pictures([png(i) for i in range(3)]))
    assert isinstance(index, Index)
    assert len(cache.pixels) == len(cache.pixel_digest) == len(index)
