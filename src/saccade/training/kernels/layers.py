"""Our kernels as layers over feature maps (N, H, W, C) on a processor, with their gradients.

    y = run(x, (MaxPool(rectify=True), Reshape((-1,)), Dense(kernel, bias)))

Layers in a row are one node to autograd, since what it does for each takes as long as a small
kernel. Those that multiply are in `products`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import torch

from saccade.training.kernels.calling import call
from saccade.training.kernels.library import load_kernels

Tensor = Any  # torch has no type information here
Kept = tuple[tuple[Any, ...], Any]  # for the way back: tensors or None, and what is no tensor

_NAMES: Final = {torch.bfloat16: "bfloat16", torch.float32: "float32"}
_PIXELS: Final = {torch.uint8: "uint8", torch.float32: "float32"}


class Layer(Protocol):
    """One layer's work, each way, on tensors that autograd does not watch."""

    @property
    def weights(self) -> tuple[Tensor | None, ...]:
        """What gets gradients beside `x`: what it learns, and a second input."""

    def forward(self, x: Tensor) -> tuple[Tensor, Kept]:
        """Return the layer's output, and what `backward` needs."""

    def backward(
        self, gradient: Tensor, kept: Kept, asked: Sequence[bool]
    ) -> Sequence[Tensor | None]:
        """Return the gradients of `x` and of the weights, None for those that nobody asked for.

        `gradient` is that of the output, contiguous.
        """


def run(x: Tensor, layers: Sequence[Layer]) -> Tensor:
    """Return what the layers, one after the other, make of `x`."""
    return _Run.apply(x, layers, *(weight for layer in layers for weight in layer.weights))


class _Run(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, x: Tensor, layers: Sequence[Layer], *weights: Tensor) -> Tensor:
        ctx.layers, ctx.format, ctx.kept = layers, x.dtype, []
        tensors: list[Tensor | None] = []
        for layer in layers:
            x, (needed, facts) = layer.forward(x)
            ctx.kept.append((len(needed), facts))
            tensors += needed
        ctx.save_for_backward(*tensors)
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        tensors, for_x, asked = ctx.saved_tensors, *_split(ctx.needs_input_grad)
        gradients: list[Tensor | None] = []
        for index in reversed(range(len(ctx.layers))):
            layer, (count, facts) = ctx.layers[index], ctx.kept[index]
            tensors, needed = tensors[: len(tensors) - count], tensors[len(tensors) - count :]
            num_weights = len(layer.weights)
            asked, own = asked[: len(asked) - num_weights], asked[len(asked) - num_weights :]
            on = for_x or any(asked)  # further down somebody asks
            gradient, *found = layer.backward(gradient.contiguous(), (needed, facts), (on, *own))
            gradients[:0] = found
            if not on and index:
                gradients[:0] = [None] * len(asked)
                break
        return None if gradient is None else gradient.to(ctx.format), None, *gradients


def _split(asked: tuple[bool, ...]) -> tuple[bool, tuple[bool, ...]]:
    """Return whether the gradient of `x` is asked for, and those of the weights."""
    for_x, _, *for_weights = asked
    return for_x, tuple(for_weights)


def where(asked: Iterable[bool], *gradients: Tensor | None) -> list[Tensor | None]:
    """Return the gradients that were asked for, None for others: autograd refuses them."""
    return [found if wanted else None for wanted, found in zip(asked, gradients, strict=True)]


def maps_fit(x: Tensor) -> bool:
    """Whether `MaxPool` and `Normalise` take `x`."""
    return x.device.type == "cpu" and x.dtype in _NAMES and ready()


def ready() -> bool:
    """Whether there are kernels, which are not in the compiler's way."""
    return not torch.compiler.is_compiling() and load_kernels() is not None


@dataclass(frozen=True, slots=True)
class MaxPool:
    """(N, H, W, C) to (N, H // 2, W // 2, C): the largest of each 2×2; `rectify` adds a ReLU.

    Equal to PyTorch's, bit for bit, in the gradient too.
    """

    rectify: bool = False
    weights: tuple[()] = ()

    def forward(self, x: Tensor) -> tuple[Tensor, Kept]:
        """Pool `x`."""
        x = x.contiguous()
        n, height, width, channels = x.shape
        y = x.new_empty((n, height // 2, width // 2, channels))
        place = torch.empty_like(y, dtype=torch.uint8)
        call(f"pool_{_NAMES[x.dtype]}", x, y, place, *x.shape, self.rectify)
        return y, ((place,), x.shape)

    def backward(self, gradient: Tensor, kept: Kept, asked: Sequence[bool]) -> list[Tensor]:
        """Send each entry back to its place."""
        (place,), shape = kept
        dx = gradient.new_empty(shape)
        call(f"unpool_{_NAMES[gradient.dtype]}", gradient, place, dx, *shape)
        return [dx]


@dataclass(frozen=True, slots=True)
class Reshape:
    """(N, …) to (N, *shape): the same numbers."""

    shape: tuple[int, ...]
    weights: tuple[()] = ()

    def forward(self, x: Tensor) -> tuple[Tensor, Kept]:
        """Reshape `x`."""
        return x.reshape(x.shape[0], *self.shape), ((), x.shape)

    def backward(self, gradient: Tensor, kept: Kept, asked: Sequence[bool]) -> list[Tensor]:
        """Reshape back."""
        _, shape = kept
        return [gradient.reshape(shape)]


@dataclass(frozen=True, slots=True)
class Rescale:
    """x · scale + offset as bfloat16, of pixels that are uint8 or float32; they get no gradient."""

    scale: float
    offset: float
    weights: tuple[()] = ()

    @staticmethod
    def takes(x: Tensor) -> bool:
        """Whether `x` is such pixels."""
        return x.dtype in _PIXELS and not x.requires_grad and x.device.type == "cpu" and ready()

    def forward(self, x: Tensor) -> tuple[Tensor, Kept]:
        """Rescale `x`."""
        x = x.contiguous()
        y = torch.empty(x.shape, dtype=torch.bfloat16)
        call(f"rescale_{_PIXELS[x.dtype]}", x, y, self.scale, self.offset, x.numel())
        return y, ((), None)

    def backward(self, gradient: Tensor, kept: Kept, asked: Sequence[bool]) -> list[Tensor | None]:
        """Give pixels no gradient."""
        return [None]


@dataclass(frozen=True, slots=True)
class Normalise:
    """(…, C) by its own mean and variance over all axes but the last, in the type of `x`.

    A `shortcut` of the same shape and type is added, then `rectify` adds a ReLU. `tell` is given
    the mean and the biased variance (C,), float32. Ioffe & Szegedy 2015, He et al. 2016.
    """

    gamma: Tensor | None
    beta: Tensor | None
    epsilon: float
    rectify: bool
    tell: Callable[[Tensor, Tensor], None]
    shortcut: Tensor | None = None

    @property
    def weights(self) -> tuple[Tensor | None, ...]:
        """Scale and offset, and the shortcut."""
        return self.gamma, self.beta, self.shortcut

    def forward(self, x: Tensor) -> tuple[Tensor, Kept]:
        """Normalise `x`, and `tell`."""
        x, channels = x.contiguous(), x.shape[-1]
        gamma = torch.ones(channels) if self.gamma is None else self.gamma
        beta = torch.zeros(channels) if self.beta is None else self.beta
        y, mean, variance = torch.empty_like(x), torch.empty(channels), torch.empty(channels)
        operands = (x, _contiguous(self.shortcut), y, mean, variance, gamma, beta)
        sizes = (x.numel() // channels, channels)
        call(f"normalise_{_NAMES[x.dtype]}", *operands, self.epsilon, *sizes, self.rectify)
        self.tell(mean, variance)
        is_masked_by_y = self.rectify and self.shortcut is not None
        return y, ((x, mean, variance, gamma, beta, y if is_masked_by_y else None), sizes)

    def backward(self, gradient: Tensor, kept: Kept, asked: Sequence[bool]) -> list[Tensor | None]:
        """Return gradients through the mean and the variance too."""
        (x, *moments_and_weights, y), sizes = kept
        gradient, name = gradient.to(x.dtype), _NAMES[x.dtype]
        dx, (dgamma, dbeta) = torch.empty_like(x), torch.empty(2, x.shape[-1])
        numbers = (*moments_and_weights, dgamma, dbeta, self.epsilon, *sizes)
        if y is None:
            rectify = self.rectify and self.shortcut is None
            call(f"unnormalise_{name}", gradient, x, dx, *numbers, rectify)
            passed = gradient
        else:
            passed = torch.empty_like(x)
            call(f"unnormalise_rectified_sum_{name}", gradient, y, passed, x, dx, *numbers)
        return [dx, *where(asked[1:], dgamma, dbeta, passed)]


@dataclass(frozen=True, slots=True)
class NormaliseByPast:
    """As `Normalise`, by a known mean and variance (C,); without gradients."""

    gamma: Tensor | None
    beta: Tensor | None
    epsilon: float
    rectify: bool
    mean: Tensor
    variance: Tensor
    shortcut: Tensor | None = None
    weights: tuple[()] = ()

    def forward(self, x: Tensor) -> tuple[Tensor, Kept]:
        """Normalise `x`."""
        x = x.contiguous()
        y, moments = torch.empty_like(x), (self.mean, self.variance)
        gamma = torch.ones_like(self.mean) if self.gamma is None else self.gamma
        beta = torch.zeros_like(self.mean) if self.beta is None else self.beta
        operands = (x, _contiguous(self.shortcut), y, *moments, gamma, beta)
        sizes = (x.numel() // x.shape[-1], x.shape[-1])
        call(f"renormalise_{_NAMES[x.dtype]}", *operands, self.epsilon, *sizes, self.rectify)
        return y, ((), None)

    def backward(self, gradient: Tensor, kept: Kept, asked: Sequence[bool]) -> list[Tensor]:
        """Refuse: this is for inference."""
        raise NotImplementedError("normalising by the past has no gradient here")


def _contiguous(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()
