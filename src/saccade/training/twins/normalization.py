"""Twins of layers that normalise: by the batch, by each picture, by known numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F

from saccade.models.backend import load_keras
from saccade.training.kernels.layers import (
    Layer,
    Normalise,
    NormaliseByPast,
    Rescale,
    maps_fit,
    run,
)
from saccade.training.twins.activations import IDENTITY, Activation
from saccade.training.twins.merging import Merging
from saccade.training.twins.weights import value_of

keras = load_keras()
Tensor = Any  # torch has no type information here


class BatchNormalization(torch.nn.Module):  # type: ignore[misc]
    """BatchNormalization over the last axis; `activation` is one that the graph moved here.

    Keras tracks the biased variance of the batch, PyTorch's own layer the unbiased one.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.gamma, self.beta = value_of(layer.gamma), value_of(layer.beta)
        self.moving_mean, self.moving_variance = (
            value_of(layer.moving_mean),
            value_of(layer.moving_variance),
        )
        self.momentum, self.epsilon = layer.momentum, layer.epsilon
        self.frozen = not layer.trainable
        self.activation: Activation = IDENTITY

    def layer(self, x: Tensor) -> Normalise | NormaliseByPast | None:
        """Return a kernel of ours that does the whole of it on `x`, or None."""
        return self._kernel(x) if self.activation in (IDENTITY, torch.relu) else None

    def _kernel(self, x: Tensor) -> Normalise | NormaliseByPast | None:
        if not maps_fit(x):
            return None
        weights = (self.gamma, self.beta, self.epsilon, self.activation is torch.relu)
        if self._learns:
            return Normalise(*weights, self._move) if x.numel() > x.shape[-1] else None
        if torch.is_grad_enabled() or x.dtype != torch.bfloat16:
            return None
        return NormaliseByPast(*weights, self.moving_mean, self.moving_variance)

    @property
    def _learns(self) -> bool:
        return self.training and not self.frozen

    def forward(self, x: Tensor) -> Tensor:
        """Map (…, C) to the same shape; in training also moves the statistics."""
        layer = self._kernel(x)
        if layer is not None:
            y = run(x, (layer,))
            return y if layer.rectify else self.activation(y)
        by = self._normalise_by_batch if self._learns else self._normalise_by_past
        return self.activation(by(x.float()))

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


class ResidualNormalization(torch.nn.Module):  # type: ignore[misc]
    """BatchNormalization of a branch, the Add of a shortcut, and the activation behind that."""

    def __init__(self, normalization: BatchNormalization, total: Merging) -> None:
        super().__init__()
        self.normalization, self.total = normalization, total

    def forward(self, x: Tensor, shortcut: Tensor) -> Tensor:
        """Map two (…, C) to one."""
        layer = self.normalization.layer(x)
        alike = shortcut.shape == x.shape and shortcut.dtype == x.dtype
        if layer is None or not alike or self.total.activation not in (IDENTITY, torch.relu):
            return self.total(self.normalization(x), shortcut)
        rectify = self.total.activation is torch.relu
        return run(x, (replace(layer, rectify=rectify, shortcut=shortcut),))


def batch_normalization(layer: Any) -> BatchNormalization | None:
    """Return the twin of a BatchNormalization layer, over the last axis, on one machine."""
    last = layer.axis in (-1, layer.input_spec.ndim - 1)
    return None if layer.renorm or layer.synchronized or not last else BatchNormalization(layer)


class LayerNormalization(torch.nn.Module):  # type: ignore[misc]
    """LayerNormalization over the last axis."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.gamma, self.beta = value_of(layer.gamma), value_of(layer.beta)
        self.epsilon = layer.epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Map (…, C) to the same shape, float32."""
        return F.layer_norm(x.float(), x.shape[-1:], self.gamma, self.beta, self.epsilon)


def layer_normalization(layer: Any) -> LayerNormalization | None:
    """Return the twin of a LayerNormalization layer, where that is over the last axis."""
    last = layer.axis == [-1] and not layer.rms_scaling
    return LayerNormalization(layer) if last else None


class GroupNormalization(torch.nn.Module):  # type: ignore[misc]
    """GroupNormalization of channels on the last axis."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.gamma, self.beta = value_of(layer.gamma), value_of(layer.beta)
        if self.gamma is None and self.beta is not None:  # PyTorch's backward pass needs both
            self.gamma = torch.ones_like(self.beta.detach())
        self.groups, self.epsilon = layer.groups, layer.epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, …, C) to the same shape, float32."""
        x = x.float().movedim(-1, 1)
        y = torch.group_norm(x, self.groups, self.gamma, self.beta, self.epsilon)
        return y.movedim(1, -1)


def group_normalization(layer: Any) -> GroupNormalization | None:
    """Return the twin of a GroupNormalization layer, where channels are last."""
    return GroupNormalization(layer) if layer.axis in (-1, layer.input_spec.ndim - 1) else None


class Normalization(torch.nn.Module):  # type: ignore[misc]
    """Normalization by a mean and a variance that are known."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        deviation = layer.variance.detach().sqrt().clamp(min=keras.config.epsilon())
        self.mean, self.deviation = layer.mean.detach(), deviation
        self.invert = layer.invert

    def forward(self, x: Tensor) -> Tensor:
        """Return (x - mean) / deviation as float32; where inverted, x · deviation + mean."""
        x = x.float()
        return self.mean + x * self.deviation if self.invert else (x - self.mean) / self.deviation


class Rescaling(torch.nn.Module):  # type: ignore[misc]
    """Rescaling by two numbers, or by one for each channel."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.scale, self.offset = _number(layer.scale), _number(layer.offset)
        self.is_rounded = False  # who reads it rounds it to bfloat16, where products are of that

    def layer(self, x: Tensor) -> Layer | None:
        """Return a kernel of ours that does the whole of it on `x`, or None."""
        numbers = (self.scale, self.offset)
        plain = self.is_rounded and all(isinstance(number, float) for number in numbers)
        fits = plain and torch.is_autocast_enabled("cpu") and Rescale.takes(x)
        return Rescale(*numbers) if fits else None

    def forward(self, x: Tensor) -> Tensor:
        """Return x · scale + offset, as float32, or rounded where our kernel does it."""
        layer = self.layer(x)
        if layer is not None:
            return run(x, (layer,))
        return x.float() * self.scale + self.offset


def _number(given: Any) -> Any:
    """Return a number, or a tensor on the model's device of what is given channel by channel."""
    if isinstance(given, int | float):
        return float(given)
    return keras.ops.convert_to_tensor(given, "float32")
