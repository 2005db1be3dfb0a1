"""Our kernels over training pictures, uint8 arrays (N, H, W, C), or None where there are none."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from saccade.training.kernels.calling import call
from saccade.training.kernels.library import load_kernels

Pixels = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]


class Sloping(NamedTuple):
    """Places along one side that are shown, in fixed point: starts, and slopes added to them."""

    starts: Places  # (N, places of the output along this side)
    slopes: Places  # (N, places along the other)
    shown: Places  # which pixel that is, by whole places; of none, the side's length or more


def shown_at(pixels: Pixels, rows: Places, columns: Places) -> Pixels | None:
    """Return pictures whose rows and columns are those (N, H) and (N, W) of `pixels`.

    What lies at the height or the width or beyond, where there is none, is black.
    """
    if load_kernels() is None:
        return None
    shown = np.empty(pixels.shape, np.uint8)
    call("show_places", *_tensors(pixels, rows, columns, shown), *pixels.shape)
    return shown


def shown_along(
    pixels: Pixels, rows: Sloping, columns: Sloping, *, fraction_bits: int
) -> Pixels | None:
    """Return pictures whose rows and columns depend on both; see `Sloping`."""
    if load_kernels() is None:
        return None
    shown = np.empty(pixels.shape, np.uint8)
    (x, y), sides = _tensors(pixels, shown), (rows, columns)
    along = [part for side in sides for part in (*_tensors(*side), len(side.shown))]
    call("show_slopes", x, *along, fraction_bits, y, *pixels.shape)
    return shown


def translated(pixels: Pixels, tables: Pixels) -> Pixels | None:
    """Return pictures in which each byte is its entry of the picture's table, (N, 256)."""
    if load_kernels() is None:
        return None
    shown = np.empty(pixels.shape, np.uint8)
    size = pixels.size // len(pixels)
    call("translate", *_tensors(pixels, tables, shown), len(pixels), size)
    return shown


def _tensors(*arrays: npt.NDArray[Any]) -> list[Any]:
    return [torch.from_numpy(np.require(array, requirements=["C", "W"])) for array in arrays]
