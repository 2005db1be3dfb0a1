"""Decoding pictures straight into their rows of one file: the cache's work in each worker.

Rows are written with `write`, not through a memory map: on a full disk `write` raises OSError,
where a memory map would kill the process.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np

from saccade.data.picture import Payload, Preprocessing, digest_of
from saccade.data.work import Work

_BUFFER_BYTES: Final = 2**18  # small rows that follow each other are written together


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The file that the rows go to; row 0 begins at `offset`."""

    preprocessing: Preprocessing
    path: Path
    offset: int

    @classmethod
    def create(cls, path: Path, preprocessing: Preprocessing, num_rows: int) -> Target:
        """Make a .npy file of its full size, sparse, so that rows can be written in any order.

        Raises OSError where the disk has no room for it.
        """
        shape = num_rows, *preprocessing.shape
        with path.open("xb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            offset = file.tell()
            size = offset + prod(shape)
            free = shutil.disk_usage(path.parent).free
            if size > free:
                raise OSError(f"it takes {size:,} bytes and {free:,} are free")
            file.truncate(size)
        return cls(preprocessing=preprocessing, path=path, offset=offset)

    def to_json(self) -> dict[str, Any]:
        """Return the target as a JSON document, the settings of a RowWriter."""
        return {
            "preprocessing": self.preprocessing.to_json(),
            "path": str(self.path),
            "offset": self.offset,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Target:
        """Read what `to_json` wrote."""
        return cls(
            preprocessing=Preprocessing.from_json(document["preprocessing"]),
            path=Path(document["path"]),
            offset=document["offset"],
        )


class RowWriter(Work):
    """Writes rows of one target; close it when done."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._target = Target.from_json(settings)
        self._row_bytes = prod(self._target.preprocessing.shape)
        self._file = self._target.path.open("r+b", buffering=_BUFFER_BYTES)
        self._next: int | None = None  # the row at which the file stands

    def do(self, payload: Payload, argument: int | None) -> tuple[int, bool]:
        """Decode into row `argument`; where it is None, into none and at full scale.

        Returns the pixels' digest, and whether a JPEG's reduced scale served.
        """
        decoded = self._target.preprocessing.decode(payload, full_scale=argument is None)
        if argument is not None:
            self.write_bytes(argument, decoded.pixels.data)
        return digest_of(decoded.pixels), decoded.reduced

    def write_bytes(self, row: int, content: bytes | memoryview) -> None:
        """Write the pixels of one or more rows, from `row` on; they may wait for `finish_chunk`."""
        if row != self._next:  # to seek is to write what is held
            self._file.seek(self._target.offset + row * self._row_bytes)
        self._next = row + self._file.write(content) // self._row_bytes

    def finish_chunk(self) -> None:
        """Write what is still held."""
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
