"""Light changes to training pictures that leave their meaning as it was.

Each picture of a batch is shifted, zoomed or mirrored by choosing, for every output pixel, the
input pixel that it shows: one gather for a whole batch, on NumPy arrays and PyTorch tensors alike.
Beyond the border the picture is reflected, so no edge appears that a network could learn.
Gathering picks the nearest pixel; the small unevenness of a zoom costs less than blending would.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """What changes, and at most how much."""

    shift: float = 0.0  # share of the side that a picture moves by, both ways
    zoom: float = 0.0  # share of the side that may be cut away; 0.3 shows 70 to 100 %
    flip: bool = False  # mirror left to right, half of the time
    light: float = 0.0  # largest change of brightness and contrast, as a share

    @property
    def is_none(self) -> bool:
        """Whether pictures stay as they are."""
        return not (self.shift or self.zoom or self.flip or self.light)

    def to_json(self) -> dict[str, Any]:
        """Return the choice as a JSON document."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Augmentation:
        """Read what `to_json` wrote."""
        return cls(**document)


def augment(
    pixels: npt.NDArray[np.uint8], augmentation: Augmentation, random: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Return changed copies of a batch, (N, H, W, C) uint8 to the same."""
    if augmentation.is_none:
        return pixels
    num_images, height, width, _ = pixels.shape
    rows = _positions(height, num_images, augmentation, random)
    columns = _positions(width, num_images, augmentation, random)
    if augmentation.flip:
        mirrored = random.random(num_images) < 0.5
        columns[mirrored] = columns[mirrored, ::-1]
    changed = _gather(pixels, rows, columns)
    return _relight(changed, augmentation.light, random) if augmentation.light else changed


def _positions(
    side: int, num_images: int, augmentation: Augmentation, random: np.random.Generator
) -> npt.NDArray[np.intp]:
    """Return (N, side) positions to read from, along one side of each picture."""
    shown = 1.0 - augmentation.zoom * random.random((num_images, 1))
    room = augmentation.shift * side + (1.0 - shown) * side / 2
    centre = side / 2 + room * (2 * random.random((num_images, 1)) - 1)
    steps = np.arange(side) + 0.5 - side / 2
    where = np.floor(centre + shown * steps).astype(np.intp)
    if not augmentation.zoom:  # whole pixels only, each exactly once
        where = np.arange(side) + np.rint(centre - side / 2).astype(np.intp)
    return _reflect(where, side)


def _reflect(where: npt.NDArray[np.intp], side: int) -> npt.NDArray[np.intp]:
    """Fold positions beyond the border back inside: -1 becomes 0, `side` becomes side - 1."""
    folded = np.mod(where, 2 * side)
    return np.where(folded < side, folded, 2 * side - 1 - folded)


def _gather(
    pixels: npt.NDArray[np.uint8], rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]
) -> npt.NDArray[np.uint8]:
    """Return ``pixels[n, rows[n, i], columns[n, j]]`` at (n, i, j), as one flat `take`."""
    num_images, height, width, channels = pixels.shape
    first = (np.arange(num_images) * height)[:, None]
    flat = ((first + rows) * width)[:, :, None] + columns[:, None, :]
    taken: npt.NDArray[np.uint8] = pixels.reshape(-1, channels).take(flat.reshape(-1), axis=0)
    return taken.reshape(pixels.shape)


def _relight(
    pixels: npt.NDArray[np.uint8], most: float, random: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Change contrast around each picture's mean, and brightness, by a table of 256 entries."""
    num_images = len(pixels)
    contrast = 1 + most * (2 * random.random((num_images, 1)) - 1)
    brightness = 255 * most * (random.random((num_images, 1)) - 0.5)
    mean = pixels.reshape(num_images, -1)[:, ::7].mean(axis=1, keepdims=True)  # a seventh is enough
    table = (np.arange(256) - mean) * contrast + mean + brightness  # (N, 256)
    table = np.clip(np.rint(table), 0, 255).astype(np.uint8)
    relit: npt.NDArray[np.uint8] = table[np.arange(num_images)[:, None, None, None], pixels]
    return relit
