from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from saccade.data.index import Index, read_index, write_index
from saccade.errors import DataError

parquet = pytest.importorskip("pyarrow.parquet")


def objects(*values: str) -> np.ndarray:
    return np.array(values, dtype=object)


def small_index(**changes: object) -> Index:
    columns = {
        "classes": ("cat", "dog", "日本"),
        "path": objects("cat/1.jpg", "日本/ü 2.png", "notes.txt"),
        "label": np.array([0, 2, -1], np.int32),
        "part": np.array([0, 2, -1], np.int8),
        "sha256": objects("ab" * 32, "", ""),
        "width_px": np.array([3, 0, 0], np.int32),
        "height_px": np.array([4, 0, 0], np.int32),
        "mode": objects("RGB", "", ""),
        "flags": objects("alpha;rotated", "", ""),
        "reason": objects("", "damaged: it ends early", "not a picture"),
    }
    return Index(**(columns | changes))


def test_what_is_written_is_read_back(tmp_path):
    index = small_index()
    write_index(tmp_path / "run" / "index.parquet", index)
    found = read_index(tmp_path / "run" / "index.parquet")
    assert found.classes == index.classes
    for field in fields(Index)[1:]:
        column, wanted = getattr(found, field.name), getattr(index, field.name)
        assert column.dtype == wanted.dtype, field.name
        np.testing.assert_array_equal(column, wanted)


def test_an_empty_index_is_read_back(tmp_path):
    columns = {field.name: getattr(small_index(), field.name)[:0] for field in fields(Index)[1:]}
    write_index(tmp_path / "i.parquet", Index(classes=("a",), **columns))
    found = read_index(tmp_path / "i.parquet")
    assert len(found) == 0
    assert found.label.dtype == np.int32


def test_any_reader_of_parquet_sees_words(tmp_path):
    write_index(tmp_path / "i.parquet", small_index())
    rows = parquet.read_table(tmp_path / "i.parquet").to_pylist()
    assert [row["label"] for row in rows] == ["cat", "日本", None]
    assert [row["part"] for row in rows] == ["train", "test", None]
    assert rows[0]["width_px"] == 3


def test_classes_without_pictures_and_their_order_stay(tmp_path):
    index = small_index(classes=("cat", "bird", "日本", "zebra"))
    write_index(tmp_path / "i.parquet", index)
    assert read_index(tmp_path / "i.parquet").classes == index.classes


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "i.parquet"
    with pytest.raises(DataError, match="is no index of pictures"):
        read_index(path)
    path.write_bytes(b"hello")
    with pytest.raises(DataError, match="is no index of pictures"):
        read_index(path)
    write_index(path, small_index())
    table = parquet.read_table(path)
    parquet.write_table(table.replace_schema_metadata({}), path)
    with pytest.raises(DataError, match="is no index of pictures"):
        read_index(path)
    newer = {b"saccade": b'{"version": 99, "classes": []}'}
    parquet.write_table(table.replace_schema_metadata(newer), path)
    with pytest.raises(DataError, match="has layout 99, this Saccade reads 1"):
        read_index(path)
    parquet.write_table(
        table.replace_schema_metadata({b"saccade": b'{"version": 1, "classes": []}'}), path
    )
    with pytest.raises(DataError, match="is no index of pictures, or is damaged"):
        read_index(path)


def test_flagged_looks_for_whole_words():
    index = small_index(flags=objects("alpha;rotated", "", "rotated-twice"))
    assert index.flagged("rotated").tolist() == [True, False, False]


def test_usable_rows_of_a_part():
    index = small_index(part=np.array([0, 0, -1], np.int8))
    np.testing.assert_array_equal(index.rows_of(0), [0])
    with pytest.raises(ValueError, match="columns of an index have one length"):
        small_index(part=np.zeros(2, np.int8))
