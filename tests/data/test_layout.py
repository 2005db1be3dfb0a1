from __future__ import annotations

import pytest

from saccade.data.layout import MAX_DEPTH, NO_CLASS_FOLDER, OUTSIDE_PARTS, TOO_DEEP, arrange
from saccade.errors import DataError


def labels(*paths: str) -> dict[str, tuple[str | None, str | None]]:
    found = arrange("photos", paths, ())
    return {entry.path: (entry.label, entry.part) for entry in found.entries}


def left_out(*paths: str) -> dict[str, str]:
    return dict(arrange("photos", paths, ()).left_out)


def test_class_folders():
    assert labels("cat/1.jpg", "dog/2.png") == {
        "cat/1.jpg": ("cat", None),
        "dog/2.png": ("dog", None),
    }


@pytest.mark.parametrize(
    ("folder", "part"),
    [
        ("train", "train"),
        ("Training", "train"),
        ("val", "validation"),
        ("valid", "validation"),
        ("VALIDATION", "validation"),
        ("test", "test"),
    ],
)
def test_part_folders_by_every_name(folder, part):
    found = labels(f"{folder}/cat/1.jpg", f"{folder}/dog/1.jpg")
    assert found == {f"{folder}/cat/1.jpg": ("cat", part), f"{folder}/dog/1.jpg": ("dog", part)}


def test_a_part_may_lack_a_class():
    found = labels("train/cat/1.jpg", "train/dog/1.jpg", "test/dog/9.jpg")
    assert found["test/dog/9.jpg"] == ("dog", "test")


@pytest.mark.parametrize("wrapper", ["sets", "sets/v2", "a/b/c"])
def test_wrapping_folders_are_looked_through(wrapper):
    assert labels(f"{wrapper}/train/cat/1.jpg", f"{wrapper}/test/dog/1.jpg") == {
        f"{wrapper}/train/cat/1.jpg": ("cat", "train"),
        f"{wrapper}/test/dog/1.jpg": ("dog", "test"),
    }
    assert labels(f"{wrapper}/cat/1.jpg", f"{wrapper}/dog/1.jpg") == {
        f"{wrapper}/cat/1.jpg": ("cat", None),
        f"{wrapper}/dog/1.jpg": ("dog", None),
    }


def test_a_preview_in_the_wrapper_does_not_hide_the_classes():
    paths = ("sets/preview.jpg", "sets/cat/1.jpg", "sets/dog/1.jpg")
    assert labels(*paths)["sets/cat/1.jpg"] == ("cat", None)
    assert left_out(*paths) == {"sets/preview.jpg": NO_CLASS_FOLDER}


def test_a_single_class_folder_is_no_wrapper():
    assert labels("cat/1.jpg", "cat/2.jpg")["cat/1.jpg"] == ("cat", None)


def test_folders_below_a_class_belong_to_it():
    assert labels("cat/2020/1.jpg", "dog/2.jpg", "dog/3.jpg")["cat/2020/1.jpg"] == ("cat", None)


def test_a_class_called_train_stays_a_class():
    found = labels("train/1.jpg", "car/2.jpg", "bus/3.jpg")
    assert {label for label, _ in found.values()} == {"train", "car", "bus"}
    nested = labels("train/steam/1.jpg", "car/red/2.jpg")
    assert {label for label, _ in nested.values()} == {"train", "car"}


def test_what_lies_beside_the_parts_is_left_out():
    paths = ("train/cat/1.jpg", "test/cat/2.jpg", "extra/cat/3.jpg", "test/4.jpg")
    assert left_out(*paths) == {"extra/cat/3.jpg": OUTSIDE_PARTS, "test/4.jpg": NO_CLASS_FOLDER}
    assert len(labels(*paths)) == 2


def test_files_that_are_no_pictures_are_listed_and_make_no_class():
    paths = ("cat/1.jpg", "dog/1", "dog/1.2021", "docs/readme.txt", "cat/list.json")
    assert left_out(*paths) == {
        "cat/list.json": "not a picture: its name ends in .json",
        "docs/readme.txt": "not a picture: its name ends in .txt",
    }
    assert {label for label, _ in labels(*paths).values()} == {"cat", "dog"}


@pytest.mark.parametrize(
    "clutter",
    ["__MACOSX/cat/._1.jpg", "cat/.DS_Store", "cat/Thumbs.db", ".git/x.jpg", "cat/._1.jpg"],
)
def test_clutter_is_passed_over_in_silence(clutter):
    paths = ("cat/1.jpg", "dog/1.jpg", clutter)
    assert len(labels(*paths)) == 2
    assert left_out(*paths) == {}


def test_labels_of_two_unicode_forms_are_one_class():
    found = labels("train/caf\u00e9/1.jpg", "test/cafe\u0301/2.jpg", "train/日本/3.jpg")
    assert {label for label, _ in found.values()} == {"caf\u00e9", "日本"}


def test_undecodable_names_become_printable():
    found = arrange("photos", ["c\udcffat/1.jpg", "dog/1.jpg"], ())
    assert [entry.label for entry in found.entries] == ["c\\udcffat", "dog"]
    assert found.origin == (0, 1)


def test_entries_are_sorted_and_know_their_origin():
    found = arrange("photos", ["b/2.jpg", "notes/a.txt", "a/9.jpg", "b/1.jpg"], ())
    assert [entry.path for entry in found.entries] == ["a/9.jpg", "b/1.jpg", "b/2.jpg"]
    assert found.origin == (2, 3, 0)


def test_deep_paths_are_left_out():
    deepest = "/".join(["d"] * MAX_DEPTH + ["1.jpg"])
    assert len(labels(deepest)) == 1
    with pytest.raises(DataError, match=TOO_DEEP):
        arrange("photos", [f"d/{deepest}"], ())


def test_no_pictures_says_what_was_wanted():
    with pytest.raises(DataError, match="photos holds no pictures; wanted a folder for each class"):
        arrange("photos", [], ())
    with pytest.raises(DataError, match=r"1 left out, the first a/x.txt: not a picture"):
        arrange("photos", ["a/x.txt"], ())


def test_no_class_folders_says_how_to_make_them():
    with pytest.raises(DataError, match=r"no class folders \(such as 1.jpg\); put the pictures"):
        arrange("photos", ["1.jpg", "2.jpg"], ())
