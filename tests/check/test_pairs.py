"""Copies as `check` reports them, where pictures of different things look alike, and where not."""

from __future__ import annotations

import re

import numpy as np

from saccade.check.pairs import copies, find_copies
from saccade.check.thumbnails import look
from saccade.data import build_index, open_source
from saccade.progress import Silence


def found_in(x: np.ndarray) -> dict:
    source = open_source((x, np.arange(len(x)) % 2), progress=Silence())
    index = build_index(source, progress=Silence())
    looks = look(source, index, progress=Silence())
    return {finding.name: finding for finding in copies(index, find_copies(index, looks))}


def noise(count: int, side: int) -> np.ndarray:
    """Coarse random pictures, no two alike."""
    coarse = np.random.default_rng(count).integers(0, 256, (count, side // 4, side // 4))
    return coarse.repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8)


def lookalikes(count: int) -> np.ndarray:
    """One picture, each time with grain of its own, as a product photographed many times."""
    grain = np.random.default_rng(0).normal(0, 12, (count, 28, 28))
    return np.clip(noise(1, 28) * 0.7 + 38 + grain, 0, 255).astype(np.uint8)


def test_of_lookalikes_only_nearly_equal_ones_are_copies():
    x = lookalikes(120)
    x[101] = x[11][:, ::-1]
    x[102] = x[12]
    x[104] = x[14] * 0.8  # darker
    found = found_in(x)
    said = found["near-copies-not-told"].message
    assert re.search(r"Only nearly equal .* like about 11\d others", said)
    assert found["near-copies-not-told"].severity == "note"
    named = {name: [(r.other, r.path) for r in f.rows] for name, f in found.items() if f.rows}
    assert named == {
        "equal-copies": [("00012", "00102")],
        "near-copies": [("00011", "00101"), ("00014", "00104")],
    }


def test_pictures_of_different_things_are_compared_as_always():
    x = noise(40, 28)
    x[31] = x[11][:, ::-1] // 2
    assert set(found_in(x)) == {"near-copies"}


def test_of_tiny_pictures_only_equal_ones_are_copies():
    x = noise(40, 12)
    x[32], x[33] = x[2], x[3][:, ::-1]
    found = found_in(x)
    assert set(found) == {"equal-copies", "near-copies-not-told"}
    assert "under 16 px" in found["near-copies-not-told"].message
