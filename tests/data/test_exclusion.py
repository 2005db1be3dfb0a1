from __future__ import annotations

import tarfile

import pytest
from PIL import Image

from saccade.check.data import examine
from saccade.check.files import write_findings
from saccade.data import build_index, open_source
from saccade.data.exclusion import excluded, exclusion_note
from saccade.errors import DataError, SettingsError
from saccade.progress import Silence


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(("cat/1", "cat/2", "dog/1")):
        path = tmp_path / "data" / f"{name}.png"
        path.parent.mkdir(exist_ok=True, parents=True)
        Image.effect_noise((16, 16), 60 + 30 * number).save(path)
    (path.parent / "copy.png").write_bytes(path.read_bytes())
    (path.parent / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    return tmp_path / "data"


def opened(path):
    return build_index(open_source(path, progress=Silence()), progress=Silence())


@pytest.mark.parametrize("kind", ["folder", "archive", "table"])
def test_what_check_writes_is_left_out(folder, tmp_path, kind):
    data = folder
    if kind == "archive":
        data = tmp_path / "data.tar"
        with tarfile.open(data, "w") as tar:
            tar.add(folder, "data")
    if kind == "table":
        data = tmp_path / "data.csv"
        names = [path.relative_to(tmp_path) for path in sorted(folder.rglob("*.png"))]
        data.write_text("\n".join(["path,label", *(f"{n},{n.parent.name}" for n in names)]))
    write_findings(tmp_path / "checked", examine(data))
    before = opened(data)
    after, digest = excluded(before, tmp_path / "checked" / "exclude.csv")
    left_out = {path: why for path, why in zip(after.path, after.reason, strict=True) if why}
    (copy,) = (why for path, why in left_out.items() if path.endswith("copy.png"))
    assert copy.startswith("excluded by exclude.csv: copy of ")
    assert copy.endswith("dog/1.png")
    (broken,) = (why for path, why in left_out.items() if path.endswith("broken.png"))
    assert "excluded" not in broken  # it could not be used anyway, and says why
    assert len(left_out) == 2
    assert len(digest) == 64


def table_of(folder, rows, columns="path,label"):
    table = folder.parent / "listed.csv"
    lines = [f"data/{row}" for row in rows]
    table.write_text("\n".join([columns, *lines]))
    return table


def left_out_of(table, tmp_path, **settings):
    """Return what `check` finds in a table, and the labels of what its list leaves to train on."""
    examined = examine(table, **settings)
    write_findings(tmp_path / "checked", examined)
    after, _ = excluded(examined.index, tmp_path / "checked" / "exclude.csv")
    left = [after.classes[label] for label in after.label[after.usable]]
    return {finding.name: finding for finding in examined.findings}, sorted(left)


def test_a_class_whose_rows_are_listed_twice_stays(folder, tmp_path):
    rows = ["cat/1.png,cat", "cat/2.png,cat", "dog/1.png,dog", "cat/1.png,cat", "cat/2.png,cat"]
    found, left = left_out_of(table_of(folder, rows), tmp_path)
    assert left == ["cat"] * 4 + ["dog"]
    finding = found["listed-twice"]
    assert [row.path for row in finding.rows] == ["data/cat/1.png", "data/cat/2.png"]
    assert finding.severity == "warning"
    assert "Delete these rows" in finding.cure
    assert not {"equal-copies", "near-copies"} & set(found)


def test_a_row_that_is_in_the_test_part_too_is_not_left_out_of_both(folder, tmp_path):
    rows = ["cat/1.png,cat,train", "dog/1.png,dog,train", "cat/1.png,cat,test"]
    found, left = left_out_of(table_of(folder, rows, "path,label,split"), tmp_path)
    assert left == ["cat", "cat", "dog"]
    assert found["listed-twice"].severity == "serious"


def test_a_row_without_a_label_takes_none_with_it(folder, tmp_path):
    rows = ["cat/1.png,cat", "cat/2.png,", "cat/2.png,cat", "dog/1.png,dog", "dog/broken.png,dog"]
    found, left = left_out_of(table_of(folder, rows), tmp_path)
    assert left == ["cat", "cat", "dog"]
    assert len(found["unreadable"].rows) == 2
    assert "broken.png" in (tmp_path / "checked" / "exclude.csv").read_text()


@pytest.mark.parametrize(
    ("rows", "several"),
    [
        (["cat/1.png,cat", "cat/2.png,cat", "dog/1.png,dog", "cat/1.png,dog"], False),
        (["cat/1.png,cat;pet", "cat/2.png,cat;pet", "dog/1.png,dog", "cat/1.png,dog"], True),
        # Of the copy, one row agrees with the picture that is kept, and one does not.
        (["dog/1.png,dog", "dog/copy.png,dog", "dog/copy.png,cat", "cat/1.png,cat"], False),
    ],
)
def test_of_two_labels_a_person_decides(folder, tmp_path, rows, several):
    found, left = left_out_of(table_of(folder, rows), tmp_path, multi_label=several)
    assert len(left) == 4
    (finding,) = (f for name, f in found.items() if name == "equal-copies-conflicting-labels")
    assert "either correct the wrong label, or leave out" in finding.cure
    assert "exclude.csv lists neither" in finding.cure


def test_any_list_of_paths_serves(folder, tmp_path):
    (tmp_path / "list.csv").write_text("\ufeffwho,path\nme,dog/1.png\nme,\n", encoding="utf-8")
    after, _ = excluded(opened(folder), tmp_path / "list.csv")
    assert after.reason[after.path == "dog/1.png"].tolist() == ["excluded by list.csv"]


def test_a_path_stands_for_all_its_rows_and_their_number_is_told(folder, tmp_path):
    rows = ["cat/1.png,cat", "cat/1.png,cat", "cat/1.png,dog", "cat/2.png,cat", "dog/1.png,dog"]
    index = opened(table_of(folder, rows))
    (tmp_path / "list.csv").write_text("path\ndata/cat/1.png\ndata/cat/2.png\n")
    after, _ = excluded(index, tmp_path / "list.csv")
    assert after.path[after.usable].tolist() == ["data/dog/1.png"]
    assert "left out 4 rows for 2 paths" in exclusion_note(after)
    (tmp_path / "list.csv").write_text("path\ndata/cat/2.png\n")
    assert exclusion_note(excluded(index, tmp_path / "list.csv")[0]) == ""


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"path\ncat/9.png\ncat/1.png\ncat/8.png\n", DataError, "2 of 3 pictures .*'cat/9.png'"),
        (b"name\ncat/1.png\n", SettingsError, "no column path among name"),
        (b"", SettingsError, "no column path among none"),
        (b"path\n\xff\xfe\n", SettingsError, "not UTF-8"),
    ],
)
def test_lists_that_do_not_fit_are_refused(folder, tmp_path, content, error, message):
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(error, match=message):
        excluded(opened(folder), tmp_path / "list.csv")


def test_absent_list_is_refused(folder, tmp_path):
    with pytest.raises(SettingsError, match=r"none.csv cannot be read: No such file"):
        excluded(opened(folder), tmp_path / "none.csv")
