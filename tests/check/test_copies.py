"""Planted copies are found, and hardly anything else is."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from benchmarks import planted
from scipy.fft import dctn

from saccade.check import copies
from saccade.check.copies import near_copies
from saccade.check.thumbnails import THUMB_PX, Looker, Looks, laplacian
from saccade.check.thumbnails import look as look_at
from saccade.check.tints import TINT_PX
from saccade.data import build_index, open_source
from saccade.progress import Silence


def looks_of(files: list[bytes], tmp_path: Path) -> Looks:
    (tmp_path / "a").mkdir()
    for number, content in enumerate(files):
        (tmp_path / "a" / f"{number:05}.jpg").write_bytes(content)
    source = open_source(tmp_path, progress=Silence())
    looks = look_at(source, build_index(source, progress=Silence()), progress=Silence())
    assert looks.seen.all()
    return looks


def found_and_false(pictures: list, tmp_path: Path) -> tuple[dict[str, float], int]:
    """Plant one copy of each picture; return the share found of each kind, and other pairs."""
    random = np.random.default_rng(0)
    kinds = [planted.KINDS[number % len(planted.KINDS)] for number in range(len(pictures))]
    files = [planted.as_jpeg(picture, "") for picture in pictures]
    files += [
        planted.as_jpeg(planted.changed(picture, kind, random), kind)
        for picture, kind in zip(pictures, kinds, strict=True)
    ]
    looks = looks_of(files, tmp_path)
    pairs = near_copies(looks.thumbs, looks.tints)
    pairs = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    wanted = [(row, row + len(pictures)) for row in range(len(pictures))]
    found = {
        kind: np.mean([pair in pairs for pair, k in zip(wanted, kinds, strict=True) if k == kind])
        for kind in planted.KINDS
    }
    return found, len(pairs - set(wanted))


def test_planted_copies_of_random_pictures_are_found(tmp_path):
    found, false = found_and_false(planted.blobs(120), tmp_path)
    assert np.mean(list(found.values())) >= 0.95, found
    assert min(found.values()) >= 0.85, found  # 20 of each kind: one is 5 %
    assert false == 0


@pytest.mark.parametrize("archive", ["cats-vs-dogs-192px.tar", "flowers-originals.tar"])
def test_planted_copies_of_photographs_are_found(datasets, tmp_path, archive):
    pictures = planted.photographs(datasets / archive, 180)
    found, false = found_and_false(pictures, tmp_path)
    assert np.mean(list(found.values())) >= 0.95, found
    assert min(found.values()) >= 0.85, found  # 30 of each kind: one is 3 %
    assert false <= 0.01 * len(pictures)


def grey(count: int) -> np.ndarray:
    return np.zeros((count, TINT_PX, TINT_PX, 2), np.int8)


def test_pictures_of_nothing_are_no_copies():
    flat = np.full((50, THUMB_PX, THUMB_PX), 200, np.uint8)
    assert len(near_copies(flat, grey(50)).first) == 0
    assert len(near_copies(flat[:0], grey(0)).first) == 0


def ship(random: np.random.Generator) -> np.ndarray:
    """Sky over sea, one bright line between them, and some ship on it."""
    thumb = np.full((THUMB_PX, THUMB_PX), 150.0)
    thumb[16:], thumb[15] = 110, 170
    deck, mast = np.sort(random.integers(3, 29, 2)), random.integers(3, 29)
    thumb[14, deck[0] : deck[1]] = 120
    thumb[10:14, mast] = 130
    return np.clip(thumb + random.normal(0, 4, thumb.shape), 0, 255).astype(np.uint8)


def test_one_horizon_makes_no_copies():
    """Ships at sea, of which the detail alone agreed: its one bright line outweighs the rest."""
    random = np.random.default_rng(0)
    ships = np.stack([ship(random) for _ in range(12)])
    assert len(near_copies(ships, grey(12)).first) == 0


def test_one_drawing_in_two_colours_is_no_copy_unless_all_else_agrees():
    """A red truck and a blue one of the same make: their detail agrees in nearly all."""
    random = np.random.default_rng(4)
    truck = np.asarray(planted.blobs(1, side_px=THUMB_PX)[0].convert("L"), float)
    similar, equal = truck + random.normal(0, 8, truck.shape), truck + random.normal(0, 1, (32, 32))
    three = np.clip(np.stack([truck, similar, equal]), 0, 255).astype(np.uint8)
    coloured = grey(3)
    coloured[..., 0], coloured[..., 1] = 30, random.integers(-40, 40, (TINT_PX, TINT_PX))
    other = coloured.copy()
    other[1:] = coloured[1:, ..., ::-1]
    assert len(near_copies(three[:2], coloured[:2]).first) == 1
    assert len(near_copies(three[:2], other[:2]).first) == 0
    assert len(near_copies(three[::2], other[::2]).first) == 1


def test_pairs_come_once_and_in_order():
    random = np.random.default_rng(1)
    thumbs = random.integers(0, 256, (40, THUMB_PX, THUMB_PX), dtype=np.uint8)
    thumbs[30] = thumbs[3]
    thumbs[20] = thumbs[5][:, ::-1]
    pairs = near_copies(thumbs, grey(40))
    assert list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == [(3, 30), (5, 20)]
    assert pairs.score == pytest.approx([1, 1], abs=1e-3)


def test_low_frequencies_are_a_cosine_transform():
    """SciPy's transform, whose waves of degree 0 are smaller by the square root of two."""
    thumbs = np.random.default_rng(2).integers(0, 256, (5, THUMB_PX, THUMB_PX), dtype=np.uint8)
    ours = copies._descriptors(thumbs, np.arange(len(thumbs)))[0]
    waves = dctn(thumbs.astype(float), axes=(1, 2), norm="ortho")
    waves[:, 0] *= np.sqrt(2)
    waves[:, :, 0] *= np.sqrt(2)
    theirs = waves[:, *copies._low_frequencies()]
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    assert ours == pytest.approx(theirs, abs=1e-4)


def test_laplacian_is_scipys():
    from scipy.ndimage import laplace

    grey = np.random.default_rng(3).normal(100, 20, (17, 23)).astype(np.float32)
    assert laplacian(grey) == pytest.approx(laplace(grey, mode="nearest"), abs=1e-3)


def test_look_reports_hand_solved_figures():
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[1:3, 1:3] = 240  # a white square in a black frame
    _, _, _, num_bytes, _, brightness, contrast, colour, border = Looker().do(pixels, [4, 4])
    assert num_bytes == 0
    assert brightness == pytest.approx(60)
    assert contrast == pytest.approx(np.sqrt(0.25 * 180**2 + 0.75 * 60**2), rel=1e-5)
    assert colour == [60, 60, 60, 0]
    assert border == [0] * 16


def test_look_reports_each_edge():
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[0] = 255, 0, 0  # a red line on top; it begins the left and the right edge
    *_, colour, border = Looker().do(pixels, [4, 4])
    assert colour == [63.75, 0, 0, 63.75]
    top, bottom, left, right = np.reshape(border, (4, 4))
    assert top == pytest.approx([255, 0, 0, 0], abs=1e-3)
    assert bottom.tolist() == [0, 0, 0, 0]
    # One red pixel of four: luma 76.2 once, and three times 0.
    assert left == pytest.approx([63.75, 0, 0, 76.245 * np.sqrt(3) / 4], rel=1e-4)
    assert right.tolist() == left.tolist()


def test_memory_follows_the_thumbnails_and_not_their_numbers_in_float64(monkeypatch):
    """Of 8,192 thumbnails, 8 MiB, neither 64 MiB of float64 are made nor one more copy of all."""
    monkeypatch.setattr(copies, "usable_cores", lambda: 1)
    thumbs = np.random.default_rng(0).integers(0, 256, (8192, THUMB_PX, THUMB_PX)).astype(np.uint8)
    copies.likely_pairs(thumbs[:64])  # what is kept between calls
    tracemalloc.start()
    try:
        copies.likely_pairs(thumbs)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2.5 * thumbs.nbytes


def test_blocks_change_no_pair(monkeypatch):
    random = np.random.default_rng(0)
    thumbs = random.integers(0, 256, (30, 8, 8)).astype(np.uint8).repeat(4, 1).repeat(4, 2)
    thumbs = np.concatenate([thumbs, np.clip(thumbs * 0.9 + 5, 0, 255).astype(np.uint8)])
    thumbs[7] = 9  # shows nothing
    whole = copies.likely_pairs(thumbs)
    assert len(whole) >= 29
    monkeypatch.setattr(copies, "_AT_ONCE", 7)
    monkeypatch.setattr(copies, "_BLOCK", 3)
    blocks = copies.likely_pairs(thumbs)
    for name in ("first", "second", "variant"):
        np.testing.assert_array_equal(getattr(blocks, name), getattr(whole, name))
    rows = copies._with_contrast(thumbs)
    np.testing.assert_array_equal(rows, np.delete(np.arange(60), 7))
    assert len(copies._with_contrast(thumbs[:0])) == 0


def test_memory_follows_the_pairs_and_not_the_bands_that_each_is_found_in(monkeypatch):
    """Fifteen copies of each of 1,000 pictures share most buckets: each pair is found in many."""
    monkeypatch.setattr(copies, "usable_cores", lambda: 1)
    random = np.random.default_rng(0)
    thumbs = random.integers(0, 256, (1000, 8, 8)).astype(np.uint8).repeat(4, 1).repeat(4, 2)
    thumbs = np.tile(thumbs, (15, 1, 1))
    thumbs[:, 0, 0] = random.integers(0, 256, len(thumbs))
    copies.likely_pairs(thumbs[:64])  # what is kept between calls
    tracemalloc.start()
    try:
        likely = copies.likely_pairs(thumbs, copies.NEARLY_EQUAL)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(likely) == len({*zip(likely.first.tolist(), likely.second.tolist(), strict=True)})
    assert len(likely) > 0.9 * 1000 * 15 * 14 / 2
    assert peak < 280 * len(likely)  # 210; with the codes of all 28 bands 400


def test_aligning_ends_for_a_pair_that_lies_still_and_changes_nothing_else():
    """All five steps for every pair, as if none ever lay still."""
    random = np.random.default_rng(0)
    blobs = [np.asarray(blob.convert("L")) for blob in planted.blobs(40, side_px=THUMB_PX + 6)]
    moving = np.stack([blob[3:-3, 3:-3] for blob in blobs]).astype(np.float32)
    corners = random.integers(1, 6, (40, 2))
    still = np.stack(
        [
            blob[top : top + THUMB_PX, left : left + THUMB_PX]
            for blob, (top, left) in zip(blobs, corners, strict=True)
        ]
    ).astype(np.float32)
    still[:10] = moving[:10]
    still = copies._standard(still)
    place = np.tile(np.array([1, 0, 1, 0], np.float32), (40, 1))
    aligned = copies._aligned(still, moving, place)
    slowly = place.copy()
    for _ in range(copies._STEPS):
        slowly += copies._improvement(still, moving, slowly)
    theirs = copies._agreement(still, copies._placed(moving, slowly))
    ours = copies._agreement(still, aligned)
    assert ours == pytest.approx(theirs, abs=2e-3)
    assert ours[10:].mean() > copies._agreement(still, copies._standard(moving))[10:].mean() + 0.1
    assert len(copies._aligned(still[:0], moving[:0], place[:0])) == 0


def test_a_mark_in_a_corner_does_not_push_a_copy_away():
    """Aligning would trade all the rest for the mark; a copy that lies well stays where it is."""
    random = np.random.default_rng(3)
    thumbs = np.stack([np.asarray(b.convert("L")) for b in planted.blobs(60, side_px=THUMB_PX)])
    marked = thumbs.copy()
    marked[:, 0, :2] = np.clip(marked[:, 0, :2] + random.integers(-20, 21, (60, 2)), 0, 255)
    pairs = near_copies(np.concatenate([thumbs, marked]), grey(120), copies.NEARLY_EQUAL)
    found = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    assert found == {(row, row + 60) for row in range(60)}
