from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from saccade.data import build_index, grouping, open_source
from saccade.data.grouping import group_rows
from saccade.errors import SettingsError
from saccade.progress import Silence


def opened(path):
    source = open_source(path, progress=Silence())
    return source, build_index(source, progress=Silence())


@pytest.fixture
def folder(tmp_path):
    for name in ("cat/patient1-a", "cat/patient1-b", "dog/patient1-c", "dog/patient22-a", "dog/x"):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (4, 4)).save(path)
    return tmp_path


def test_pattern_groups_by_what_it_finds(folder):
    (folder / "dog" / "notes.txt").write_text("no picture")  # a row that the source leaves out
    source, index = opened(folder)
    number = group_rows(source, index, r"patient(\d+)")
    one, same, other, last, alone, _ = number.tolist()
    assert one == same == other != last
    assert alone == -1


@pytest.mark.parametrize("name", ["pictures.csv", "pictures.parquet"])
def test_column_groups_by_its_cells(folder, name):
    rows = [
        ("cat/patient1-a.png", "cat", "7"),
        ("dog/x.png", "dog", "8"),
        ("cat/patient1-b.png", "cat", "7"),
    ]
    rows += [
        ("gone.png", "", "7"),
        ("dog/patient22-a.png", "dog", ""),
    ]  # no label: left out; no cell
    if name.endswith("csv"):
        lines = ["path,label,Patient ID", *(",".join(row) for row in rows)]
        (folder / name).write_text("\n".join(lines))
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = zip(*rows, strict=True)
        names = ("path", "label", "Patient ID")
        pq.write_table(pa.table(dict(zip(names, map(list, columns), strict=True))), folder / name)
    source, index = opened(folder / name)
    number = dict(
        zip(index.path.tolist(), group_rows(source, index, "patient id").tolist(), strict=True)
    )
    assert number["cat/patient1-a.png"] == number["cat/patient1-b.png"] != number["dog/x.png"]
    assert number["dog/patient22-a.png"] == -1


def test_test_data_without_the_column_stands_alone(folder):
    (folder / "t.csv").write_text("path,label,who\ncat/patient1-a.png,cat,7\ndog/x.png,dog,8\n")
    source = open_source(folder / "t.csv", test=folder, progress=Silence())
    index = build_index(source, progress=Silence())
    assert (group_rows(source, index, "who") >= 0).sum() == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (r"subject(\d+)", "finds nothing in any picture's path, such as 'cat/patient1-a.png'"),
        ("patient", r"no column here, and as a pattern it has 0 groups"),
        ("(p)(a)", "2 groups"),
        ("(", "no regular expression: missing"),
        (" ", "a column or a pattern"),
    ],
)
def test_what_cannot_group_is_refused_with_an_example(folder, text, message):
    with pytest.raises(
        SettingsError, match=message.replace("(", r"\(") if text == "(" else message
    ):
        group_rows(*opened(folder), text)


def test_pattern_that_never_ends_is_ended(folder, monkeypatch):
    monkeypatch.setattr(grouping, "_PATIENCE_S", 1.0)
    (folder / "cat" / ("a" * 60 + "!.png")).write_bytes((folder / "dog" / "x.png").read_bytes())
    with pytest.raises(SettingsError, match="takes longer than 1 s"):
        group_rows(*opened(folder), r"((a+)+)$".replace("((a+)+)", "((?:a+)+)"))


def test_paths_that_are_no_text_pass_through(folder):
    source, index = opened(folder)
    path = index.path.copy()
    path[0] = "cat/pätient1-\U0001f431.png"
    number = group_rows(source, index.with_columns(path=path), r"p.tient(1)")
    assert len(set(number[:3].tolist())) == 1
    assert np.array_equal(number[3:], [-1, -1])
