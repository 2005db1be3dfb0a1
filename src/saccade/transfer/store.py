"""Features: what a backbone gives for every picture, computed once and kept.

    body = backbone("MobileNet-0.25", 96, weights="mobilenet_2_5_224_tf_no_top.h5")
    features(body, pixels)                                  # (N, 256) float32
    kept_features(body, cache, progress=progress)           # the same, found again the next time
    kept_features(body, cache, rows, progress=progress)     # of some rows only

Kept features lie in the folder of the cache of pixels that they were computed from, and go with it:

    <user cache>/pixels/<key>/features-<digest>.npy

The digest covers the backbone (its name, size, cut and weights), the format that products may have,
the rows where they are not all, and the version of this file's layout; the pictures are the
folder's key. A file appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from saccade.data.cache import Cache
from saccade.errors import SettingsError
from saccade.files import atomic_path, cannot_write
from saccade.progress import Progress
from saccade.transfer.applications import Backbone
from saccade.transfer.runtimes import Features, Pixels, fastest, number_format

FEATURES_VERSION: Final = 1
_BLOCK: Final = 1024  # pictures read at once


def features(backbone: Backbone, pixels: Pixels) -> Features:
    """Return (N, D) float32, or (N, h, w, D), for (N, H, W, 3) uint8 pictures.

    Raises SettingsError where the pictures are not of the backbone's size.
    """
    _check(backbone, pixels)
    result = np.empty((len(pixels), *backbone.output_shape), dtype=np.float32)
    start = 0
    if len(pixels):
        for values in fastest(backbone, pixels).run(pixels):
            result[start : start + len(values)] = values
            start += len(values)
    return result


def kept_features(
    backbone: Backbone,
    cache: Cache,
    rows: npt.NDArray[np.intp] | None = None,
    *,
    progress: Progress,
) -> Features:
    """Return the features of a cache's rows, of all or of `rows` in order, computed once.

    They are memory-mapped. Rows without a picture get the features of black. Raises SettingsError
    where the pictures are not of the backbone's size, or the cache cannot be written.
    """
    _check(backbone, cache.pixels)
    path = cache.folder / f"features-{_digest(backbone, rows)}.npy"
    chosen = np.arange(len(cache.pixels)) if rows is None else rows
    shape = (len(chosen), *backbone.output_shape)
    found = _load(path, shape)
    if found is None:
        _write(path, shape, backbone, _blocks(cache.pixels, chosen), progress)
        found = _load(path, shape)
    if found is None:
        raise cannot_write(path, OSError("it cannot be read back"))
    return found


def _check(backbone: Backbone, pixels: npt.NDArray[np.uint8]) -> None:
    if pixels.dtype != np.uint8 or pixels.shape[1:] != backbone.input_shape:
        raise SettingsError(
            f"{backbone.name} takes pictures {backbone.input_shape} of uint8, "
            f"got {pixels.shape[1:]} of {pixels.dtype}"
        )


def _digest(backbone: Backbone, rows: npt.NDArray[np.intp] | None) -> str:
    settings: dict[str, Any] = {
        "version": FEATURES_VERSION,
        "backbone": backbone.digest,
        "format": number_format(),
    }
    if rows is not None:
        settings["rows"] = hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _load(path: Path, shape: tuple[int, ...]) -> Features | None:
    """Return kept features, or None where they are absent or damaged."""
    try:
        found: Features = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.shape == shape and found.dtype == np.float32 else None


def _blocks(pixels: Pixels, rows: npt.NDArray[np.intp]) -> Iterator[Pixels]:
    """Yield the pictures of these rows, some at a time: all may be more than memory holds."""
    for start in range(0, len(rows), _BLOCK):
        yield pixels[rows[start : start + _BLOCK]]


def _write(
    path: Path,
    shape: tuple[int, ...],
    backbone: Backbone,
    blocks: Iterator[Pixels],
    progress: Progress,
) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        size, free = 4 * int(np.prod(shape)), shutil.disk_usage(path.parent).free
        if size > free:
            raise OSError(f"it takes {size:,} bytes and {free:,} are free")
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        with progress.stage("features", total=shape[0]) as stage:
            runtime = None
            for pixels in blocks:
                if runtime is None:
                    runtime = fastest(backbone, pixels)
                    stage.describe(f"{backbone.name}, {runtime}")
                for values in runtime.run(pixels):
                    file.write(np.ascontiguousarray(values, dtype="<f4").data)
                    stage.advance(len(values))
