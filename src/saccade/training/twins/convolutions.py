"""Twins of layers with a kernel: convolutions and Dense, and a convolution with its pooling.

Activations keep Keras's order (N, H, W, C). A permuted view of that is PyTorch's channels-last
format, its fastest, so the views that surround each spatial operation move no memory.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from saccade.training.kernels import products
from saccade.training.kernels.layers import Layer, run
from saccade.training.pooling import pads_of
from saccade.training.twins.activations import IDENTITY, activation_of
from saccade.training.twins.pooling import MaxPooling
from saccade.training.twins.weights import value_of

Tensor = Any  # torch has no type information here


class _Sliding(torch.nn.Module):  # type: ignore[misc]
    """What all convolutions share: the window's form, and how it slides over (N, H, W, C)."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.bias = value_of(layer.bias)
        self.window = tuple(layer.kernel_size)
        self.strides, self.dilation = tuple(layer.strides), tuple(layer.dilation_rate)
        self.same = layer.padding == "same"
        self.activation = activation_of(layer.activation)

    def _convolve(self, x: Tensor, kernel: Tensor, bias: Tensor | None, groups: int) -> Tensor:
        """Map (N, H, W, C) to (N, H', W', C'); the kernel is in PyTorch's order."""
        x = x.permute(0, 3, 1, 2)
        padding: tuple[int, int] = (0, 0)
        if self.same:
            (top, bottom), (left, right) = pads_of(
                x.shape[2:], self.window, self.strides, self.dilation
            )
            if top == bottom and left == right:
                padding = (top, left)
            else:  # PyTorch pads both sides alike; Keras puts the odd pixel at the end
                x = F.pad(x, (left, right, top, bottom))
        x = F.conv2d(x, kernel, bias, self.strides, padding, self.dilation, groups)
        return x.permute(0, 2, 3, 1)


class Convolution(_Sliding):
    """Conv2D. The kernel stays in Keras's order (height, width, in, out)."""

    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        self.kernel = value_of(layer.kernel)
        self.groups = layer.groups
        steps = {*self.strides, *self.dilation, self.groups}
        height, width = self.window
        # What our kernel pads is the same on both sides, as the odd windows are.
        self.plain = steps == {1} and (not self.same or height % 2 == width % 2 == 1)
        self.padding = ((height - 1) // 2, (width - 1) // 2) if self.same else (0, 0)

    def layer(self, x: Tensor) -> Layer | None:
        """Return a kernel of ours that does the whole of it on `x`, or None."""
        return self._products(x) if self.activation is IDENTITY else None

    def _products(self, x: Tensor) -> products.Convolution | None:
        if not self.plain:
            return None
        layer = products.Convolution(self.kernel, self.bias, self.padding)
        return layer if layer.takes(x) else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, H, W, C) to (N, H', W', filters)."""
        layer = self._products(x)
        if layer is not None:
            return self.activation(run(x, (layer,)))
        kernel = self.kernel.permute(3, 2, 0, 1)
        return self.activation(self._convolve(x, kernel, self.bias, self.groups))


class DepthwiseConvolution(_Sliding):
    """DepthwiseConv2D: one filter, or `depth_multiplier` of them, for each channel."""

    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        self.kernel = value_of(layer.kernel)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, H, W, C) to (N, H', W', C · depth_multiplier)."""
        kernel = _depthwise_kernel(self.kernel)
        return self.activation(self._convolve(x, kernel, self.bias, x.shape[-1]))


class SeparableConvolution(_Sliding):
    """SeparableConv2D: a depthwise convolution, then a 1×1 one that mixes the channels."""

    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        self.depthwise = value_of(layer.depthwise_kernel)
        self.pointwise = value_of(layer.pointwise_kernel)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, H, W, C) to (N, H', W', filters)."""
        x = self._convolve(x, _depthwise_kernel(self.depthwise), None, x.shape[-1])
        pointwise = self.pointwise.reshape(self.pointwise.shape[-2:]).t()  # (filters, in)
        return self.activation(F.linear(x, pointwise, self.bias))


def _depthwise_kernel(kernel: Tensor) -> Tensor:
    height, width, channels, multiplier = kernel.shape
    return kernel.permute(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)


class Dense(torch.nn.Module):  # type: ignore[misc]
    """Dense; the kernel stays in Keras's order (in, out)."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.kernel, self.bias = value_of(layer.kernel), value_of(layer.bias)
        self.activation = activation_of(layer.activation)

    def layer(self, x: Tensor) -> Layer | None:
        """Return a kernel of ours that does the whole of it on `x`, or None."""
        return self._products(x) if self.activation in (IDENTITY, torch.relu) else None

    def _products(self, x: Tensor) -> products.Dense | None:
        layer = products.Dense(self.kernel, self.bias, rectify=self.activation is torch.relu)
        return layer if layer.takes(x) else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (…, in) to (…, units)."""
        layer = self._products(x)
        if layer is None:
            return self.activation(F.linear(x, self.kernel.t(), self.bias))
        y = run(x, (layer,))
        return y if layer.rectify else self.activation(y)


class PooledConvolution(torch.nn.Module):  # type: ignore[misc]
    """Conv2D and the MaxPooling2D that alone reads it: in one pass where a kernel of ours can."""

    def __init__(self, convolution: Convolution, pooling: MaxPooling) -> None:
        super().__init__()
        self.convolution, self.pooling = convolution, pooling
        self.form = _form(convolution, pooling)

    def layer(self, x: Tensor) -> Layer | None:
        """Return a kernel of ours that does the whole of it on `x`, or None."""
        whole = self.pooling.activation in (IDENTITY, torch.relu)
        return self._block(x) if whole else None

    def _block(self, x: Tensor) -> products.Block | None:
        if self.form is None:
            return None
        block = products.Block(self.convolution.kernel, self.convolution.bias, self.form)
        return block if block.takes(x) else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, H, W, C) to (N, H', W', filters)."""
        block = self._block(x)
        if block is None:
            return self.pooling(self.convolution(x))
        y = run(x, (block,))
        return y if block.form.rectify else self.pooling.activation(y)


def _form(convolution: Convolution, pooling: MaxPooling) -> products.Form | None:
    plain = (
        convolution.strides == convolution.dilation == (1, 1)
        and convolution.groups == 1
        and convolution.activation is IDENTITY
        and pooling.window == pooling.strides == (2, 2)
        and not pooling.same
    )
    if not plain:
        return None
    _, _, channels, maps = convolution.kernel.shape
    return products.Form(
        window=convolution.window,
        maps=maps,
        channels=channels,
        same=convolution.same,
        rectify=pooling.activation is torch.relu,
    )
