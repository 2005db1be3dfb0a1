from __future__ import annotations

import time

import numpy as np
import pytest

from saccade.data.index import Index
from saccade.data.split import open_rows, split_index
from saccade.errors import DataError
from saccade.types import PARTS, TEST, TRAIN, VALIDATION


def make_index(labels, *, parts=None, classes=None, sha256=None, reasons=None) -> Index:
    n = len(labels)
    classes = classes or tuple(f"c{i:04d}" for i in range(max(labels, default=-1) + 1))
    objects = lambda values: np.array(list(values), dtype=object)  # noqa: E731
    return Index(
        classes=classes,
        path=objects(f"p{i}" for i in range(n)),
        label=np.array(labels, np.int32),
        part=np.array(parts if parts is not None else [-1] * n, np.int8),
        sha256=objects(sha256 or (f"{i:064x}" for i in range(n))),
        width_px=np.ones(n, np.int32),
        height_px=np.ones(n, np.int32),
        mode=objects("L" for _ in range(n)),
        flags=objects("" for _ in range(n)),
        reason=objects(reasons or ("" for _ in range(n))),
    )


def digests(n: int):
    return np.arange(1, n + 1, dtype=np.uint64)


def split(index: Index, digest=None, **settings) -> Index:
    digest = digests(len(index)) if digest is None else np.array(digest, np.uint64)
    return split_index(index, digest, **({"seed": 0} | settings))


def counts(index: Index) -> list[list[int]]:
    """Usable rows by class and part, by a loop."""
    table = [[0, 0, 0] for _ in index.classes]
    for row in range(len(index)):
        if index.reason[row] == "":
            table[index.label[row]][index.part[row]] += 1
    return table


def test_three_pictures_a_class_give_one_to_each_part():
    assert counts(split(make_index([0, 1, 1, 0, 1, 0]))) == [[1, 1, 1], [1, 1, 1]]


def test_shares_of_a_hundred_are_seventy_ten_twenty():
    assert counts(split(make_index([0] * 100 + [1] * 10))) == [[70, 10, 20], [7, 1, 2]]


def test_the_seed_decides():
    index = make_index([0, 1] * 100)
    assert np.array_equal(split(index, seed=3).part, split(index, seed=3).part)
    assert not np.array_equal(split(index, seed=3).part, split(index, seed=4).part)


@pytest.mark.parametrize("seed", range(30))
def test_random_sets_keep_every_promise(seed):
    rng = np.random.default_rng(seed)
    num_classes = int(rng.integers(2, 12))
    # Groups of copies, each of one class, at least three groups a class; some rows unusable.
    labels, digest, number = [], [], 0
    for label in range(num_classes):
        for _ in range(int(rng.integers(3, 40))):
            number += 1
            size = int(rng.choice([1, 1, 1, 1, 2, 3, 5]))
            labels += [label] * size
            digest += [number] * size
    order = rng.permutation(len(labels))
    labels, digest = [labels[i] for i in order], [digest[i] for i in order]
    reasons = [""] * len(labels) + ["broken"] * 5
    labels, digest = labels + [0] * 5, digest + [0] * 5
    before = make_index(labels, reasons=reasons, classes=tuple("abcdefghijkl"[:num_classes]))
    after = split(before, digest, seed=seed)

    used = [row for row in range(len(labels)) if not reasons[row]]
    assert [row for row in range(len(labels)) if after.reason[row] == ""] == used  # complete
    assert all(after.part[row] in (TRAIN, VALIDATION, TEST) for row in used)
    assert all(after.part[row] == -1 for row in range(len(labels)) if reasons[row])
    sides: dict[int, set[int]] = {}
    for row in used:
        sides.setdefault(digest[row], set()).add(int(after.part[row]))
    assert all(len(parts) == 1 for parts in sides.values())  # copies never on two sides
    for label, row_counts in enumerate(counts(after)):
        total, largest = sum(row_counts), max(digest.count(d) for d in set(digest) - {0})
        assert min(row_counts) >= 1, f"class {label} is missing from a part"
        for part, share in ((TEST, 0.2), (VALIDATION, 0.1)):
            # One group of copies, plus the one picture that a small class is owed.
            assert abs(row_counts[part] - share * total) <= largest + 1


def test_equal_bytes_stay_together_even_with_other_digests():
    labels = [0] * 30 + [1] * 30
    sha256 = [f"{i // 2:064x}" for i in range(60)]
    for seed in range(5):
        part = split(make_index(labels, sha256=sha256), seed=seed).part
        assert np.array_equal(part[::2], part[1::2])


def test_chains_of_equal_bytes_and_equal_pixels_stay_together():
    labels = [0] * 40 + [1] * 40
    sha256 = [f"{i // 2:064x}" for i in range(80)]  # 0-1, 2-3, …
    digest = [(i + 1) // 2 + 1 if i < 20 else 100 + i for i in range(80)]  # 1-2, 3-4, …
    for seed in range(5):
        part = split(make_index(labels, sha256=sha256), digest, seed=seed).part
        assert len(set(part[:20].tolist())) == 1


def test_a_group_too_large_for_a_part_trains():
    digest = [1] * 60 + list(range(2, 42)) + list(range(100, 200))
    for seed in range(10):
        index = split(make_index([0] * 100 + [1] * 100), digest, seed=seed)
        assert set(index.part[:60].tolist()) == {TRAIN}


def test_the_users_test_stays_and_validation_is_made():
    parts = [TRAIN] * 40 + [TEST] * 10
    after = split(make_index([0, 1] * 25, parts=parts))
    assert np.array_equal(after.part[40:], [TEST] * 10)
    assert counts(after) == [[18, 2, 5], [18, 2, 5]]


def test_the_users_validation_stays_and_test_is_made():
    parts = [TRAIN] * 40 + [VALIDATION] * 10
    assert counts(split(make_index([0, 1] * 25, parts=parts))) == [[16, 5, 4], [16, 5, 4]]


def test_the_users_three_parts_stay_as_they_are():
    parts = [TRAIN, TEST, VALIDATION, TRAIN, TEST, VALIDATION]
    after = split(make_index([0, 0, 0, 1, 1, 1], parts=parts))
    assert after.part.tolist() == parts


def test_rows_outside_the_users_parts_train():
    parts = [-1, TEST, VALIDATION, TRAIN, TEST, VALIDATION]
    assert split(make_index([0, 0, 0, 1, 1, 1], parts=parts)).part[0] == TRAIN


def test_training_copies_of_test_pictures_are_left_out():
    parts = [TRAIN] * 40 + [VALIDATION] * 2 + [TEST] * 10
    digest = list(range(1, 53))
    digest[0] = digest[42]  # a training picture, equal to a test picture
    digest[45] = digest[47] = digest[42]  # which stands there thrice: the first is named
    digest[41] = digest[43]  # a validation picture, equal to another
    digest[3] = digest[40]  # a training picture, equal to a validation picture
    after = split(make_index([0, 1] * 26, parts=parts), digest)
    assert after.reason[0] == "copy of test picture p42"
    assert after.reason[41] == "copy of test picture p43"
    assert after.reason[3] == "copy of validation picture p40"
    assert after.usable.sum() == 49
    assert after.part[42:].tolist() == [TEST] * 10


def test_copies_within_the_users_test_stay():
    parts = [TRAIN] * 20 + [TEST] * 4
    digest = [*range(1, 21), 50, 51, 50, 51]
    after = split(make_index([0, 1] * 12, parts=parts), digest)
    assert after.part[20:].tolist() == [TEST] * 4
    assert after.flags[20:].tolist() == ["copy"] * 4


def test_copies_that_disagree_are_flagged():
    labels = [0] * 10 + [1] * 10
    digest = [*range(1, 20), 1]  # the first and the last are equal, with different labels
    after = split(make_index(labels), digest)
    assert after.flags[0] == after.flags[19] == "conflict;copy"
    assert after.part[0] == after.part[19]
    assert set(after.flags[1:19].tolist()) == {""}


def test_flags_of_the_scan_are_kept():
    index = make_index([0] * 5 + [1] * 5)
    index.flags[0] = "rotated"
    assert split(index, [1, 1, *range(2, 10)]).flags[:2].tolist() == ["copy;rotated", "copy"]


@pytest.mark.parametrize("few", [1, 2])
def test_a_class_of_one_or_two_pictures_is_refused_by_name(few):
    index = make_index([0] * few + [1] * 20, classes=("cats", "dogs"))
    with pytest.raises(DataError, match=f"at least 3 different pictures.*'cats' has {few};"):
        split(index)


def test_three_copies_are_one_picture():
    index = make_index([0] * 3 + [1] * 20, classes=("cats", "dogs"))
    with pytest.raises(DataError, match="'cats' has 1;"):
        split(index, [1, 1, 1, *range(2, 22)])


def test_one_training_picture_will_do_where_nothing_is_taken_from_it():
    parts = [TRAIN, TRAIN, VALIDATION, TEST]
    assert counts(split(make_index([0, 1, 0, 0], parts=parts))) == [[1, 1, 1], [1, 0, 0]]


def test_a_class_that_is_only_in_the_test_part_is_named():
    parts = [TRAIN] * 20 + [TEST] * 3
    index = make_index([0, 1] * 10 + [2, 2, 0], parts=parts, classes=("a", "b", "zebra"))
    with pytest.raises(DataError, match=r"no picture to train on: 'zebra' \(2 listed, 2 usable\)"):
        split(index)


def test_a_class_whose_files_are_all_broken_is_named():
    reasons = [""] * 20 + ["broken"] * 3
    index = make_index([0, 1] * 10 + [2] * 3, reasons=reasons, classes=("a", "b", "zebra"))
    with pytest.raises(DataError, match=r"'zebra' \(3 listed, 0 usable\)"):
        split(index)


def test_a_class_missing_from_the_test_part_is_fine():
    parts = [TRAIN] * 20 + [TEST] * 3
    assert counts(split(make_index([0, 1] * 10 + [0] * 3, parts=parts)))[1][TEST] == 0


def test_one_class_is_refused():
    with pytest.raises(DataError, match="at least two classes are needed, got one, 'c0000'"):
        split(make_index([0] * 30))


def test_rows_without_a_label_are_left_out():
    after = split(make_index([0] * 5 + [1] * 5 + [-1]))
    assert after.reason[10] == "it has no label"
    assert after.part[10] == -1


def test_a_thousand_classes_and_a_hundred_thousand_pictures_are_quick():
    rng = np.random.default_rng(0)
    labels = np.concatenate([np.arange(1000).repeat(3), rng.integers(0, 1000, 97_000)])
    started = time.process_time()
    table = np.array(counts(split(make_index(labels.tolist()))))
    # Half a second here; a quadratic step takes hours.
    assert time.process_time() - started < 20
    assert table.min() >= 1


def test_a_tenth_validates_until_less_is_enough():
    assert counts(split(make_index([0, 1] * 12_500)))[0] == [8_750, 1_250, 2_500]
    assert counts(split(make_index([0, 1] * 20_000)))[0] == [14_750, 1_250, 4_000]


def test_enough_of_the_rarest_class_validates():
    index = make_index([0] * 54_000 + [1] * 6_000)
    assert counts(split(index)) == [[40_500, 2_700, 10_800], [4_500, 300, 1_200]]
    rarer = make_index([0] * 49_000 + [1] * 1_000)
    assert counts(split(rarer)) == [[34_300, 4_900, 9_800], [700, 100, 200]]


def test_large_groups_are_tested_however_little_validates():
    """Of each class 3 films of 7 % each, and a share of 1 % that validates."""
    films, singles = np.repeat(np.arange(6), 2_100), np.arange(6, 6 + 2 * 23_700)
    digest = np.concatenate([films, singles]).astype(np.uint64) + 1
    labels = np.concatenate([films % 2, singles % 2])
    index = make_index(labels.tolist())
    tested = [split(index, digest, seed=seed).part[: len(films)] == TEST for seed in range(20)]
    assert 0.1 < np.mean(tested) < 0.35


def test_enough_is_counted_in_groups_of_copies():
    index = make_index([0, 1] * 15_000)
    digest = np.arange(30_000, dtype=np.uint64) // 10 + 1  # five of each class in a group
    table = counts(split(index, digest=digest, with_test=False))
    assert table == [[13_500, 1_500, 0], [13_500, 1_500, 0]]


def test_the_parts_are_those_of_the_types():
    assert PARTS == ("train", "validation", "test")
    assert (TRAIN, VALIDATION, TEST) == (0, 1, 2)


@pytest.mark.parametrize("seed", range(10))
def test_open_rows_and_their_copies_are_never_tested(seed):
    index = make_index([0] * 100 + [1] * 10 + [2] * 3)
    digest = digests(len(index))
    is_open = open_rows(index, seed=seed)
    assert np.bincount(index.label[is_open]).tolist() == [33, 3, 1]
    opened, others = np.flatnonzero(is_open), np.flatnonzero(~is_open[:100])
    digest[others[:5]] = digest[opened[:5]]  # copies that the plan has not looked at
    parted = split(index, digest, seed=seed, is_open=is_open)
    tested = set(parted.rows_of(TEST).tolist())
    assert not tested & {*opened.tolist(), *others[:5].tolist()}
    assert counts(parted)[1:] == [[7, 1, 2], [1, 1, 1]]


def test_open_rows_are_all_but_a_test_part_that_the_user_gave():
    parts = [TRAIN, VALIDATION, TEST, -1]
    index = make_index([0] * 4, parts=parts, reasons=["", "", "", "broken"])
    assert open_rows(index, seed=0).tolist() == [True, True, False, False]


def test_open_rows_are_a_third_of_each_class_drawn_blindly():
    """Against the slow version that looks at every row for every class."""
    labels = np.random.default_rng(1).integers(0, 40, 500).tolist()
    index = make_index(labels, reasons=["" if row % 7 else "broken" for row in range(500)])
    order = [row for row in np.random.default_rng(3).permutation(500) if index.usable[row]]
    expected = np.zeros(500, bool)
    for label in range(40):
        rows = [row for row in order if labels[row] == label]
        expected[rows[: max(1, len(rows) // 3)]] = True
    assert np.array_equal(open_rows(index, seed=3), expected)


def test_many_classes_cost_no_more_than_few():
    """Each class once looked at every row: this took 0.95 s for 10,000 classes, 0.03 s for 2."""

    def seconds(num_classes: int) -> float:
        index = make_index((np.arange(60_000) % num_classes).tolist())
        began = time.process_time()
        open_rows(index, seed=0)
        return time.process_time() - began

    assert seconds(10_000) < 5 * seconds(2) + 0.2
