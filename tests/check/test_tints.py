"""Tints tell colours apart, and nothing that a copy may have gone through."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks import planted
from PIL import Image

from saccade.check.tints import tint_gaps, tint_of

ROWS = np.array([0]), np.array([1])


def gap(one: Image.Image, other: Image.Image, *, mirrored: bool = False) -> float:
    tints = np.stack([tint_of(np.asarray(picture.convert("RGB"))) for picture in (one, other)])
    return float(tint_gaps(tints, *ROWS, np.array([mirrored]))[0])


def test_tint_of_red_is_hand_solved():
    red = tint_of(np.full((20, 30, 3), (255, 0, 0), np.uint8))
    assert red.shape == (8, 8, 2)
    assert (red == (-38, 89)).all()  # luma is 76.245: half of 0 - 76.245 and of 255 - 76.245
    assert not tint_of(np.full((9, 9, 3), 77, np.uint8)).any()


@pytest.mark.parametrize("kind", planted.KINDS)
def test_copies_keep_their_tints(kind):
    for picture in planted.blobs(5):
        copy = planted.changed(picture, kind, np.random.default_rng(0))
        assert gap(picture, copy, mirrored=kind == "mirrored") < 0.35


def test_other_colours_make_a_gap():
    one, other = planted.blobs(2)
    swapped = Image.fromarray(np.asarray(one)[..., ::-1])
    assert gap(one, one) == 0
    assert gap(one, one.convert("L")) == pytest.approx(1, abs=0.01)
    assert gap(one, swapped) > 0.5
    assert gap(one, other) > 0.5
    assert gap(one, one.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) > 0.5


def test_gap_is_the_slow_version():
    tints = np.random.default_rng(0).integers(-90, 90, (2, 8, 8, 2), dtype=np.int8)
    tints[1] = tints[0] // 2 + tints[1] // 4
    one, other = (t.ravel().astype(float) for t in tints)
    gains = np.linspace(0.6, 1.6, 100_001)
    left = min(np.sqrt(((one - gain * other) ** 2).mean()) for gain in gains[::50])
    strength = max(np.sqrt((one**2).mean()), np.sqrt((other**2).mean()))
    ours = tint_gaps(tints, *ROWS, np.array([False]))[0]
    assert ours == pytest.approx(left / strength, rel=1e-4)
