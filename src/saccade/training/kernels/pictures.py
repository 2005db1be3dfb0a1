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
    return _shown("show_places", pixels, rows, columns, *pixels.shape)


def shown_along(
    pixels: Pixels, rows: Sloping, columns: Sloping, *, fraction_bits: int
) -> Pixels | None:
    """Return pictures whose rows and columns depend on both; see `Sloping`."""
    along = [part for side in (rows, columns) for part in (*side, len(side.shown))]
    return _shown("show_slopes", pixels, *along, fraction_bits, *pixels.shape)


def translated(pixels: Pixels, tables: Pixels) -> Pixels | None:
    """Return pictures in which each byte is its entry of the picture's table, (N, 256)."""
    return _shown("translate", pixels, tables, len(pixels), pixels.size // len(pixels))


def _shown(name: str, pixels: Pixels, *arguments: npt.NDArray[Any] | int) -> Pixels | None:
    """Return what a kernel makes of pictures; only what trains has PyTorch, which this imports."""
    if load_kernels() is None:
        return None
    import torch

    from saccade.training.kernels.calling import call

    shown = np.empty(pixels.shape, np.uint8)
    given = (pixels, shown, *arguments)
    call(name, *(a if isinstance(a, int) else _tensor(torch, a) for a in given))
    return shown


def _tensor(torch: Any, array: npt.NDArray[Any]) -> Any:
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))
