"""Our layers that multiply bfloat16, by the tile unit (AMX) or by AVX512-BF16: see `layers`.

Products are of bfloat16, sums float32; what a layer returns is bfloat16, as is the gradient of `x`;
those of the weights are float32. Each says by `takes` whether it can do the work on `x`; where it
cannot, PyTorch's own kernels do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch

from saccade.training.kernels.calling import call, geometry
from saccade.training.kernels.layers import Kept, maps_fit, where
from saccade.training.kernels.library import has_tile_unit, has_tiles

Tensor = Any  # torch has no type information here

_TILE: Final = 16  # maps that one tile holds
_TAPS: Final = 32  # entries under the window that one product of it sums over
_LEAST_MAPS: Final = 32  # read and written, from which the gradient of weights was measured to pay
_LEAST_PICTURES: Final = 24  # of the 32 that a product of convolutions.cpp takes
_SMALL_PX: Final = 12  # the largest side at which that was measured, by a unit, to pay before
_MEDIUM_PX: Final = 24  # pooling, and without
_MOST_SUMS: Final = 1 << 19  # of a dense layer that stay in a core's nearer cache


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a network's block: convolution of stride 1, 2×2 max pooling."""

    window: tuple[int, int]
    maps: int
    channels: int
    same: bool  # padded so that a map is as large as the picture
    rectify: bool

    @property
    def padding(self) -> tuple[int, int]:
        """Rows above and columns left of the picture."""
        height, width = self.window
        return ((height - 1) // 2, (width - 1) // 2) if self.same else (0, 0)

    def size(self, x: Tensor) -> tuple[int, int]:
        """Return the rows and columns of the maps of `x` (N, H, W, C), before they are pooled."""
        height, width = (1, 1) if self.same else self.window
        return x.shape[1] - height + 1, x.shape[2] - width + 1

    def pooled_size(self, x: Tensor) -> tuple[int, int]:
        """Return the rows and columns of the pooled maps of `x` (N, H, W, C)."""
        rows, columns = self.size(x)
        return rows // 2, columns // 2


@dataclass(frozen=True, slots=True)
class Block:
    """Convolve, add the bias, rectify and pool (N, H, W, C) to (N, H', W', maps)."""

    kernel: Tensor
    bias: Tensor | None
    form: Form

    @property
    def weights(self) -> tuple[Tensor | None, ...]:
        """Kernel and bias."""
        return self.kernel, self.bias

    def takes(self, x: Tensor) -> bool:
        """Whether pictures or maps `x` (N, H, W, C), under bfloat16 products, are fit for it."""
        height, width = self.form.window
        channels = self.form.channels
        few = height * width * channels <= _TAPS and width * channels <= _TAPS // 2
        return (
            ((few and not x.requires_grad) or channels % _TILE == 0)
            and self.form.maps % _TILE == 0
            and min(x.shape[1], x.shape[2]) >= 2 * max(height, width)
            and _products_fit(x)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Kept]:
        """Make and pool the maps of `x`."""
        x, kernel, form = _as_operand(x), self.kernel.contiguous(), self.form
        bias = torch.zeros(form.maps) if self.bias is None else self.bias
        y = torch.empty((x.shape[0], *form.pooled_size(x), form.maps), dtype=torch.bfloat16)
        place = torch.empty_like(y, dtype=torch.uint8)
        whole = geometry(x.shape, kernel.shape, form.padding, form.size(x))
        small = x.shape[-1] % _TILE == 0 and _fill_tiles(x, _SMALL_PX)
        made = (
            whole if small else geometry(x.shape, kernel.shape, form.padding, form.pooled_size(x))
        )
        name = "pooled_forward" if small else "block_forward"
        call(name, x, kernel, bias, form.rectify, y, place, made)
        return y, ((x, place, kernel), (small, made, whole))

    def backward(self, gradient: Tensor, kept: Kept, asked: Sequence[bool]) -> list[Tensor | None]:
        """Spread the gradient from the pooled maps, and convolve."""
        (x, place, kernel), (small, made, whole) = kept
        dkernel, dbias, dx = torch.empty_like(kernel), torch.empty(kernel.shape[-1]), None
        if x.shape[-1] % _TILE:
            call("stem_weights", x, gradient, place, dkernel, dbias, made)
        else:
            dx = torch.empty_like(x) if asked[0] else None
            name = "pooled_backward" if small else "block_backward"
            call(name, gradient, place, kernel, dx, dbias, made)
            call("block_weights", x, gradient, place, dkernel, whole)
        return [dx, *where(asked[1:], dkernel, dbias)]


@dataclass(frozen=True, slots=True)
class Convolution:
    """Convolve (N, H, W, C), stride 1, each side padded by (rows, columns), to (N, H', W', maps).

    For large maps, or without a tile unit, it is PyTorch's convolution, but for the gradient of its
    weights.
    """

    kernel: Tensor
    bias: Tensor | None
    padding: tuple[int, int]

    @property
    def weights(self) -> tuple[Tensor | None, ...]:
        """Kernel and bias."""
        return self.kernel, self.bias

    def takes(self, x: Tensor) -> bool:
        """Whether maps `x` are fit for it, and it pays."""
        height, width, channels, maps = self.kernel.shape
        learns = torch.is_grad_enabled() and self.kernel.requires_grad
        return (
            _products_fit(x)  # first: while a step is compiled nothing may be looked up
            and (learns or _pays_alone(x))
            and height * width > 1
            and min(channels, maps) >= _LEAST_MAPS
            and channels % _TILE == maps % _TILE == 0
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Kept]:
        """Convolve `x`."""
        x, kernel = _as_operand(x), self.kernel.contiguous()
        size = tuple(x.shape[i + 1] + 2 * self.padding[i] - kernel.shape[i] + 1 for i in (0, 1))
        made = geometry(x.shape, kernel.shape, self.padding, size)
        small = _pays_alone(x)
        if small:
            y = torch.empty((x.shape[0], *size, kernel.shape[-1]), dtype=torch.bfloat16)
            call("convolution_forward", x, kernel, self.bias, y, made)
        else:
            y = _convolved_by_torch(x, kernel, self.bias, self.padding)
        return y, ((x, kernel), (small, made))

    def backward(self, gradient: Tensor, kept: Kept, asked: Sequence[bool]) -> list[Tensor | None]:
        """Return the gradients of maps, kernel and bias."""
        (x, kernel), (small, made) = kept
        for_x, for_kernel, for_bias = asked
        maps, dx, dkernel, dbias = kernel.shape[-1], None, None, None
        if for_kernel:
            dkernel = torch.empty_like(kernel)
            call("convolution_weights", x, gradient, dkernel, made)
        if for_x and small:
            dx = torch.empty_like(x)
            call("convolution_backward", gradient, kernel, dx, made)
        elif for_x:
            dx = _gradient_by_torch(gradient, x, kernel, self.padding)
        if for_bias:
            dbias = torch.empty(maps)
            call("sums_of_maps", gradient, dbias, gradient.numel() // maps, maps)
        return [dx, dkernel, dbias]


def _convolved_by_torch(
    x: Tensor, kernel: Tensor, bias: Tensor | None, padding: tuple[int, int]
) -> Tensor:
    weight = kernel.permute(3, 2, 0, 1).to(torch.bfloat16)
    bias = None if bias is None else bias.to(torch.bfloat16)
    y = torch.nn.functional.conv2d(x.permute(0, 3, 1, 2), weight, bias, padding=padding)
    return y.permute(0, 2, 3, 1)


def _gradient_by_torch(
    gradient: Tensor, x: Tensor, kernel: Tensor, padding: tuple[int, int]
) -> Tensor:
    """Return the gradient of the maps `x` that were convolved."""
    weight = kernel.permute(3, 2, 0, 1).to(torch.bfloat16)
    arguments = ([1, 1], padding, [1, 1], False, [0, 0], 1, [True, False, False])
    dx, _, _ = torch.ops.aten.convolution_backward(
        gradient.permute(0, 3, 1, 2), x.permute(0, 3, 1, 2), weight, None, *arguments
    )
    return dx.permute(0, 2, 3, 1)


@dataclass(frozen=True, slots=True)
class Dense:
    """(…, inputs) to x·kernel + bias, (…, units); `rectify` adds a ReLU."""

    kernel: Tensor
    bias: Tensor | None
    rectify: bool = False

    @property
    def weights(self) -> tuple[Tensor | None, ...]:
        """Kernel and bias."""
        return self.kernel, self.bias

    def takes(self, x: Tensor) -> bool:
        """Whether `x` is fit for it, under bfloat16 products."""
        inputs, units = self.kernel.shape
        return (
            0 < x.numel() // inputs * units <= _MOST_SUMS
            and self.kernel.dtype == torch.float32
            and _products_fit(x)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Kept]:
        """Multiply `x`."""
        kernel, shape = self.kernel.contiguous(), x.shape
        inputs, units = kernel.shape
        bias = torch.zeros(units) if self.bias is None else self.bias
        rows = _as_operand(x).reshape(-1, inputs)
        y = torch.empty((*shape[:-1], units), dtype=torch.bfloat16)
        call("dense_forward", rows, kernel, bias, self.rectify, y, rows.shape[0], inputs, units)
        return y, ((rows, kernel, y if self.rectify else None), shape)

    def backward(self, gradient: Tensor, kept: Kept, asked: Sequence[bool]) -> list[Tensor | None]:
        """Return the gradients of `x`, kernel and bias."""
        (rows, kernel, y), shape = kept
        for_x, for_kernel, _ = asked
        dx = torch.empty_like(rows) if for_x else None
        dkernel = torch.empty_like(kernel) if for_kernel else None
        dbias = torch.empty(kernel.shape[1])
        outputs = (dx, dkernel, dbias, rows.shape[0], *kernel.shape)
        call("dense_backward", gradient, y, rows, kernel, *outputs)
        return [None if dx is None else dx.reshape(shape), *where(asked[1:], dkernel, dbias)]


def _fill_tiles(x: Tensor, most: int) -> bool:
    """Whether tiles with a picture a row (convolutions.cpp) suit maps (N, H, W, C)."""
    return len(x) >= _LEAST_PICTURES and max(x.shape[1:3]) <= most


def _pays_alone(x: Tensor) -> bool:
    """Whether our convolution is the faster one where nothing is pooled in the same pass."""
    return _fill_tiles(x, _MEDIUM_PX) and has_tile_unit()


def _products_fit(x: Tensor) -> bool:
    """Whether products of bfloat16 are wanted, and the processor makes them."""
    return torch.is_autocast_enabled("cpu") and maps_fit(x) and has_tiles()


def _as_operand(x: Tensor) -> Tensor:
    return x.to(torch.bfloat16).contiguous()
