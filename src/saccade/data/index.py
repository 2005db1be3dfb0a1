"""The index: one row a picture, held as columns, and kept as a Parquet file.

The file holds labels and parts as words, so that any reader of Parquet understands it; the list of
classes, and the version of the layout, are in its metadata under ``saccade``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from saccade.errors import DataError, MissingExtraError
from saccade.files import atomic_path
from saccade.types import PARTS

UNASSIGNED = -1
_FORMAT_VERSION: Final = 1
_METADATA_KEY: Final = b"saccade"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Index:
    """One row a picture, in the source's order; every column has one entry a row.

    `label` and `part` are codes: into `classes`, and into `saccade.types.PARTS`; -1 is none.
    A row whose `reason` is not empty is left out of everything, and the report lists it.
    """

    classes: tuple[str, ...]  # sorted; labels bind by name, never by order of appearance
    path: npt.NDArray[np.object_]  # (N,) str: how the user knows the picture
    label: npt.NDArray[np.int32]  # (N,)
    part: npt.NDArray[np.int8]  # (N,)
    sha256: npt.NDArray[np.object_]  # (N,) 64 hexadecimal digits of the file's bytes; "" unread
    width_px: npt.NDArray[np.int32]  # (N,) upright, after EXIF orientation; 0 unread
    height_px: npt.NDArray[np.int32]  # (N,)
    mode: npt.NDArray[np.object_]  # (N,) Pillow's mode, such as "L", "RGB", "CMYK", "I;16"
    flags: npt.NDArray[np.object_]  # (N,) words with ";" between: "rotated;animated;conflict"
    reason: npt.NDArray[np.object_]  # (N,) why the row is left out; "" where it is used

    def __post_init__(self) -> None:
        lengths = {len(getattr(self, field.name)) for field in fields(self)[1:]}
        if len(lengths) != 1:
            raise ValueError(f"columns of an index have one length, got {sorted(lengths)}")

    def __len__(self) -> int:
        return len(self.path)

    @property
    def usable(self) -> npt.NDArray[np.bool_]:
        """Which rows are used, as a boolean mask of shape (N,)."""
        mask: npt.NDArray[np.bool_] = self.reason == ""
        return mask

    def rows_of(self, part: int) -> npt.NDArray[np.intp]:
        """Return the usable rows of one part, given as its code, such as `saccade.types.TEST`."""
        return np.flatnonzero(self.usable & (self.part == part))

    def counts_of(self, part: int) -> npt.NDArray[np.intp]:
        """Return how many usable pictures of one part each class has, (C,)."""
        return np.bincount(self.label[self.rows_of(part)], minlength=len(self.classes))

    def flagged(self, word: str) -> npt.NDArray[np.bool_]:
        """Return which rows have this word among their flags, as a boolean mask of shape (N,)."""
        return np.array([word in flags.split(";") for flags in self.flags.tolist()], bool)

    def with_columns(self, **columns: Any) -> Index:
        """Return the index with some columns replaced."""
        return Index(**({f.name: getattr(self, f.name) for f in fields(self)} | columns))


def write_index(path: Path, index: Index) -> None:
    """Write the index to a Parquet file, atomically."""
    arrow, parquet = _load_arrow()
    columns = {
        "path": arrow.array(index.path, arrow.string()),
        "label": _words(index.label, index.classes),
        "part": _words(index.part, PARTS),
        "sha256": arrow.array(index.sha256, arrow.string()),
        "width_px": arrow.array(index.width_px),
        "height_px": arrow.array(index.height_px),
        "mode": arrow.array(index.mode, arrow.string()).dictionary_encode(),
        "flags": arrow.array(index.flags, arrow.string()).dictionary_encode(),
        "reason": arrow.array(index.reason, arrow.string()).dictionary_encode(),
    }
    document = json.dumps({"version": _FORMAT_VERSION, "classes": index.classes})
    table = arrow.table(columns).replace_schema_metadata({_METADATA_KEY: document.encode()})
    # A stream, since Arrow opens no path that is not UTF-8.
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        parquet.write_table(table, stream, compression="zstd")


def read_index(path: Path) -> Index:
    """Read what `write_index` wrote; raise DataError where `path` does not hold that."""
    arrow, parquet = _load_arrow()
    try:
        with path.open("rb") as stream:
            table = parquet.read_table(stream)
        document = json.loads((table.schema.metadata or {})[_METADATA_KEY])
        if document["version"] != _FORMAT_VERSION:
            raise DataError(
                f"{path} has layout {document['version']!r}, this Saccade reads "
                f"{_FORMAT_VERSION}; use the Saccade that wrote it"
            )
        classes = tuple(document["classes"])
        columns = {name: table.column(name).to_pylist() for name in _COLUMNS}
        codes = {
            "label": _codes(columns.pop("label"), classes, np.int32),
            "part": _codes(columns.pop("part"), PARTS, np.int8),
            "width_px": np.array(columns.pop("width_px"), np.int32),
            "height_px": np.array(columns.pop("height_px"), np.int32),
        }
        texts = {name: np.array(values, dtype=object) for name, values in columns.items()}
        return Index(classes=classes, **texts, **codes)
    except (arrow.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is no index of pictures, or is damaged: {error}") from error


_COLUMNS: Final = tuple(field.name for field in fields(Index))[1:]


def _words(codes: npt.NDArray[Any], names: tuple[str, ...]) -> Any:
    """Return codes as a dictionary column of names; -1 is null."""
    arrow, _ = _load_arrow()
    numbers = arrow.array(codes.astype(np.int32), mask=codes == UNASSIGNED)
    return arrow.DictionaryArray.from_arrays(numbers, arrow.array(names, arrow.string()))


def _codes(words: list[str | None], names: tuple[str, ...], kind: type[Any]) -> npt.NDArray[Any]:
    code = {name: number for number, name in enumerate(names)} | {None: UNASSIGNED}
    return np.array([code[word] for word in words], kind)


def _load_arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError(needed_for="the index of pictures", extra="train") from error
    return pyarrow, pyarrow.parquet
