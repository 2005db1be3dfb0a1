"""Max pooling with a backward pass that compiles well.

PyTorch's own keeps, for each window, where in the picture its largest entry was; the backward pass
scatters to those places, the slowest kernel of a compiled training step. Where windows do not
overlap, every pixel belongs to one window, so its gradient can be written as "the window's gradient
if this is the place of the largest entry, else 0", which the compiler turns into one straight loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

Tensor = Any  # torch has no type information here


def pads_of(
    sizes: Sequence[int], window: Sequence[int], strides: Sequence[int], dilation: Sequence[int]
) -> list[tuple[int, int]]:
    """Return the padding (before, after) of each axis under ``padding="same"``.

    The output has ⌈size / stride⌉ entries an axis, and an odd pixel of padding goes at the end.
    """
    pads = []
    for size, length, stride, step in zip(sizes, window, strides, dilation, strict=True):
        reach = (length - 1) * step + 1
        total = max((-(-size // stride) - 1) * stride + reach - size, 0)
        pads.append((total // 2, total - total // 2))
    return pads


def max_pool(x: Tensor, window: tuple[int, int], strides: tuple[int, int], *, same: bool) -> Tensor:
    """Map (N, H, W, C) to (N, H', W', C) by PyTorch's own kernel: the fastest when not compiled."""
    x = x.permute(0, 3, 1, 2)
    if same:
        (top, bottom), (left, right) = pads_of(x.shape[2:], window, strides, (1, 1))
        x = F.pad(x, (left, right, top, bottom), value=-torch.inf)
    return F.max_pool2d(x, window, strides).permute(0, 2, 3, 1)


def tile_max_pool(x: Tensor, window: tuple[int, int]) -> Tensor:
    """Map (N, H, W, C) to (N, H // h, W // w, C) for windows (h, w) side by side."""
    return _TileMaxPool.apply(x, *window)


class _TileMaxPool(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, x: Tensor, height: int, width: int) -> Tensor:
        tiles = _tiles(x, height, width)
        best = tiles[:, :, 0, :, 0]  # (N, rows, columns, C)
        place = torch.zeros_like(best, dtype=torch.uint8)
        for index in range(1, height * width):
            entry = tiles[:, :, index // width, :, index % width]
            larger = entry > best  # strictly: of equal entries the first takes the gradient
            place = torch.where(larger, index, place)
            best = torch.where(larger, entry, best)
        ctx.save_for_backward(place)
        ctx.shape, ctx.window = x.shape, (height, width)
        return best

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (place,) = ctx.saved_tensors
        (count, full_height, full_width, channels), (height, width) = ctx.shape, ctx.window
        rows, columns = gradient.shape[1:3]
        index = torch.arange(height * width, device=gradient.device, dtype=torch.uint8)
        index = index.reshape(1, 1, height, 1, width, 1)
        hit = place[:, :, None, :, None, :] == index  # (N, rows, h, columns, w, C)
        spread = torch.where(hit, gradient[:, :, None, :, None, :], 0.0)
        spread = spread.reshape(count, rows * height, columns * width, channels)
        rest = (0, 0, 0, full_width - columns * width, 0, full_height - rows * height)
        return (F.pad(spread, rest) if any(rest) else spread), None, None


def _tiles(x: Tensor, height: int, width: int) -> Tensor:
    count, full_height, full_width, channels = x.shape
    rows, columns = full_height // height, full_width // width
    x = x[:, : rows * height, : columns * width]
    return x.reshape(count, rows, height, columns, width, channels)
