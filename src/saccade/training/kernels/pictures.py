"""Our kernels over training pictures, uint8 arrays (N, H, W, C), or None where there are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from saccade.training.kernels.calling import call
from saccade.training.kernels.library import load_kernels

Pixels = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]


def shown_at(pixels: Pixels, rows: Places, columns: Places) -> Pixels | None:
    """Return pictures whose rows and columns are those (N, H) and (N, W) of `pixels`.

    What lies at the height or the width or beyond, where there is none, is black.
    """
    if load_kernels() is None:
        return None
    shown = np.empty(pixels.shape, np.uint8)
    call("show_places", *_tensors(pixels, rows, columns, shown), *pixels.shape)
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
