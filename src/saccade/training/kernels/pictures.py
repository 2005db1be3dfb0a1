"""Our kernels over training pictures, uint8 arrays (N, H, W, C), or None where there are none."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

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
    _call("show_places", pixels, rows, columns, shown, *pixels.shape)
    return shown


def shown_along(
    pixels: Pixels, rows: Sloping, columns: Sloping, *, fraction_bits: int
) -> Pixels | None:
    """Return pictures whose rows and columns depend on both; see `Sloping`."""
    if load_kernels() is None:
        return None
    shown = np.empty(pixels.shape, np.uint8)
    along = [part for side in (rows, columns) for part in (*side, len(side.shown))]
    _call("show_slopes", pixels, *along, fraction_bits, shown, *pixels.shape)
    return shown


def translated(pixels: Pixels, tables: Pixels) -> Pixels | None:
    """Return pictures in which each byte is its entry of the picture's table, (N, 256)."""
    if load_kernels() is None:
        return None
    shown = np.empty(pixels.shape, np.uint8)
    size = pixels.size // len(pixels)
    _call("translate", pixels, tables, shown, len(pixels), size)
    return shown


def _call(name: str, *arguments: npt.NDArray[Any] | int) -> None:
    """Call a kernel on arrays and numbers; only what trains has PyTorch, which this imports."""
    import torch

    from saccade.training.kernels.calling import call

    call(name, *(a if isinstance(a, int) else _tensor(torch, a) for a in arguments))


def _tensor(torch: Any, array: npt.NDArray[Any]) -> Any:
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))
