"""Pictures of other kinds, against scikit-learn's own loaders and by what each kind is."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_sample_images

from saccade.data.references import DIGITS, FLOWER, NUM_REFERENCES, TEMPLE, found, made


def test_digits_are_scikit_learns_each_once():
    theirs = [picture.tobytes() for picture in np.rint(load_digits().images * 255 / 16)]
    ours = [one[..., 0].astype(float).tobytes() for one in found()[DIGITS]]
    assert len(set(ours)) == len(ours) == 40
    assert set(ours) <= set(theirs)


def test_patches_cover_both_photographs_without_overlap():
    kinds = found()
    for photograph, kind in zip(load_sample_images().images, (TEMPLE, FLOWER), strict=True):
        mine = kinds[kind]
        assert len(mine) == 24
        rows = [np.concatenate(mine[at : at + 6], axis=1) for at in range(0, 24, 6)]
        assert np.array_equal(np.concatenate(rows), photograph[:424, :636])


@pytest.mark.parametrize("shape", [(8, 8, 1), (5, 9, 3), (1, 1, 3)])
def test_made_pictures_are_what_they_are_called(shape):
    kinds = made(shape)
    pictures = {kind: np.stack(some) for kind, some in kinds.items()}
    assert {x.shape for x in pictures.values()} == {(20, *shape)}
    assert {x.dtype for x in pictures.values()} == {np.dtype(np.uint8)}
    colours = pictures["single colours"]
    assert (colours == colours[:, :1, :1]).all()
    assert len(np.unique(colours[:, 0, 0], axis=0)) > 15
    # Along a row, and down a column, a gradient changes by the same step up to rounding.
    steps = np.diff(pictures["gradients"].astype(int), axis=1)
    assert np.ptp(steps, axis=1).max(initial=0) <= 2 if steps.size else True
    again = made(shape)
    assert all(np.array_equal(again[kind], kinds[kind]) for kind in kinds)


def test_gradients_go_from_one_colour_to_another():
    gradients = np.stack(made((16, 16, 3))["gradients"]).astype(int)
    spread = np.ptp(gradients.reshape(20, -1, 3), axis=1)
    assert (spread.max(axis=1) > 30).mean() > 0.9


def test_there_are_as_many_as_the_ending_reckons_with():
    kinds = found() | made((8, 8, 1))
    assert sum(map(len, kinds.values())) == NUM_REFERENCES
