"""Fast twins of Keras layers: the same mathematics as a few PyTorch calls on the same weights.

A twin holds the layer's own variables, so nothing is copied: training a twin trains the layer. What
it leaves out is Keras's work around every call (scopes, dtype and mask handling), which costs more
than the mathematics in small networks and which `torch.compile` cannot follow.

Activations keep Keras's order (N, H, W, C). A permuted view of that is PyTorch's channels-last
format, its fastest, so the views that surround each spatial operation move no memory.

Where a twin would not be exact (another dtype policy, channels first, an unusual option), `twin_of`
answers None and the layer itself is called.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F

from saccade.models.backend import load_keras
from saccade.training.kernels import functions as kernels
from saccade.training.pooling import max_pool, pads_of, tile_max_pool

keras = load_keras()
Tensor = Any  # torch has no type information here
Activation = Callable[[Tensor], Tensor]


def twin_of(layer: Any) -> torch.nn.Module | None:
    """Return the twin of a built Keras layer, or None where the layer itself must be called."""
    build = _TWINS.get(type(layer))
    if build is None or not _is_plain(layer):
        return None
    return cast(torch.nn.Module, build(layer))


def _is_plain(layer: Any) -> bool:
    """Whether the layer is float32 throughout, channels last, and asks for nothing unusual."""
    return (
        layer.dtype_policy.name == "float32"
        and layer.activity_regularizer is None
        and getattr(layer, "data_format", "channels_last") == "channels_last"
        and not getattr(layer, "lora_enabled", False)
        and getattr(layer, "quantization_mode", None) is None
    )


def activation_of(function: Any) -> Activation:
    """Return PyTorch's version of a Keras activation, or the activation where we know none."""
    known = _ACTIVATIONS.get(function)
    return cast(Activation, function) if known is None else known


def _identity(x: Tensor) -> Tensor:
    return x


IDENTITY: Activation = _identity


def _softmax(x: Tensor) -> Tensor:
    return torch.softmax(x, dim=-1)


_ACTIVATIONS: dict[Any, Activation] = {
    keras.activations.linear: IDENTITY,
    keras.activations.relu: torch.relu,
    keras.activations.softmax: _softmax,
    keras.activations.sigmoid: torch.sigmoid,
    keras.activations.tanh: torch.tanh,
    keras.activations.elu: F.elu,
    keras.activations.selu: F.selu,
    keras.activations.silu: F.silu,
    keras.activations.softplus: F.softplus,
}


def _value(variable: Any) -> Tensor:
    return None if variable is None else variable.value


class Convolution(torch.nn.Module):  # type: ignore[misc]
    """Conv2D. The kernel stays in Keras's order (height, width, in, out)."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.kernel, self.bias = _value(layer.kernel), _value(layer.bias)
        self.window = tuple(layer.kernel_size)
        self.strides, self.dilation = tuple(layer.strides), tuple(layer.dilation_rate)
        self.same = layer.padding == "same"
        self.groups = layer.groups
        self.activation = activation_of(layer.activation)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, H, W, C) to (N, H', W', filters)."""
        kernel = self.kernel.permute(3, 2, 0, 1)
        return self.activation(_convolve(self, x, kernel, self.bias, self.groups))


class DepthwiseConvolution(torch.nn.Module):  # type: ignore[misc]
    """DepthwiseConv2D: one filter, or `depth_multiplier` of them, for each channel."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.kernel, self.bias = _value(layer.kernel), _value(layer.bias)
        self.window = tuple(layer.kernel_size)
        self.strides, self.dilation = tuple(layer.strides), tuple(layer.dilation_rate)
        self.same = layer.padding == "same"
        self.activation = activation_of(layer.activation)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, H, W, C) to (N, H', W', C · depth_multiplier)."""
        kernel = _depthwise_kernel(self.kernel)
        return self.activation(_convolve(self, x, kernel, self.bias, x.shape[-1]))


class SeparableConvolution(torch.nn.Module):  # type: ignore[misc]
    """SeparableConv2D: a depthwise convolution, then a 1×1 one that mixes the channels."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.depthwise, self.pointwise = (
            _value(layer.depthwise_kernel),
            _value(layer.pointwise_kernel),
        )
        self.bias = _value(layer.bias)
        self.window = tuple(layer.kernel_size)
        self.strides, self.dilation = tuple(layer.strides), tuple(layer.dilation_rate)
        self.same = layer.padding == "same"
        self.activation = activation_of(layer.activation)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, H, W, C) to (N, H', W', filters)."""
        x = _convolve(self, x, _depthwise_kernel(self.depthwise), None, x.shape[-1])
        pointwise = self.pointwise.reshape(self.pointwise.shape[-2:]).t()  # (filters, in)
        return self.activation(F.linear(x, pointwise, self.bias))


def _depthwise_kernel(kernel: Tensor) -> Tensor:
    height, width, channels, multiplier = kernel.shape
    return kernel.permute(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)


def _convolve(twin: Any, x: Tensor, kernel: Tensor, bias: Tensor | None, groups: int) -> Tensor:
    x = x.permute(0, 3, 1, 2)
    padding: tuple[int, int] = (0, 0)
    if twin.same:
        (top, bottom), (left, right) = pads_of(
            x.shape[2:], twin.window, twin.strides, twin.dilation
        )
        if top == bottom and left == right:
            padding = (top, left)
        else:  # PyTorch pads both sides alike; Keras puts the odd pixel at the end
            x = F.pad(x, (left, right, top, bottom))
    x = F.conv2d(x, kernel, bias, twin.strides, padding, twin.dilation, groups)
    return x.permute(0, 2, 3, 1)


class Dense(torch.nn.Module):  # type: ignore[misc]
    """Dense; the kernel stays in Keras's order (in, out)."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.kernel, self.bias = _value(layer.kernel), _value(layer.bias)
        self.activation = activation_of(layer.activation)

    def forward(self, x: Tensor) -> Tensor:
        """Map (…, in) to (…, units)."""
        return self.activation(F.linear(x, self.kernel.t(), self.bias))


class MaxPooling(torch.nn.Module):  # type: ignore[misc]
    """MaxPooling2D; `activation` is one that the plan moved here from the layer before."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.window, self.strides = tuple(layer.pool_size), tuple(layer.strides)
        self.same = layer.padding == "same"
        self.activation: Activation = IDENTITY

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, H, W, C) to (N, H', W', C)."""
        rectify = self.activation is torch.relu
        tiles = self.window == self.strides and not self.same
        if tiles and torch.compiler.is_compiling():
            y = tile_max_pool(x, self.window, rectify=rectify)
        elif tiles and self.window == (2, 2) and kernels.maps_fit(x):
            y = kernels.max_pool(x, rectify=rectify)
        else:
            rectify = False
            y = max_pool(x, self.window, self.strides, same=self.same)
        return y if rectify else self.activation(y)


class PooledConvolution(torch.nn.Module):  # type: ignore[misc]
    """Conv2D and the MaxPooling2D that alone reads it: in one pass where they are a stem."""

    def __init__(self, convolution: Convolution, pooling: MaxPooling) -> None:
        super().__init__()
        self.convolution, self.pooling = convolution, pooling
        self.form = _stem_form(convolution, pooling)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, H, W, C) to (N, H', W', filters)."""
        if self.form is None or not self.form.fits(x):
            return self.pooling(self.convolution(x))
        y = kernels.stem(x, self.convolution.kernel, self.convolution.bias, self.form)
        return y if self.form.rectify else self.pooling.activation(y)


def _stem_form(convolution: Convolution, pooling: MaxPooling) -> kernels.Stem | None:
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
    return kernels.Stem(
        window=convolution.window,
        maps=maps,
        channels=channels,
        same=convolution.same,
        rectify=pooling.activation is torch.relu,
    )


class AveragePooling(torch.nn.Module):  # type: ignore[misc]
    """AveragePooling2D without padding."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.window, self.strides = tuple(layer.pool_size), tuple(layer.strides)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, H, W, C) to (N, H', W', C)."""
        return F.avg_pool2d(x.permute(0, 3, 1, 2), self.window, self.strides).permute(0, 2, 3, 1)


class GlobalPooling(torch.nn.Module):  # type: ignore[misc]
    """GlobalAveragePooling2D and GlobalMaxPooling2D."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.keepdims = layer.keepdims
        self.mean = isinstance(layer, keras.layers.GlobalAveragePooling2D)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, H, W, C) to (N, C), or to (N, 1, 1, C) where the layer keeps dimensions."""
        reduce = torch.mean if self.mean else torch.amax
        return reduce(x, dim=(1, 2), keepdim=self.keepdims)


class BatchNormalization(torch.nn.Module):  # type: ignore[misc]
    """BatchNormalization over the last axis; `activation` is one that the graph moved here.

    Keras tracks the biased variance of the batch, PyTorch's own layer the unbiased one.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.gamma, self.beta = _value(layer.gamma), _value(layer.beta)
        self.moving_mean, self.moving_variance = (
            _value(layer.moving_mean),
            _value(layer.moving_variance),
        )
        self.momentum, self.epsilon = layer.momentum, layer.epsilon
        self.frozen = not layer.trainable
        self.activation: Activation = IDENTITY

    def forward(self, x: Tensor) -> Tensor:
        """Map (…, C) to the same shape; in training also moves the statistics."""
        if not self.training or self.frozen:
            return self.activation(self._normalise_by_past(x.float()))
        if x.numel() > x.shape[-1] and kernels.maps_fit(x):
            rectify = self.activation is torch.relu
            y, mean, variance = kernels.normalise(
                x, self.gamma, self.beta, epsilon=self.epsilon, rectify=rectify
            )
            self._move(mean, variance)
            return y if rectify else self.activation(y)
        return self.activation(self._normalise_by_batch(x.float()))

    def _normalise_by_past(self, x: Tensor) -> Tensor:
        mean, variance = self.moving_mean, self.moving_variance
        y = F.batch_norm(
            x.movedim(-1, 1), mean, variance, self.gamma, self.beta, False, 0.0, self.epsilon
        )
        return y.movedim(1, -1)

    def _normalise_by_batch(self, x: Tensor) -> Tensor:
        """Return `x` by its own statistics, in one kernel each way instead of a dozen."""
        count = x.numel() // x.shape[-1]
        if count == 1:  # PyTorch refuses a single value; it is its own mean, its variance is 0
            self._move(x.detach().flatten(), torch.zeros_like(self.moving_variance))
            y = x * 0.0 if self.gamma is None else x * 0.0 * self.gamma
            return y if self.beta is None else y + self.beta
        mean, unbiased = torch.zeros_like(self.moving_mean), torch.zeros_like(self.moving_mean)
        y = F.batch_norm(
            x.movedim(-1, 1), mean, unbiased, self.gamma, self.beta, True, 1.0, self.epsilon
        )
        self._move(mean, unbiased * ((count - 1) / count))
        return y.movedim(1, -1)

    def _move(self, mean: Tensor, variance: Tensor) -> None:
        with torch.no_grad():
            self.moving_mean.mul_(self.momentum).add_(mean * (1.0 - self.momentum))
            self.moving_variance.mul_(self.momentum).add_(variance * (1.0 - self.momentum))


class Dropout(torch.nn.Module):  # type: ignore[misc]
    """Dropout from PyTorch's own random state; Keras keeps its own in a variable."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.rate = layer.rate

    def forward(self, x: Tensor) -> Tensor:
        """Return `x`, in training with a share of its entries zeroed and the rest scaled up."""
        return F.dropout(x, self.rate, self.training)


class SpatialDropout(torch.nn.Module):  # type: ignore[misc]
    """SpatialDropout2D: drops whole channels of a picture."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.rate = layer.rate

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` (N, H, W, C), in training with whole channels zeroed."""
        kept = F.dropout(torch.ones_like(x[:, :1, :1, :]), self.rate, self.training)
        return x * kept


class Pointwise(torch.nn.Module):  # type: ignore[misc]
    """Activation, ReLU without options, Softmax over the last axis."""

    def __init__(self, function: Activation) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Return the function of `x`."""
        return self.function(x)


class Merging(torch.nn.Module):  # type: ignore[misc]
    """Add, Multiply, Concatenate along the last axis: one tensor of several."""

    def __init__(self, merge: Callable[..., Tensor]) -> None:
        super().__init__()
        self.merge = merge

    def forward(self, *tensors: Tensor) -> Tensor:
        """Map several (N, …, C) to one."""
        return self.merge(tensors)


def _sum(tensors: tuple[Tensor, ...]) -> Tensor:
    return functools.reduce(torch.add, tensors)


def _product(tensors: tuple[Tensor, ...]) -> Tensor:
    return functools.reduce(torch.mul, tensors)


def _side_by_side(tensors: tuple[Tensor, ...]) -> Tensor:
    return torch.cat(tensors, dim=-1)


class Padding(torch.nn.Module):  # type: ignore[misc]
    """ZeroPadding2D."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        (top, bottom), (left, right) = layer.padding
        self.pads = (0, 0, left, right, top, bottom)  # PyTorch begins with the last axis

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, H, W, C) to (N, H + top + bottom, W + left + right, C)."""
        return F.pad(x, self.pads)


class Reshape(torch.nn.Module):  # type: ignore[misc]
    """Flatten, Reshape: the same numbers in another shape, in Keras's order."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape  # without the batch

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, …) to (N, *shape)."""
        return x.reshape(x.shape[0], *self.shape)


class Rescaling(torch.nn.Module):  # type: ignore[misc]
    """Rescaling by two numbers."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.scale, self.offset = float(layer.scale), float(layer.offset)

    def forward(self, x: Tensor) -> Tensor:
        """Return x · scale + offset, as float32."""
        return x.float() * self.scale + self.offset


def _batch_normalization(layer: Any) -> torch.nn.Module | None:
    last = layer.axis in (-1, layer.input_spec.ndim - 1)
    return None if layer.renorm or layer.synchronized or not last else BatchNormalization(layer)


def _average_pooling(layer: Any) -> torch.nn.Module | None:
    return None if layer.padding == "same" else AveragePooling(layer)


def _dropout(layer: Any) -> torch.nn.Module | None:
    return None if layer.noise_shape is not None else Dropout(layer)


def _relu(layer: Any) -> torch.nn.Module | None:
    plain = layer.max_value is None and not layer.negative_slope and not layer.threshold
    return Pointwise(torch.relu) if plain else None


def _softmax_layer(layer: Any) -> torch.nn.Module | None:
    return Pointwise(_softmax) if layer.axis == -1 else None


def _activation(layer: Any) -> torch.nn.Module | None:
    return Pointwise(activation_of(layer.activation))


def _concatenation(layer: Any) -> torch.nn.Module | None:
    last = layer.axis in (-1, len(layer.output.shape) - 1)
    return Merging(_side_by_side) if last else None


def _flatten(layer: Any) -> torch.nn.Module | None:
    return Reshape((-1,))


def _reshape(layer: Any) -> torch.nn.Module | None:
    return Reshape(tuple(layer.target_shape))


def _rescaling(layer: Any) -> torch.nn.Module | None:
    numbers = isinstance(layer.scale, int | float) and isinstance(layer.offset, int | float)
    return Rescaling(layer) if numbers else None


_TWINS: dict[type, Callable[[Any], torch.nn.Module | None]] = {
    keras.layers.Activation: _activation,
    keras.layers.Add: lambda layer: Merging(_sum),
    keras.layers.AveragePooling2D: _average_pooling,
    keras.layers.BatchNormalization: _batch_normalization,
    keras.layers.Concatenate: _concatenation,
    keras.layers.Conv2D: Convolution,
    keras.layers.Dense: Dense,
    keras.layers.DepthwiseConv2D: DepthwiseConvolution,
    keras.layers.Dropout: _dropout,
    keras.layers.Flatten: _flatten,
    keras.layers.GlobalAveragePooling2D: GlobalPooling,
    keras.layers.GlobalMaxPooling2D: GlobalPooling,
    keras.layers.MaxPooling2D: MaxPooling,
    keras.layers.Multiply: lambda layer: Merging(_product),
    keras.layers.ReLU: _relu,
    keras.layers.Rescaling: _rescaling,
    keras.layers.Reshape: _reshape,
    keras.layers.SeparableConv2D: SeparableConvolution,
    keras.layers.Softmax: _softmax_layer,
    keras.layers.SpatialDropout2D: SpatialDropout,
    keras.layers.ZeroPadding2D: Padding,
}
