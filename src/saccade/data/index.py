"""The index: one row a picture, held as columns."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

UNASSIGNED = -1


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
        """Return the usable rows of one part, given as its code in `saccade.types.PARTS`."""
        return np.flatnonzero(self.usable & (self.part == part))

    def with_columns(self, **columns: Any) -> Index:
        """Return the index with some columns replaced."""
        return Index(**({f.name: getattr(self, f.name) for f in fields(self)} | columns))
