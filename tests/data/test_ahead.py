"""Each test compares with the same pictures taken the long way: scanned, then decoded."""

from __future__ import annotations

import io
import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saccade.data.ahead import Ahead
from saccade.data.cache import Cache, build_cache
from saccade.data.cachefolder import clear_caches, list_caches, pixels_folder
from saccade.data.index import Index
from saccade.data.picture import Payload, Preprocessing
from saccade.data.scan import build_index
from saccade.data.source import Entry, Source
from saccade.data.workers import Workers
from saccade.errors import DataError, SettingsError
from saccade.progress import Silence

PROGRESS = Silence()
OWN = Preprocessing(height_px=12, width_px=16, channels=3)
OTHER = Preprocessing(height_px=10, width_px=10, channels=3)
NUM_PICTURES = 400


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SACCADE_CACHE", str(tmp_path / "cache"))


class Pictures(Source):
    """Payloads in memory, handed out so slowly at first that workers are worth it."""

    def __init__(self, payloads: list[Payload], left_out: Iterable[tuple[str, str]] = ()) -> None:
        entries = [
            Entry(path=f"{i:05d}.jpg", label="ab"[i % 2], part=None) for i in range(len(payloads))
        ]
        super().__init__("pictures", entries, list(left_out))
        self.contents, self.handed_out = payloads, 0

    def payloads(self, rows: Iterable[int]) -> Iterator[tuple[int, Payload]]:
        for row in rows:
            if self.handed_out < 64:  # the first look
                time.sleep(0.005)
            self.handed_out += 1
            yield row, self.contents[row]


def picture(seed: int, size: tuple[int, int] = (16, 12), kind: str = "JPEG", **options) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).convert(options.pop("mode", "RGB")).save(buffer, kind, **options)
    return buffer.getvalue()


def jpegs() -> list[Payload]:
    return [picture(seed) for seed in range(NUM_PICTURES)]


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return picture(orientation, exif=exif)


def prepared(
    source: Source, size: Preprocessing, ahead: Ahead | None, without: tuple[int, ...] = ()
) -> tuple[Cache, Index]:
    """Scan and cache as `recipe.prepare` does; rows `without` are excluded in between."""
    with Workers(num_workers=2) as workers:
        workers.start()
        index = build_index(source, progress=PROGRESS, workers=workers, ahead=ahead)
        reason = index.reason.copy()
        reason[list(without)] = "excluded"
        index = index.with_columns(reason=reason)
        return build_cache(source, index, size, progress=PROGRESS, workers=workers, ahead=ahead)


def facts_of(found: tuple[Cache, Index]) -> list[object]:
    cache, index = found
    columns = ["sha256", "width_px", "height_px", "mode", "flags", "reason", "label"]
    content = (cache.folder / "pixels.npy").read_bytes()  # the header as well
    return [
        cache.key,
        content,
        cache.pixel_digest.tolist(),
        *(getattr(index, c).tolist() for c in columns),
    ]


def both_ways(
    payloads: list[Payload], size: Preprocessing, **given
) -> tuple[int, list[object], list[object]]:
    """Return how many pictures the cache was handed, and the facts with and without `Ahead`."""
    left_out = [("notes.txt", "not a picture")]
    slow = facts_of(prepared(Pictures(payloads, left_out), size, None, **given))
    clear_caches()
    source = Pictures(payloads, left_out)
    with Ahead() as ahead:
        quick = facts_of(prepared(source, size, ahead, **given))
    locks = [path.name for path in pixels_folder().glob("*.lock")]
    assert locks == [f".{quick[0]}.lock"]
    assert [path.name for path in pixels_folder().glob("[!.]*")] == [quick[0]]
    assert not list(pixels_folder().glob(".tmp-*"))
    return source.handed_out - len(payloads), quick, slow


def test_small_pictures_of_one_size_are_handed_out_once():
    again, quick, slow = both_ways(jpegs(), OWN)
    assert quick == slow
    assert again <= NUM_PICTURES / 2  # those that this process looked at before workers began


def test_a_cache_of_another_size_is_as_if_nothing_had_been_decoded():
    again, quick, slow = both_ways(jpegs(), OTHER)
    assert quick == slow
    assert again >= NUM_PICTURES


def test_what_is_unlike_the_first_pictures_is_left_to_the_cache():
    payloads = jpegs()
    payloads[-12:] = [
        picture(1, (30, 40)),
        picture(2, mode="L"),
        picture(3, kind="PNG"),
        picture(4, kind="PNG", mode="RGBA"),
        picture(5, progressive=True),
        picture(6)[:-100],
        b"no picture",
        b"",
        turned(3),
        turned(6),
        picture(7, (12, 16)),
        picture(8, (160, 120)),
    ]
    again, quick, slow = both_ways(payloads, OWN)
    assert quick == slow
    assert 4 <= again <= NUM_PICTURES / 2


def test_rows_that_are_excluded_after_the_scan_are_zero():
    rows = (NUM_PICTURES - 1, NUM_PICTURES - 3, 2)
    _, quick, slow = both_ways(jpegs(), OWN, without=rows)
    assert quick == slow


@pytest.mark.parametrize("first", [picture(0, (12, 16)), picture(0, mode="L"), b"no picture"])
def test_pictures_of_several_kinds_are_not_decoded_ahead(first):
    again, quick, slow = both_ways([first, *jpegs()[1:]], OWN)
    assert quick == slow
    assert again >= NUM_PICTURES - 1


def test_large_pictures_are_not_decoded_ahead():
    large = Preprocessing(height_px=12, width_px=65, channels=3)
    payloads = [picture(seed, (65, 12)) for seed in range(NUM_PICTURES)]
    again, quick, slow = both_ways(payloads, large)
    assert quick == slow
    assert again == NUM_PICTURES


def test_a_cache_that_will_likely_serve_is_not_built_ahead():
    prepared(Pictures(jpegs()), OWN, None)
    with Ahead() as ahead, Workers(num_workers=2) as workers:
        build_index(Pictures(jpegs()), progress=PROGRESS, workers=workers, ahead=ahead)
        assert not list(pixels_folder().glob(".tmp-*"))
    assert len(list_caches()) == 1


def kill_the_workers() -> None:
    for listed in Path("/proc/self/task").glob("*/children"):
        for child in listed.read_text().split():
            os.kill(int(child), signal.SIGKILL)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the workers in /proc")
def test_workers_that_die_while_they_decode_leave_no_gap():
    class Deadly(Pictures):
        def payloads(self, rows: Iterable[int]) -> Iterator[tuple[int, Payload]]:
            for row, payload in super().payloads(rows):
                if self.handed_out in (250, 320):
                    kill_the_workers()
                yield row, payload

    slow = facts_of(prepared(Pictures(jpegs()), OWN, None))
    clear_caches()
    with Ahead() as ahead:
        assert facts_of(prepared(Deadly(jpegs()), OWN, ahead)) == slow


@pytest.fixture
def tiny_disk(disk_of):
    return disk_of("300k")


@pytest.mark.parametrize("taken", [0, 200_000])
def test_a_disk_that_is_too_small_or_fills_up_is_one_line(tiny_disk, monkeypatch, taken):
    monkeypatch.setenv("SACCADE_CACHE", str(tiny_disk))

    class Filling(Pictures):
        def payloads(self, rows: Iterable[int]) -> Iterator[tuple[int, Payload]]:
            for row, payload in super().payloads(rows):
                if self.handed_out == 300:
                    (tiny_disk / "other").write_bytes(bytes(taken))
                yield row, payload

    with Ahead() as ahead, pytest.raises(SettingsError, match="^cannot write .*; free space"):
        prepared(Filling(jpegs() * (2 if not taken else 1)), OWN, ahead)
    assert not list(pixels_folder().glob(".tmp-*"))


def test_an_archive_that_cannot_be_read_is_one_line():
    class Gone(Pictures):
        def payloads(self, rows: Iterable[int]) -> Iterator[tuple[int, Payload]]:
            for row, payload in super().payloads(rows):
                if self.handed_out == 300:
                    raise OSError("gone")
                yield row, payload

    with Ahead() as ahead, pytest.raises(DataError, match="^cannot read pictures: gone"):
        prepared(Gone(jpegs()), OWN, ahead)


def test_a_place_that_cannot_be_written_does_not_stop_the_scan(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SACCADE_CACHE", str(tmp_path / "file"))
    with Ahead() as ahead, Workers(num_workers=2) as workers:
        index = build_index(Pictures(jpegs()), progress=PROGRESS, workers=workers, ahead=ahead)
    assert index.usable.all()
