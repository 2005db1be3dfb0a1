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


def tile_max_pool(x: Tensor, window: tuple[int, int], *, rectify: bool = False) -> Tensor:
    """Map (N, H, W, C) to (N, H // h, W // w, C) for windows (h, w) side by side.

    `rectify` applies a ReLU to the result. Only worth its while when compiled.
    """
    return _TileMaxPool.apply(x, window, rectify)


class _TileMaxPool(torch.autograd.Function):  # type: ignore[misc]
    """Finds the place of the largest entry anew in the backward pass, from input and output.

    The compiler would rather keep the results of comparisons, one byte each, from the forward pass;
    writing those is 30 times slower than finding them anew on processors without AVX-512. So the
    backward pass compares with ``y + 0 · gradient``, which it cannot know before.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, window: tuple[int, int], rectify: bool) -> Tensor:
        y, *others = _entries(x, window)
        for entry in others:
            y = torch.maximum(y, entry)
        ctx.save_for_backward(x, y)
        ctx.window, ctx.rectify = window, rectify
        return torch.relu(y) if rectify else y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        x, y = ctx.saved_tensors
        height, width = ctx.window
        y = y + 0.0 * gradient
        if ctx.rectify:
            gradient = torch.where(y > 0, gradient, 0.0)
        entries = _entries(x, ctx.window)
        place = torch.full_like(y, height * width - 1.0)
        for index in reversed(range(height * width - 1)):  # of equal entries the first counts
            place = torch.where(entries[index] == y, float(index), place)
        places = torch.arange(height * width, device=x.device, dtype=y.dtype)
        hit = place[:, :, None, :, None, :] == places.reshape(height, 1, width, 1)
        spread = torch.where(hit, gradient[:, :, None, :, None, :], 0.0)
        rows, columns = y.shape[1] * height, y.shape[2] * width
        spread = spread.reshape(len(x), rows, columns, x.shape[-1])
        rest = (0, 0, 0, x.shape[2] - columns, 0, x.shape[1] - rows)
        return (F.pad(spread, rest) if any(rest) else spread), None, None


def _entries(x: Tensor, window: tuple[int, int]) -> list[Tensor]:
    """Return, for each place in the window, every window's entry there: (N, H // h, W // w, C)."""
    height, width = window
    rows, columns = x.shape[1] // height, x.shape[2] // width
    x = x[:, : rows * height, : columns * width]
    tiles = x.reshape(len(x), rows, height, columns, width, x.shape[-1])
    return [tiles[:, :, i, :, j] for i in range(height) for j in range(width)]
