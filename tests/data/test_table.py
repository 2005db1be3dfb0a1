from __future__ import annotations

from pathlib import Path

import pytest

from saccade.data.table import TableSource
from saccade.errors import DataError


def csv(folder: Path, text: str, name: str = "labels.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def rows(source: TableSource) -> list[tuple[str, str | None, str | None]]:
    return [(entry.path, entry.label, entry.part) for entry in source.entries]


@pytest.mark.parametrize(
    "header",
    ["path,label", "label,path", "\ufeffFile , Class", "filename,target,other", "image,label"],
)
def test_columns_are_found_by_their_usual_names(tmp_path, header):
    cells = "cat,a.jpg" if header.startswith("label") else "a.jpg,cat"
    source = TableSource(csv(tmp_path, f"{header}\n{cells}\n"))
    assert rows(source) == [("a.jpg", "cat", None)]
    assert source.name == "labels"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters_and_quotes(tmp_path, delimiter):
    text = f'path{delimiter}label{delimiter}split\n"a b.jpg"{delimiter}"x, y"{delimiter}Val\n\n'
    assert rows(TableSource(csv(tmp_path, text))) == [("a b.jpg", "x, y", "validation")]


def test_paths_are_relative_to_the_table(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/ü.jpg").write_bytes(b"one")
    (tmp_path / "2.jpg").write_bytes(b"two")
    table = csv(tmp_path / "sub", f"path,label\nü.jpg,a\n../2.jpg,b\n{tmp_path}/2.jpg,b\n")
    source = TableSource(table)
    contents = {row: Path(path).read_bytes() for row, path in source.payloads(range(3))}
    assert {source.entries[row].path: content for row, content in contents.items()} == {
        "ü.jpg": b"one",
        "../2.jpg": b"two",
        f"{tmp_path}/2.jpg": b"two",
    }


def test_rows_without_a_path_or_label_are_left_out_by_number(tmp_path):
    text = "path,label\na.jpg,cat\nb.jpg\n,dog\nhttps://x.org/c.jpg,dog\n"
    source = TableSource(csv(tmp_path, text))
    assert rows(source) == [("a.jpg", "cat", None)]
    assert source.left_out == (
        ("b.jpg", "no label (labels.csv, row 3)"),
        ("labels.csv, row 4", "no path (labels.csv, row 4)"),
        (
            "https://x.org/c.jpg",
            "a web address; download the picture and give its file (labels.csv, row 5)",
        ),
    )


def test_an_unknown_part_names_its_row(tmp_path):
    with pytest.raises(DataError, match=r"labels.csv, row 3: 'tst' is no part; wanted train"):
        TableSource(csv(tmp_path, "path,label,split\na.jpg,x,test\nb.jpg,x,tst\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no path column among none; name it path"),
        ("name,label\na.jpg,x\n", "has no path column among name, label"),
        ("path,colour\na.jpg,x\n", "has no label column among path, colour; name it label"),
        ("path,label\n", "lists no pictures"),
        ("path,label\na.jpg,\n", r"lists no pictures with a path and a label; no label \(labels"),
        (f"path,label\na.jpg,{'x' * 200_000}\n", "row 2: field larger"),
    ],
)
def test_a_table_without_what_is_needed(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        TableSource(csv(tmp_path, text))


def test_text_that_is_not_utf8(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_bytes(b"path,label\na.jpg,caf\xe9\n")
    with pytest.raises(DataError, match="is not UTF-8 text"):
        TableSource(path)


def test_parquet_equals_csv(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = arrow.table(
        {
            "size": [1, 2, 3],
            "Class": [7, 8, None],
            "file": ["b.jpg", "a.jpg", "c.jpg"],
            "split": ["train", None, "test"],
        }
    )
    parquet.write_table(table, tmp_path / "labels.parquet")
    source = TableSource(tmp_path / "labels.parquet")
    assert rows(source) == [("a.jpg", "8", None), ("b.jpg", "7", "train")]
    assert source.left_out == (("c.jpg", "no label (labels.parquet, row 3)"),)


def test_parquet_labels_may_be_a_dictionary(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    labels = arrow.array(["x", "y", "x"]).dictionary_encode()
    table = arrow.table({"path": ["1.jpg", "2.jpg", "3.jpg"], "label": labels})
    parquet.write_table(table, tmp_path / "t.parquet")
    assert [label for _, label, _ in rows(TableSource(tmp_path / "t.parquet"))] == ["x", "y", "x"]


def test_parquet_that_cannot_serve(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "t.parquet"
    parquet.write_table(arrow.table({"image": [{"bytes": b"x"}], "label": ["a"]}), path)
    with pytest.raises(DataError, match="column image holds dict; wanted text"):
        TableSource(path)
    parquet.write_table(arrow.table({"label": ["a"]}), path)
    with pytest.raises(DataError, match="has no path column among label"):
        TableSource(path)
    path.write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        TableSource(path)
