"""Our kernels as PyTorch functions with gradients, for feature maps (N, H, W, C) on a processor.

Each says by `…_fits` whether it takes a tensor; where it does not, PyTorch's own do the work.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import torch

from saccade.training.kernels.library import has_tiles, load_kernels

Tensor = Any  # torch has no type information here

_NAMES: Final = {torch.bfloat16: "bfloat16", torch.float32: "float32"}
_TILE: Final = 16  # maps that one tile of the matrix unit holds
_TAPS: Final = 32  # entries under the window that one product of it sums over
_LEAST_MAPS: Final = 32  # read and written, from which the gradient of weights was measured to pay
_LEAST_PICTURES: Final = 24  # of the 32 that a product of convolutions.cpp takes
_SMALL_PX: Final = 12  # the largest side at which that was measured to pay before pooling,
_MEDIUM_PX: Final = 24  # and without
_MOST_SUMS: Final = 1 << 19  # of a dense layer that stay in a core's nearer cache


def maps_fit(x: Tensor) -> bool:
    """Whether `max_pool` and `normalise` take `x`, and are not in the compiler's way."""
    return (
        x.device.type == "cpu"
        and x.dtype in _NAMES
        and not torch.compiler.is_compiling()
        and load_kernels() is not None
    )


def max_pool(x: Tensor, *, rectify: bool = False) -> Tensor:
    """Map (N, H, W, C) to (N, H // 2, W // 2, C): the largest of each 2×2; `rectify` adds a ReLU.

    Equal to PyTorch's, bit for bit, in the gradient too.
    """
    return _MaxPool.apply(x, rectify)


def normalise(
    x: Tensor, gamma: Tensor | None, beta: Tensor | None, *, epsilon: float, rectify: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise (…, C) by its own mean and variance over all axes but the last.

    Returns the result, of the type of `x`, and the mean and the biased variance (C,), float32,
    through which no gradient flows. Ioffe & Szegedy 2015.
    """
    channels = x.shape[-1]
    gamma = torch.ones(channels) if gamma is None else gamma
    beta = torch.zeros(channels) if beta is None else beta
    y, mean, variance = _Normalise.apply(x, gamma, beta, epsilon, rectify)
    return y, mean, variance


@dataclass(frozen=True, slots=True)
class Block:
    """The form of a network's block: convolution of stride 1, 2×2 max pooling."""

    window: tuple[int, int]
    maps: int
    channels: int
    same: bool  # padded so that a map is as large as the picture
    rectify: bool

    def fits(self, x: Tensor) -> bool:
        """Whether `block` takes pictures or maps `x` (N, H, W, C) under bfloat16 products."""
        height, width = self.window
        few = height * width * self.channels <= _TAPS and width * self.channels <= _TAPS // 2
        return (
            ((few and not x.requires_grad) or self.channels % _TILE == 0)
            and self.maps % _TILE == 0
            and min(x.shape[1], x.shape[2]) >= 2 * max(height, width)
            and torch.is_autocast_enabled("cpu")
            and maps_fit(x)
            and has_tiles()
        )

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


def block(x: Tensor, kernel: Tensor, bias: Tensor | None, form: Block) -> Tensor:
    """Convolve, add the bias, rectify and pool (N, H, W, C) to (N, H', W', maps).

    Products are of bfloat16, sums float32; the result is bfloat16, as is the gradient of `x`; those
    of the weights are float32.
    """
    bias = torch.zeros(form.maps) if bias is None else bias
    return _Block.apply(x.to(torch.bfloat16).contiguous(), kernel, bias, form)


def convolution_fits(x: Tensor, kernel: Tensor) -> bool:
    """Whether `convolve` takes maps `x` and a kernel (height, width, C, maps), and pays."""
    height, width, channels, maps = kernel.shape
    return (
        torch.is_grad_enabled()
        and kernel.requires_grad
        and height * width > 1
        and min(channels, maps) >= _LEAST_MAPS
        and channels % _TILE == maps % _TILE == 0
        and torch.is_autocast_enabled("cpu")
        and maps_fit(x)
        and has_tiles()
    )


def convolve(x: Tensor, kernel: Tensor, bias: Tensor | None, *, padding: tuple[int, int]) -> Tensor:
    """Convolve (N, H, W, C), stride 1, each side padded by (rows, columns), to (N, H', W', maps).

    Products are of bfloat16, and so is the result; sums and the weights' gradients are float32.
    """
    return _Convolve.apply(x.to(torch.bfloat16).contiguous(), kernel, bias, padding)


def dense_fits(x: Tensor, kernel: Tensor) -> bool:
    """Whether `dense` takes `x` (…, inputs) and a kernel (inputs, units), under bfloat16."""
    rows = x.numel() // kernel.shape[0]
    return (
        0 < rows * kernel.shape[1] <= _MOST_SUMS
        and kernel.dtype == torch.float32
        and torch.is_autocast_enabled("cpu")
        and maps_fit(x)
        and has_tiles()
    )


def dense(x: Tensor, kernel: Tensor, bias: Tensor | None, *, rectify: bool = False) -> Tensor:
    """Map (…, inputs) to x·kernel + bias, (…, units); `rectify` adds a ReLU.

    Products are of bfloat16, sums float32; the result is bfloat16, as is the gradient of `x`; those
    of the weights are float32.
    """
    inputs, units = kernel.shape
    bias = torch.zeros(units) if bias is None else bias
    rows = x.to(torch.bfloat16).reshape(-1, inputs)
    return _Dense.apply(rows, kernel, bias, rectify).reshape(*x.shape[:-1], units)


def steps_fit(tensors: Iterable[Tensor]) -> bool:
    """Whether a step over these weights, gradients and slots may be one of ours."""
    return load_kernels() is not None and all(
        t.device.type == "cpu" and t.dtype == torch.float32 and t.is_contiguous() for t in tensors
    )


def turns_fit(tensors: Iterable[Tensor]) -> bool:
    """Whether `Muon` takes these weights and gradients, under bfloat16 products."""
    return has_tiles() and steps_fit(tensors)


@dataclass(frozen=True, slots=True)
class RMSprop:
    """Keras's rule of this name (Hinton 2012), each weight moved in one pass."""

    rho: float
    momentum: float
    epsilon: float

    def move(
        self, weight: Tensor, gradient: Tensor, square: Tensor, mean: Tensor | None, rate: float
    ) -> None:
        """Take one step, in place; `mean` holds the momentum, None without."""
        numbers = [ctypes.c_float(n) for n in (rate, self.rho, self.momentum, self.epsilon)]
        _call("rmsprop", weight, gradient, square, mean, *numbers, *_long((weight.numel(),)))


@dataclass(frozen=True, slots=True)
class Muon:
    """`saccade.training.muon` for one kernel, with products of bfloat16; needs the tile unit."""

    momentum: float
    quintic: tuple[float, float, float]
    rounds: int
    epsilon: float

    def move(self, weight: Tensor, gradient: Tensor, mean: Tensor, rate: float) -> None:
        """Take one step, in place, over a kernel (height, width, in, out) and its momentum."""
        filters = weight.shape[-1]
        quintic = (ctypes.c_float * 3)(*self.quintic)
        turning = (quintic, self.rounds, ctypes.c_float(self.epsilon))
        numbers = [ctypes.c_float(number) for number in (self.momentum, rate)]
        sizes = _long((weight.numel() // filters, filters))
        _call("muon", weight, gradient, mean, *numbers, *turning, *sizes)


class _MaxPool(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, x: Tensor, rectify: bool) -> Tensor:
        x = x.contiguous()
        n, height, width, channels = x.shape
        y = x.new_empty((n, height // 2, width // 2, channels))
        place = torch.empty_like(y, dtype=torch.uint8)
        _call(f"pool_{_NAMES[x.dtype]}", x, y, place, *_long(x.shape), int(rectify))
        ctx.save_for_backward(place)
        ctx.shape = x.shape
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (place,) = ctx.saved_tensors
        dx = gradient.new_empty(ctx.shape)
        name = f"unpool_{_NAMES[gradient.dtype]}"
        _call(name, gradient.contiguous(), place, dx, *_long(ctx.shape))
        return dx, None


class _Normalise(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor, epsilon: float, rectify: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        x, channels = x.contiguous(), x.shape[-1]
        y, mean, variance = torch.empty_like(x), torch.empty(channels), torch.empty(channels)
        sizes = _long((x.numel() // channels, channels))
        name = f"normalise_{_NAMES[x.dtype]}"
        arguments = (gamma, beta, ctypes.c_float(epsilon), *sizes, int(rectify))
        _call(name, x, y, mean, variance, *arguments)
        ctx.save_for_backward(x, mean, variance, gamma, beta)
        ctx.arguments = arguments[2:]
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x, mean, variance, gamma, beta = ctx.saved_tensors
        dx, dgamma, dbeta = torch.empty_like(x), torch.empty_like(mean), torch.empty_like(mean)
        name = f"unnormalise_{_NAMES[x.dtype]}"
        gradient = gradient.to(x.dtype).contiguous()
        outputs = (dx, mean, variance, gamma, beta, dgamma, dbeta)
        _call(name, gradient, x, *outputs, *ctx.arguments)
        return dx, dgamma, dbeta, None, None


class _Block(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, bias: Tensor, form: Block) -> Tensor:
        kernel = kernel.contiguous()
        y = torch.empty((len(x), *form.pooled_size(x), form.maps), dtype=torch.bfloat16)
        place = torch.empty_like(y, dtype=torch.uint8)
        pooled = _geometry(x, kernel, form.padding, form.pooled_size(x))
        ctx.whole = _geometry(x, kernel, form.padding, form.size(x))
        ctx.small = x.shape[-1] % _TILE == 0 and _fill_tiles(x, _SMALL_PX)
        ctx.geometry = ctx.whole if ctx.small else pooled
        name = "pooled_forward" if ctx.small else "block_forward"
        _call(name, x, kernel, bias, int(form.rectify), y, place, ctx.geometry)
        ctx.save_for_backward(x, place, kernel)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, place, kernel = ctx.saved_tensors
        gradient = gradient.contiguous()
        dkernel, dbias = torch.empty_like(kernel), torch.empty(kernel.shape[-1])
        if x.shape[-1] % _TILE:
            _call("stem_weights", x, gradient, place, dkernel, dbias, ctx.geometry)
            return None, dkernel, dbias, None
        dx = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        name = "pooled_backward" if ctx.small else "block_backward"
        _call(name, gradient, place, kernel, dx, dbias, ctx.geometry)
        _call("block_weights", x, gradient, place, dkernel, ctx.whole)
        return dx, dkernel, dbias, None


class _Convolve(torch.autograd.Function):  # type: ignore[misc]
    """PyTorch's convolution for large maps, but for the gradient of its weights."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, kernel: Tensor, bias: Tensor | None, padding: tuple[int, int]
    ) -> Tensor:
        kernel = kernel.contiguous()
        size = [x.shape[i + 1] + 2 * padding[i] - kernel.shape[i] + 1 for i in (0, 1)]
        ctx.padding, ctx.geometry = padding, _geometry(x, kernel, padding, size)
        ctx.small, ctx.has_bias = _fill_tiles(x, _MEDIUM_PX), bias is not None
        ctx.save_for_backward(x, kernel)
        if not ctx.small:
            return _convolved_by_torch(x, kernel, bias, padding)
        y = torch.empty((len(x), *size, kernel.shape[-1]), dtype=torch.bfloat16)
        _call("convolution_forward", x, kernel, bias, y, ctx.geometry)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, kernel = ctx.saved_tensors
        gradient, maps = gradient.contiguous(), kernel.shape[-1]
        dkernel, dx = torch.empty_like(kernel), None
        _call("convolution_weights", x, gradient, dkernel, ctx.geometry)
        if ctx.needs_input_grad[0] and ctx.small:
            dx = torch.empty_like(x)
            _call("convolution_backward", gradient, kernel, dx, ctx.geometry)
        elif ctx.needs_input_grad[0]:
            dx = _gradient_by_torch(gradient, x, kernel, ctx.padding)
        dbias = torch.empty(maps) if ctx.has_bias else None
        if dbias is not None:
            _call("sums_of_maps", gradient, dbias, *_long((gradient.numel() // maps, maps)))
        return dx, dkernel, dbias, None


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


class _Dense(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, bias: Tensor, rectify: bool) -> Tensor:
        kernel, x = kernel.contiguous(), x.contiguous()
        y = torch.empty((len(x), kernel.shape[1]), dtype=torch.bfloat16)
        ctx.sizes = _long((len(x), *kernel.shape))
        _call("dense_forward", x, kernel, bias, int(rectify), y, *ctx.sizes)
        ctx.save_for_backward(x, kernel, y if rectify else None)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, kernel, y = ctx.saved_tensors
        for_x, for_kernel, *_ = ctx.needs_input_grad
        dx = torch.empty_like(x) if for_x else None
        dkernel = torch.empty_like(kernel) if for_kernel else None
        dbias = torch.empty(kernel.shape[1])
        outputs = (dx, dkernel, dbias)
        _call("dense_backward", gradient.contiguous(), y, x, kernel, *outputs, *ctx.sizes)
        return dx, dkernel, dbias, None


def _fill_tiles(x: Tensor, most: int) -> bool:
    """Whether tiles with a picture a row (convolutions.cpp) suit maps (N, H, W, C)."""
    return len(x) >= _LEAST_PICTURES and max(x.shape[1:3]) <= most


def _geometry(x: Tensor, kernel: Tensor, padding: Iterable[int], size: Iterable[int]) -> Any:
    """Return the struct of the same name in tiles.h: maps read, window, and maps written."""
    tall, wide, _, maps = kernel.shape
    numbers = (*x.shape, maps, tall, wide, *padding, *size)
    return (ctypes.c_int64 * len(numbers))(*numbers)


def _long(numbers: Any) -> list[ctypes.c_int64]:
    return [ctypes.c_int64(number) for number in numbers]


def _call(name: str, *arguments: Any) -> None:
    """Call a kernel on tensors, None for none, and numbers; PyTorch's threads come last."""
    pointers = [
        ctypes.c_void_p(a.data_ptr()) if isinstance(a, torch.Tensor) else a for a in arguments
    ]
    getattr(load_kernels(), name)(*pointers, torch.get_num_threads())
