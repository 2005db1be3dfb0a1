"""Near copies and named groups on one side of a split, and what a chain of them may not do."""

from __future__ import annotations

import numpy as np
import pytest
from tests.data.test_split import make_index

from saccade.data.index import Index
from saccade.data.kin import Kin, joined
from saccade.data.split import open_rows, split_index
from saccade.errors import DataError
from saccade.types import TEST, TRAIN


def index_of(labels: list[int], parts: list[int] | None = None) -> Index:
    return make_index(labels, parts=parts, classes=tuple("abc"[: max(labels) + 1]))


def parts_of(index: Index, *, seed: int, groups=None, near=None, is_open=None) -> np.ndarray:
    columns = None if near is None else tuple(map(np.array, zip(*near, strict=True)))
    digest = np.arange(1, len(index) + 1, dtype=np.uint64)
    kin = Kin(groups=groups, near=columns)
    return split_index(index, digest, seed=seed, kin=kin, is_open=is_open).part


@pytest.mark.parametrize("seed", range(5))
def test_near_pairs_and_their_chains_stay_together(seed):
    near = [(i, i + 1, 0.97) for i in range(0, 60, 3)] + [
        (i + 1, i + 2, 0.98) for i in range(0, 60, 3)
    ]
    part = parts_of(index_of([0] * 100 + [1] * 100), seed=seed, near=near)
    assert all(len(set(part[i : i + 3])) == 1 for i in range(0, 60, 3))
    assert np.bincount(part[:100]) == pytest.approx([70, 10, 20], abs=3)


@pytest.mark.parametrize("seed", range(5))
def test_a_chain_through_a_whole_class_takes_no_more_than_a_twentieth(seed):
    """2,000 pictures, each like the next; where one is surer of its next than of the last."""
    score = 0.96 + 0.03 * (np.arange(1999) % 2)
    near = [(i, i + 1, score[i]) for i in range(1999)]
    index = index_of([0] * 2000 + [1] * 2000)
    part = parts_of(index, seed=seed, near=near)
    assert np.bincount(part[:2000]) / 2000 == pytest.approx([0.7, 0.1, 0.2], abs=0.05)
    assert np.array_equal(part[1:1999:2], part[2:2000:2])  # the surest pairs were followed
    group = joined(np.arange(4000), tuple(map(np.array, zip(*near, strict=True))), index.label)
    assert np.bincount(group).max() == 100


def test_small_classes_keep_pictures_for_every_part():
    everything = [(i, j, 0.99) for i in range(6) for j in range(i)]
    for seed in range(5):
        part = parts_of(index_of([0] * 6 + [1] * 6), seed=seed, near=everything)
        assert set(part[:6]) == {0, 1, 2}


def test_a_class_that_copies_another_still_has_every_part():
    across = [(i, i + 40, 0.99) for i in range(40)]
    part = parts_of(index_of([0] * 40 + [1] * 40), seed=0, near=across)
    assert set(part[:40]) == set(part[40:]) == {0, 1, 2}


@pytest.mark.parametrize("seed", range(10))
def test_named_groups_stay_whole_however_large(seed):
    groups = np.arange(200) // 20
    index = index_of([0, 1] * 100)  # every group holds both classes
    is_open = open_rows(index, seed=seed, groups=groups)
    part = parts_of(index, seed=seed, groups=groups, is_open=is_open)
    for number in range(10):
        assert len(set(part[groups == number])) == 1
    assert set(part) == {0, 1, 2}
    assert not (is_open & (part == TEST)).any()


def test_groups_and_near_pairs_join():
    groups = np.repeat(np.arange(100), 2)
    near = [(1, 2, 0.99)]  # of groups 0 and 1
    for seed in range(5):
        part = parts_of(index_of([0] * 100 + [1] * 100), seed=seed, groups=groups, near=near)
        assert len(set(part[:4])) == 1


def test_too_few_groups_are_refused_in_words():
    with pytest.raises(DataError, match="at least 3 different pictures or groups.* 'a' has 2"):
        parts_of(index_of([0] * 40 + [1] * 40), seed=0, groups=np.arange(80) // 20)


def test_what_the_user_set_apart_is_not_moved():
    parts = [TRAIN] * 30 + [TEST] * 10 + [TRAIN] * 30 + [TEST] * 10
    groups, near = np.zeros(80, np.intp), [(0, 35, 0.99)]
    groups[1:30], groups[41:70] = np.arange(1, 30), np.arange(31, 60)
    index = index_of([0] * 40 + [1] * 40, parts)
    part = parts_of(index, seed=0, groups=groups, near=near)
    assert (part[30:40] == TEST).all()
    assert part[0] != TEST
