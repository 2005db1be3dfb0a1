"""Sets of labels: how they are read, and how a split deals them out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from saccade.data import LabelSets, build_index, by_strata, open_rows, open_source, split_index
from saccade.data.labelsets import read_set, readable_set, written
from saccade.data.table import TableSource
from saccade.errors import DataError
from saccade.progress import Silence
from saccade.types import PARTS, TEST, VALIDATION


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [("dog;cat", "cat;dog"), (" dog | cat|dog", "cat;dog"), ("cat", "cat"), ("", ""), (" ; |", "")],
)
def test_cells_become_sorted_sets(cell, wanted):
    assert read_set(cell) == wanted


def test_one_name_in_two_forms_is_one_label():
    assert read_set("caf\u0065\u0301;caf\u00e9") == "caf\u00e9"


def test_sets_become_targets_and_are_written_again():
    sets = LabelSets.of(("", "a;c", "b"))
    assert sets.names == ("a", "b", "c")
    targets = sets.targets(np.array([1, 0, 2]))
    np.testing.assert_array_equal(targets, [[1, 0, 1], [0, 0, 0], [0, 1, 0]])
    assert written(sets.names, targets) == ["a;c", "", "b"]
    assert [readable_set(text) for text in ("a;c", "")] == ["a, c", "none"]


def table(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_table_of_sets(tmp_path):
    path = table(tmp_path, "file,Tags,split\n1.png,b|a,train\n2.png,,test\n3.png,b;c,\n")
    entries = TableSource(path, multi_label=True).entries
    assert [(e.label, e.part) for e in entries] == [("a;b", "train"), ("", "test"), ("b;c", None)]


def test_cells_that_a_semicolon_tears_apart_are_refused(tmp_path):
    path = table(tmp_path, "path;label\n1.png;a;b\n")
    with pytest.raises(DataError, match=r"row 2: 3 cells under 2 headings; write \| between"):
        TableSource(path, multi_label=True)


def test_plural_heading_without_the_flag_names_it(tmp_path):
    path = table(tmp_path, "path,labels\n1.png,a;b\n")
    with pytest.raises(DataError, match="no label column.* or add --multi-label"):
        TableSource(path)


def test_arrays_of_zeros_and_ones(tmp_path):
    x = np.zeros((3, 4, 4), np.uint8)
    y = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0]])
    np.savez(tmp_path / "set.npz", x=x, y=y)
    for data in ((x, y), (x, y.astype(float)), tmp_path / "set.npz"):
        source = open_source(data, multi_label=True, progress=Silence())
        assert [entry.label for entry in source.entries] == ["0;2", "", "1"]


@pytest.mark.parametrize(
    ("y", "why"),
    [
        (np.array([0, 1, 2]), r"wanted \(3, labels\) of 0 and 1"),
        (np.full((3, 2), 0.5), "other values than 0 and 1"),
        (np.full((3, 2), "a"), "other values than 0 and 1"),
    ],
)
def test_other_arrays_are_refused(y, why):
    with pytest.raises(DataError, match=why):
        open_source((np.zeros((3, 4, 4), np.uint8), y), multi_label=True, progress=Silence())


def test_folders_are_refused(tmp_path):
    with pytest.raises(DataError, match="read from a table"):
        open_source(tmp_path, multi_label=True, progress=Silence())


def index_of(labels: list[str]):
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (len(labels), 3, 3), dtype=np.uint8)
    index = build_index(open_source((x, np.arange(len(x))), progress=Silence()), progress=Silence())
    classes = tuple(sorted(set(labels)))
    codes = np.array([classes.index(label) for label in labels], np.int32)
    return index.with_columns(classes=classes, label=codes)


def parts_of(labels: list[str], **options):
    """Return the part of each picture, split as a run splits them."""
    index = index_of(labels)
    strata = by_strata(index, LabelSets.of(index.classes))
    is_open = open_rows(strata, seed=0)
    digest = np.arange(len(index), dtype=np.uint64)
    return split_index(index, digest, seed=0, is_open=is_open, strata=strata, **options)


def test_rare_sets_lie_in_every_part_by_their_rarest_label():
    labels = ["a"] * 60 + [f"a;r;x{i}" for i in range(9)] + [f"r;y{i}" for i in range(21)]
    index = parts_of(labels)
    has_r = np.array(["r" in label.split(";") for label in labels])
    counts = np.bincount(index.part[has_r], minlength=len(PARTS))
    assert counts.sum() == 30
    assert counts[TEST] in (5, 6, 7)
    assert counts[VALIDATION] in (2, 3, 4)
    common = np.bincount(index.part[:60], minlength=len(PARTS))
    np.testing.assert_array_equal(common, [42, 6, 12])


def test_every_set_may_be_of_its_own():
    random = np.random.default_rng(1)
    labels = [";".join(sorted({f"l{n}" for n in random.integers(0, 12, 5)})) for _ in range(80)]
    assert max(labels.count(label) for label in labels) < 10
    index = parts_of(labels)
    sets = LabelSets.of(index.classes)
    for part in range(len(PARTS)):
        assert sets.targets(index.label[index.rows_of(part)]).any(axis=0).all(), PARTS[part]
    assert 13 <= len(index.rows_of(TEST)) <= 22


def test_strata_leave_labels_and_conflicts_as_they_were():
    labels = ["a"] * 30 + ["a;b"] * 30 + ["b"]
    index = index_of(labels)
    strata = by_strata(index, LabelSets.of(index.classes))
    digest = np.arange(len(index), dtype=np.uint64)
    digest[60] = digest[30]  # a copy with another set of labels
    split = split_index(index, digest, seed=0, strata=strata)
    np.testing.assert_array_equal(split.label, index.label)
    assert split.flags[60] == split.flags[30] == "conflict;copy;grey"
    assert split.part[60] == split.part[30]
