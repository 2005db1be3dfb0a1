"""From what a user gives to a source: ``open_source("photos/")``.

A string that is exactly a set's name is that set; a folder of the same name is given as
``./digits``. A .zip or tar is read as an archive, .csv, .tsv and .parquet as a table, .npz and
``(x, y)`` as arrays, and a folder as class folders.

`test` may be any of these too: all its pictures become the test part, whatever parts it has of
its own, and their paths begin with ``test:``. Data that has a test part of its own takes no
other, because one of the two would have to be dropped in silence.

With `multi_label` each picture has a set of labels (`saccade.data.labelsets`), which tables and
arrays can hold.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from saccade.data.archive import TarSource, ZipSource
from saccade.data.arrays import from_arrays, from_npz
from saccade.data.folder import FolderSource
from saccade.data.named import named_sets, open_named
from saccade.data.raster import Payload, Pixels
from saccade.data.source import Source
from saccade.data.table import TableSource
from saccade.errors import DataError
from saccade.progress import Progress

# By the end of the file's name, in lower case.
_KINDS: Final[Mapping[str, Callable[[Path], Source]]] = {
    ".zip": ZipSource,
    ".tar": TarSource,
    ".tar.gz": TarSource,
    ".tgz": TarSource,
    ".csv": TableSource,
    ".tsv": TableSource,
    ".parquet": TableSource,
    ".npz": from_npz,
}


def open_source(
    data: Any, *, test: Any = None, multi_label: bool = False, progress: Progress
) -> Source:
    """Return the labelled pictures in `data`: a path, a set's name, or arrays ``(x, y)``.

    `test`, of the same kinds, gives the test part. Raises DataError where there is nothing to
    read, with what was wanted.
    """
    source = _open(data, progress, multi_label)
    if test is None:
        return source
    if any(entry.part == "test" for entry in source.entries):
        raise DataError(f"{source.name} has a test part of its own; leave out the other test data")
    return _WithTest(source, _open(test, progress, multi_label))


def _open(data: Any, progress: Progress, multi_label: bool) -> Source:
    if isinstance(data, tuple | list) and len(data) == 2:
        return from_arrays(*data, multi_label=multi_label)
    if multi_label:
        return _open_of_sets(data)
    if isinstance(data, str) and data in named_sets():
        return open_named(data, progress=progress)
    if not isinstance(data, str | os.PathLike):
        raise DataError(
            f"data is a path, the name of a set or arrays (x, y); got {type(data).__name__}"
        )
    if not os.fspath(data):
        raise DataError("the data's path is empty; give a folder, an archive, a table or a set")
    path = Path(data).expanduser()
    if not _exists(path):
        raise DataError(f"there is no {_short(data)}; the named sets are {', '.join(named_sets())}")
    if path.is_dir():
        return FolderSource(path)
    name = path.name.casefold()
    for suffix, kind in _KINDS.items():
        if name.endswith(suffix):
            return kind(path)
    raise DataError(
        f"{path} is not a kind of data that is read; "
        f"wanted a folder, or a file that ends in {', '.join(_KINDS)}"
    )


def _open_of_sets(data: Any) -> Source:
    """Return a source whose pictures have sets of labels."""
    name = os.fspath(data) if isinstance(data, str | os.PathLike) else type(data).__name__
    kinds = [suffix for suffix, kind in _KINDS.items() if kind is TableSource]
    suffix = Path(name).suffix.casefold()
    if suffix in kinds:
        return TableSource(Path(data).expanduser(), multi_label=True)
    if suffix == ".npz":
        return from_npz(Path(data).expanduser(), multi_label=True)
    raise DataError(
        f"several labels a picture (--multi-label) are read from a table ({', '.join(kinds)}), or "
        f"from arrays (x, y) with y of 0 and 1, (N, labels); got {name[:200]!r}"
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or with a zero byte
        return False


def _short(data: Any) -> str:
    text = os.fspath(data)
    return repr(text if len(text) <= 200 else f"{text[:200]}…")


class _WithTest(Source):
    """Two sources as one: the second is the test part."""

    def __init__(self, source: Source, test: Source) -> None:
        tested = [replace(e, path=f"test:{e.path}", part="test") for e in test.entries]
        left_out = [(f"test:{path}", reason) for path, reason in test.left_out]
        super().__init__(source.name, (*source.entries, *tested), (*source.left_out, *left_out))
        self._source, self._test = source, test
        self._arrays = _together(source.arrays, test.arrays)

    @property
    def arrays(self) -> Pixels | None:
        """All pictures where both sources hold arrays of one shape."""
        return self._arrays

    def column(self, name: str) -> list[str] | None:
        """Return both sources' cells; empty ones for the source that lacks the column."""
        first, second = self._source.column(name), self._test.column(name)
        if first is None and second is None:
            return None
        return [
            *(first or [""] * len(self._source.entries)),
            *(second or [""] * len(self._test.entries)),
        ]

    def payloads(self, rows: Iterable[int]) -> Iterator[tuple[int, Payload]]:
        """Yield the first source's pictures, then the second's."""
        first = len(self._source.entries)
        wanted = list(rows)
        yield from self._source.payloads(row for row in wanted if row < first)
        for row, payload in self._test.payloads(row - first for row in wanted if row >= first):
            yield row + first, payload


def _together(first: Pixels | None, second: Pixels | None) -> Pixels | None:
    if first is None or second is None or first.shape[1:] != second.shape[1:]:
        return None
    return np.concatenate([first, second])
