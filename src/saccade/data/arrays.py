"""NumPy arrays as pictures: ``(x, y)``, or a .npz file with x and y or x_train, y_train, ….

`x` is (N, H, W), or (N, H, W, C) with C = 1, 3 or 4 channels last: whole numbers 0 to 255, or
floats. Floats are read as 0 to 1 where none is above 1, and as 0 to 255 otherwise, and rounded;
NaN, infinities, negative numbers and numbers above 255 are refused, and so are floats that reach
no more than 1/255, which have been divided by 255 twice. The range is judged over a whole array.
`y` is (N,) or (N, 1): whole numbers or strings. One-hot rows and fractions are refused. With
`multi_label` it is (N, L) of 0 and 1, a column a label, which is named by the column's number.

A picture is known by its position: ``00042``, or ``train/00042`` where there are parts.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from saccade.data.labelsets import read_set, written
from saccade.data.raster import Payload, Pixels
from saccade.data.source import Entry, Source, class_name, must_be_file
from saccade.errors import DataError
from saccade.types import Part

_CHUNK: Final = 1024  # pictures converted at once, so that memory holds no second copy
_MAX_EXPANDED: Final = 1 << 30
_MAX_RATIO: Final = 200
_SUFFIX_OF_PART: Final[Mapping[str, Part | None]] = {
    "": None,
    "_train": "train",
    "_val": "validation",
    "_valid": "validation",
    "_validation": "validation",
    "_test": "test",
}


class ArraySource(Source):
    """Pictures in memory, part after part; `pixels` is all of them as (N, H, W, C) uint8."""

    def __init__(
        self, name: str, pixels: Pixels, labels: Iterable[str], parts: Iterable[Part | None]
    ) -> None:
        digits = max(5, len(str(len(pixels))))
        entries: list[Entry] = []
        position: dict[Part | None, int] = {}
        for label, part in zip(labels, parts, strict=True):
            number = position.get(part, 0)
            position[part] = number + 1
            path = f"{part}/{number:0{digits}d}" if part else f"{number:0{digits}d}"
            entries.append(Entry(path=path, label=label, part=part))
        super().__init__(name, entries)
        self._pixels = pixels

    @property
    def arrays(self) -> Pixels:
        """All pictures, (N, H, W, C) uint8, in the entries' order."""
        return self._pixels

    def payloads(self, rows: Iterable[int]) -> Iterator[tuple[int, Payload]]:
        """Yield each picture's pixels, (H, W, C)."""
        for row in rows:
            yield row, self._pixels[row]


def from_arrays(x: Any, y: Any, *, name: str = "arrays", multi_label: bool = False) -> ArraySource:
    """Return pictures `x` with labels `y`; see the module for shapes and ranges."""
    return from_parts(name, {None: (x, y)}, multi_label=multi_label)


def from_parts(
    name: str, parts: Mapping[Part | None, tuple[Any, Any]], *, multi_label: bool = False
) -> ArraySource:
    """Return the pictures of several parts, which have one size, as one source."""
    pixels: list[Pixels] = []
    labels: list[str] = []
    part_of_row: list[Part | None] = []
    for part in sorted(parts, key=lambda part: part or ""):  # as their paths sort
        x, y = parts[part]
        suffix = f"_{part}" if part else ""
        pixels.append(as_pixels(x, name=f"{name}: x{suffix}"))
        read = as_label_sets if multi_label else as_labels
        labels += read(y, len(pixels[-1]), name=f"{name}: y{suffix}")
        part_of_row += [part] * len(pixels[-1])
    shapes = {array.shape[1:] for array in pixels}
    if len(shapes) != 1:
        raise DataError(f"{name}: the parts' pictures have different shapes, {sorted(shapes)}")
    together = pixels[0] if len(pixels) == 1 else np.concatenate(pixels)
    return ArraySource(name, together, labels, part_of_row)


def from_npz(path: Path, *, multi_label: bool = False) -> ArraySource:
    """Read a .npz file with x and y, or x_train, y_train, x_test, y_test; never a pickle."""
    wanted = "wanted x and y, or x_train, y_train, x_test and y_test"
    try:
        _refuse_expansion(must_be_file(path))
        with np.load(path, allow_pickle=False) as archive:
            parts = {
                part: (archive[f"x{suffix}"], archive[f"y{suffix}"])
                for suffix, part in _SUFFIX_OF_PART.items()
                if f"x{suffix}" in archive and f"y{suffix}" in archive
            }
            held = ", ".join(archive.files)[:200]
    except (ValueError, OSError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} cannot be read as .npz: {error}") from error
    if not parts:
        raise DataError(f"{path} holds {held or 'nothing'}; {wanted}")
    return from_parts(path.stem, parts, multi_label=multi_label)


def as_pixels(x: Any, *, name: str) -> Pixels:
    """Return pictures as (N, H, W, C) uint8; raise DataError, naming `name`, on anything else."""
    array = np.asarray(x)
    if array.ndim == 3:
        array = array[..., np.newaxis]
    if array.ndim != 4 or array.shape[3] not in (1, 3, 4):
        first = array.ndim == 4 and array.shape[1] in (1, 3, 4)
        cure = "; move the channels last: x.transpose(0, 2, 3, 1)" if first else ""
        raise DataError(
            f"{name} has shape {np.shape(x)}; wanted (N, H, W) or (N, H, W, 1, 3 or 4){cure}"
        )
    if not array.size:
        raise DataError(f"{name} has shape {np.shape(x)}: it holds no pixels")
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "iuf":
        raise DataError(f"{name} holds {array.dtype}; wanted uint8, or floats 0 to 1")
    return _scaled(array, name)


def as_labels(y: Any, count: int, *, name: str) -> list[str]:
    """Return labels as class names; raise DataError, naming `name`, on anything else."""
    array = np.asarray(y)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        cure = (
            "; one-hot rows become labels by y.argmax(axis=1), and several labels a picture are "
            "multi_label=True"
            if array.ndim == 2
            else ""
        )
        raise DataError(f"{name} has shape {array.shape}; wanted ({count},){cure}")
    if len(array) != count:
        raise DataError(f"{name} has {len(array):,} labels for {count:,} pictures")
    labels: list[Any] = array.tolist()
    for row, label in enumerate(labels):
        if not isinstance(label, str | int) or label == "":
            raise DataError(
                f"{name}, row {row}: {label!r} is no label; wanted whole numbers or strings"
            )
    names = {label: class_name(str(label)) for label in set(labels)}
    return [names[label] for label in labels]


def as_label_sets(y: Any, count: int, *, name: str) -> list[str]:
    """Return (N, L) of 0 and 1 as sets of columns; raise DataError, naming `name`, on others."""
    array = np.asarray(y)
    if array.ndim != 2 or len(array) != count:
        raise DataError(
            f"{name} has shape {array.shape}; wanted ({count}, labels) of 0 and 1 for multi_label"
        )
    if array.dtype.kind not in "biuf" or not np.isin(array, (0, 1)).all():
        raise DataError(f"{name} holds other values than 0 and 1; wanted 1 where a label applies")
    columns = tuple(str(column) for column in range(array.shape[1]))
    return [read_set(text) for text in written(columns, array == 1)]


def _scaled(array: npt.NDArray[Any], name: str) -> Pixels:
    """Return numbers 0 to 1 or 0 to 255 as uint8, a chunk at a time."""
    low, high = float(array.min()), float(array.max())  # NaN spreads to both
    if not (low >= 0 and high <= 255):
        raise DataError(
            f"{name} holds numbers from {low:g} to {high:g}; wanted 0 to 255, or floats 0 to 1"
        )
    floats = array.dtype.kind == "f"
    if floats and 0 < high <= 1 / 255 + 1e-6:
        raise DataError(f"{name} reaches only {high:g}: it was divided by 255 twice; do it once")
    scale = 255.0 if floats and high <= 1 else 1.0
    pixels = np.empty(array.shape, np.uint8)
    for start in range(0, len(array), _CHUNK):
        chunk = array[start : start + _CHUNK]
        pixels[start : start + _CHUNK] = np.rint(chunk * scale) if floats else chunk
    return pixels


def _refuse_expansion(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > _MAX_EXPANDED + _MAX_RATIO * path.stat().st_size:
        raise ValueError(f"it expands to {size:,} bytes, over {_MAX_RATIO} times its size")
