"""Pictures dealt into folds: every one once, classes alike in all, kin in one."""

from __future__ import annotations

import numpy as np
import pytest
from tests.data.test_split import make_index

from saccade.data.index import Index
from saccade.data.kin import Kin
from saccade.data.split import deal_folds, fold_apart, split_index
from saccade.errors import DataError
from saccade.types import TEST, TRAIN, VALIDATION


def index_of(labels: list[int], reasons: list[str] | None = None) -> Index:
    return make_index(labels, reasons=reasons, classes=tuple("abcdef"[: max(labels) + 1]))


def dealt(
    labels, *, folds, seed=0, digest=None, groups=None, near=None, reasons=None
) -> np.ndarray:
    digest = np.arange(len(labels)) if digest is None else np.asarray(digest)
    columns = None if near is None else tuple(map(np.array, zip(*near, strict=True)))
    kin = Kin(groups=None if groups is None else np.asarray(groups), near=columns)
    index = index_of(labels, reasons)
    return deal_folds(index, digest.astype(np.uint64), folds=folds, seed=seed, kin=kin)


@pytest.mark.parametrize("folds", [2, 3, 5, 10])
def test_every_class_and_the_whole_are_spread_to_within_one(folds):
    labels = [0] * 37 + [1] * 11 + [2] * 20
    fold = dealt(labels, folds=folds)
    counts = np.zeros((folds, 3), int)
    for number, label in zip(fold, labels, strict=True):
        counts[number, label] += 1
    assert counts.sum() == 68
    assert (np.ptp(counts, axis=0) <= 1).all()
    assert np.ptp(counts.sum(axis=1)) <= 1


def test_the_seed_decides():
    labels = [0, 1] * 30
    assert np.array_equal(dealt(labels, folds=5, seed=3), dealt(labels, folds=5, seed=3))
    assert not np.array_equal(dealt(labels, folds=5, seed=3), dealt(labels, folds=5, seed=4))


@pytest.mark.parametrize("seed", range(20))
def test_random_copies_and_groups_stay_in_one_fold(seed):
    random = np.random.default_rng(seed)
    labels = random.permutation([0] * 90 + [1] * 60 + [2] * 50).tolist()
    digest = np.arange(200)
    for _ in range(25):  # copies, some with another label
        digest[random.integers(200)] = digest[random.integers(200)]
    groups = np.where(random.random(200) < 0.5, random.integers(0, 40, 200), -1)
    reasons = ["broken" if random.random() < 0.05 else "" for _ in range(200)]
    fold = dealt(labels, folds=5, seed=seed, digest=digest, groups=groups, reasons=reasons)
    used = np.array([reason == "" for reason in reasons])
    assert ((fold >= 0) == used).all()
    for column in (digest, np.where(groups < 0, 1000 + np.arange(200), groups)):
        for value in np.unique(column[used]):
            assert len(set(fold[used & (column == value)])) == 1
    sizes = np.bincount(fold[used])
    assert sizes.max() - sizes.min() <= 12  # the largest group is about as large


def test_groups_that_hold_several_classes_are_spread_by_all_of_them():
    """Twelve patients, each with a picture of "a" and four of them with one of "b"."""
    labels, groups = [0] * 12 + [1] * 4, [*range(12), *range(4)]
    fold = dealt(labels, folds=4, groups=groups)
    assert sorted(fold[12:]) == [0, 1, 2, 3]
    assert np.bincount(fold).tolist() == [4, 4, 4, 4]


@pytest.mark.parametrize("seed", range(5))
def test_near_pairs_stay_in_one_fold(seed):
    pairs = np.random.default_rng(seed).permutation(100)[:40].reshape(20, 2)
    near = [(int(one), int(other), 0.97) for one, other in pairs]
    fold = dealt([0, 1] * 50, folds=5, seed=seed, near=near)
    assert all(fold[one] == fold[other] for one, other, _ in near)
    assert np.ptp(np.bincount(fold)) <= 2


def test_a_fold_apart_leaves_a_validation_part_of_the_rest():
    labels = [0] * 20 + [1] * 20
    index, digest = index_of(labels), np.arange(40, dtype=np.uint64)
    fold = deal_folds(index, digest, folds=4, seed=0)
    for number in range(4):
        part = split_index(fold_apart(index, fold == number), digest, seed=number).part
        assert ((part == TEST) == (fold == number)).all()
        for label in (0, 1):
            rest = part[(index.label == label) & (fold != number)]
            assert ((rest == VALIDATION).sum(), (rest == TRAIN).sum()) == (1, 14)


def test_no_test_part_is_made_where_none_is_wanted():
    digest = np.arange(40, dtype=np.uint64)
    index = split_index(index_of([0, 1] * 20), digest, seed=0, with_test=False)
    assert np.bincount(index.part, minlength=3).tolist() == [36, 4, 0]


@pytest.mark.parametrize(
    ("count", "folds", "message"),
    [
        (7, 10, "10 folds need at least 10 .* 'b' has 7; take --folds 7 or fewer, add pictures"),
        (2, 3, "3 folds need at least 3 .* 'b' has 2; add pictures, or leave the class out"),
        (3, 2, "2 folds need at least 4 .* 'b' has 3; take --folds 3 or fewer"),
    ],
)
def test_a_class_with_too_few_is_refused(count, folds, message):
    with pytest.raises(DataError, match=message):
        dealt([0] * 40 + [1] * count, folds=folds)


def test_a_class_of_few_groups_is_refused_however_many_pictures():
    groups = [-1] * 40 + [0] * 20 + [1] * 20
    with pytest.raises(DataError, match="'b' has 2"):
        dealt([0] * 40 + [1] * 40, folds=5, groups=groups)
