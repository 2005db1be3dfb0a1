"""A table with a row for each picture: its path, its label, and perhaps its part.

    path,label,split
    pictures/1.jpg,cat,train

CSV (comma, semicolon or tab; UTF-8) or Parquet. Columns are found by their usual names, in any
case and order: path, file, filename, file_name, filepath, image, image_path; label, class, target,
class_name, category; and, where there is one, split, part, subset or fold: its cells hold train,
val, validation or test, or nothing. Paths are relative to the table's folder, or absolute; the
table is its owner's, so a path may lead anywhere, but only to regular files.

With `multi_label` a row's cell holds any number of names, with ";" or "|" between, in a column that
may also be called labels, tags, classes, targets or categories; an empty cell is a picture with
none of them.

A row without a path or label, or with a web address for a path, is left out and its row named; a
part that nobody knows stops the reading, since a wrong guess would leak test pictures. Rows count
as a spreadsheet shows them: in CSV the header is row 1; in Parquet the first picture is.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from saccade.data.labelsets import read_set
from saccade.data.raster import Payload
from saccade.data.source import Entry, Source, class_name, must_be_file, part_of, printable
from saccade.errors import DataError, MissingExtraError

_PATHS: Final = (
    *("path", "file", "filename", "file_name", "filepath", "file_path"),
    *("image", "image_path", "picture"),
)
_LABELS: Final = ("label", "class", "target", "class_name", "category")
_LABELS_OF_SETS: Final = (*_LABELS, "labels", "tags", "classes", "targets", "categories")
_PARTS: Final = ("split", "part", "subset", "fold")

_Row = tuple[int, str, str, str]  # row number, path, label, part


class TableSource(Source):
    """Pictures that a table lists; `payloads` are paths."""

    def __init__(self, table: Path, *, multi_label: bool = False) -> None:
        parquet = must_be_file(table).suffix.casefold() == ".parquet"
        found: list[tuple[Entry, str, int]] = []
        left_out: list[tuple[str, str]] = []
        rows = _parquet_rows if parquet else _csv_rows
        for number, path, label, part in rows(table, multi_label):
            place = f"{table.name}, row {number}"
            if reason := _refusal(path, label, multi_label):
                left_out.append((printable(path or place), f"{reason} ({place})"))
                continue
            if part and part_of(part) is None:
                raise DataError(f"{place}: {part!r} is no part; wanted train, validation or test")
            shown = printable(path.replace(os.sep, "/"))
            read = read_set(label) if multi_label else class_name(label)
            entry = Entry(path=shown, label=read, part=part_of(part))
            found.append((entry, path, number))
        if not found:
            why = f"; {left_out[0][1]}" if left_out else ""
            raise DataError(f"{table} lists no pictures with a path and a label{why}")
        found.sort(key=lambda pair: pair[0].path)
        super().__init__(table.stem, [entry for entry, _, _ in found], left_out)
        self._table, self._folder = table, table.parent
        self._paths = [path for _, path, _ in found]
        self._numbers = [number for _, _, number in found]

    def column(self, name: str) -> list[str] | None:
        """Return each picture's cell in the column of this name, in any case."""
        parquet = self._table.suffix.casefold() == ".parquet"
        cells = (_parquet_cells if parquet else _csv_cells)(self._table, name.strip().casefold())
        return None if cells is None else [cells[number] for number in self._numbers]

    def payloads(self, rows: Iterable[int]) -> Iterator[tuple[int, Payload]]:
        """Yield each picture's path."""
        for row in rows:
            yield row, os.path.join(self._folder, self._paths[row])


def _refusal(path: str, label: str, multi_label: bool) -> str:
    """Return why a row is not used, or nothing."""
    if not path:
        return "no path"
    if not label and not multi_label:
        return "no label"
    if "://" in path[:12]:
        return "a web address; download the picture and give its file"
    return "a path with a zero byte" if "\0" in path else ""


def _csv_rows(table: Path, multi_label: bool) -> Iterator[_Row]:
    lines = _csv_lines(table)
    header = next(lines, (0, []))[1]
    path, label, part = _columns(table, header, multi_label)
    for number, row in lines:
        if multi_label and len(row) > len(header):  # labels would be lost in silence
            raise DataError(
                f"{table.name}, row {number}: {len(row)} cells under {len(header)} headings; write "
                "| between labels, or put the cell in quotes"
            )
        yield number, _cell(row, path), _cell(row, label), _cell(row, part)


def _csv_cells(table: Path, name: str) -> dict[int, str] | None:
    """Return one column's cells by row number; None where there is no such column."""
    lines = _csv_lines(table)
    names = [title.strip().casefold() for title in next(lines, (0, []))[1]]
    if name not in names:
        return None
    return {number: _cell(row, names.index(name)) for number, row in lines}


def _csv_lines(table: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the header and then every row that holds anything, each with its number."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            file.seek(0)
            delimiter = max(",;\t", key=header.count)
            lines = csv.reader(file, delimiter=delimiter)
            yield 1, next(lines, [])
            for row in lines:
                if row:
                    yield lines.line_num, row
    except UnicodeDecodeError as error:
        raise DataError(f"{table} is not UTF-8 text ({error.reason}); save it as UTF-8") from error
    except csv.Error as error:
        raise DataError(f"{table}, row {lines.line_num}: {error}") from error
    except OSError as error:
        raise DataError(f"{table} cannot be read: {error.strerror}") from error


def _cell(cells: Sequence[str], column: int) -> str:
    return cells[column].strip() if 0 <= column < len(cells) else ""


def _columns(table: Path, header: Sequence[str], multi_label: bool) -> tuple[int, int, int]:
    """Return the columns of path, label and part (-1 where there is none)."""
    names = [name.strip().casefold() for name in header]
    labels = _LABELS_OF_SETS if multi_label else _LABELS
    found = [
        next((names.index(usual) for usual in wanted if usual in names), -1)
        for wanted in (_PATHS, labels, _PARTS)
    ]
    for what, usual, column in zip(("path", "label"), (_PATHS, labels), found, strict=False):
        if column < 0:
            several = what == "label" and any(name in _LABELS_OF_SETS for name in names)
            cure = ", or add --multi-label where a row has several labels" if several else ""
            raise DataError(
                f"{table} has no {what} column among {', '.join(header)[:200] or 'none'}; "
                f"name it {usual[0]} (or {', '.join(usual[1:4])}){cure}"
            )
    return found[0], found[1], found[2]


def _parquet_cells(table: Path, name: str) -> dict[int, str] | None:
    """Return one column's cells by row number; None where there is no such column."""
    import pyarrow.parquet as parquet

    with table.open("rb") as stream, parquet.ParquetFile(stream) as file:
        titles = [title for title in file.schema_arrow.names if title.strip().casefold() == name]
        if not titles:
            return None
        cells: list[str] = []
        for batch in file.iter_batches(columns=titles[:1]):
            cells += _texts(table, batch, titles[0])
    return dict(enumerate(cells, 1))


def _parquet_rows(table: Path, multi_label: bool) -> Iterator[_Row]:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise MissingExtraError(needed_for="a Parquet table", extra="train") from error
    try:
        with table.open("rb") as stream, parquet.ParquetFile(stream) as file:
            header = file.schema_arrow.names
            columns = [header[at] if at >= 0 else "" for at in _columns(table, header, multi_label)]
            number = 1
            for batch in file.iter_batches(columns=[name for name in columns if name]):
                cells = [
                    _texts(table, batch, name) if name else [""] * len(batch) for name in columns
                ]
                for path, label, part in zip(*cells, strict=True):
                    yield number, path, label, part
                    number += 1
    except (arrow.ArrowException, OSError) as error:
        text = str(error).splitlines()[0][:200]
        raise DataError(f"{table} cannot be read as Parquet: {text}") from error


def _texts(table: Path, batch: Any, name: str) -> list[str]:
    """Return one column of a batch as text; numbers serve as labels, nested values do not."""
    values = batch.column(name).to_pylist()
    for value in values:
        if not isinstance(value, str | int | None):
            raise DataError(
                f"{table}: column {name} holds {type(value).__name__}; wanted text or whole numbers"
            )
    return ["" if value is None else str(value).strip() for value in values]
