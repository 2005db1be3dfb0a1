"""A batch's changes as tensor work, on whatever device it lies: `augment`'s draws and bytes.

All of it is whole numbers, or float64 in the same order of operations, and so equal to the byte.
The one exception is colour: a product in float32, whose sums another library may round otherwise,
so that a level may be the next one. Nothing here waits for a card.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from saccade.augmentation import Fill
from saccade.training.augment import relit_levels
from saccade.training.device import on_device
from saccade.training.draws import Draw, Erasure, Light, Mixture
from saccade.training.geometry import FRACTION_BITS, Maps, sides_of, straight

Tensor = Any  # torch has no type information here; pixels are (N, H, W, C) uint8


def as_drawn(pixels: Tensor, draw: Draw) -> Tensor:
    """Return copies of a batch changed as was drawn."""
    return draw.done_to(pixels, move=_moved, relight=_relit, recolour=_recoloured, erase=_erased)


def as_mixed(pixels: Tensor, mixture: Mixture) -> Tensor:
    """Return a batch mixed as was drawn."""
    others = pixels.index_select(0, on_device(mixture.other, pixels.device))
    if mixture.rectangle is not None:
        rows, columns = mixture.rectangle
        mixed = pixels.clone()
        mixed[:, rows, columns] = others[:, rows, columns]
        return mixed
    sums = pixels.int() * mixture.weight + others.int() * (256 - mixture.weight)
    return ((sums + 127) >> 8).to(torch.uint8)


def _moved(pixels: Tensor, maps: Maps, fill: Fill) -> Tensor:
    num_images, height, width, channels = pixels.shape
    row, column = _places(maps, (height, width), fill, pixels.device)
    first = torch.arange(num_images, device=pixels.device)[:, None, None] * (height * width)
    flat = first + row * width + column  # (N, H, W)
    if fill != "constant":
        return pixels.reshape(-1, channels)[flat]
    is_shown = (row < height) & (column < width)
    shown = pixels.reshape(-1, channels)[torch.where(is_shown, flat, 0)]
    return shown * is_shown[..., None]


def _places(maps: Maps, size: tuple[int, int], fill: Fill, device: Any) -> tuple[Tensor, Tensor]:
    """Return which row and which column is shown where; the two stretch to (N, H, W)."""
    rows, columns = sides_of(maps, size, fill)
    if not maps.are_oblique:
        row, column = (on_device(straight(side), device) for side in (rows, columns))
        return row[:, :, None], column[:, None, :]
    starts, slopes, row_at = (on_device(part, device) for part in rows)
    row = row_at[(starts[:, :, None] + slopes[:, None, :]) >> FRACTION_BITS]
    starts, slopes, column_at = (on_device(part, device) for part in columns)
    return row, column_at[(starts[:, None, :] + slopes[:, :, None]) >> FRACTION_BITS]


def _relit(pixels: Tensor, light: Light) -> Tensor:
    device, flat = pixels.device, pixels.reshape(len(pixels), -1)
    some = flat[:, ::7]
    total = some.sum(dim=1, keepdim=True, dtype=torch.float64)
    # By a tensor: a card multiplies by the reciprocal of a number, which rounds otherwise.
    mean = total / torch.full_like(total, some.shape[1])
    contrast, brightness = (on_device(part, device) for part in (light.contrast, light.brightness))
    levels = torch.arange(256, dtype=torch.float64, device=device)
    entries = relit_levels(levels, mean, contrast, brightness)
    table = entries.round_().clamp_(0, 255).to(torch.uint8)  # (N, 256)
    return table.gather(1, flat.long()).reshape(pixels.shape)


def _recoloured(pixels: Tensor, matrix: npt.NDArray[np.float32]) -> Tensor:
    colours = pixels.reshape(len(pixels), -1, 3).float() @ on_device(matrix, pixels.device)
    return colours.add_(0.5).clamp_(0, 255).to(torch.uint8).reshape(pixels.shape)


def _erased(pixels: Tensor, erasures: tuple[Erasure, ...]) -> Tensor:
    _, height, width, channels = pixels.shape
    places = []
    for each in erasures:
        rows = each.picture * height + np.arange(each.rows.start, each.rows.stop)
        columns = np.arange(each.columns.start, each.columns.stop)
        places.append((rows[:, None] * width + columns).reshape(-1))
    noise = [each.noise.reshape(-1, channels) for each in erasures]
    places, noise = (on_device(np.concatenate(part), pixels.device) for part in (places, noise))
    return pixels.reshape(-1, channels).index_copy(0, places, noise).reshape(pixels.shape)
