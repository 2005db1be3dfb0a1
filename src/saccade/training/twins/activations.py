"""PyTorch's versions of Keras's activations, as functions and as twins of layers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

import torch
import torch.nn.functional as F

from saccade.models.backend import load_keras
from saccade.training.twins.weights import value_of

keras = load_keras()
Tensor = Any  # torch has no type information here
Activation = Callable[[Tensor], Tensor]


def activation_of(function: Any) -> Activation:
    """Return PyTorch's version of a Keras activation, or the activation where we know none.

    `function` may be a layer, as in ``Dense(8, activation=LeakyReLU())``.
    """
    build = ACTIVATION_LAYERS.get(type(function))
    twin = None if build is None else build(function)
    return cast(Activation, twin or _ACTIVATIONS.get(function, function))


class Pointwise(torch.nn.Module):  # type: ignore[misc]
    """Activation layers without weights."""

    def __init__(self, function: Activation) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Return the function of `x`."""
        return self.function(x)


class ParametricReLU(torch.nn.Module):  # type: ignore[misc]
    """PReLU: x where it is positive, alpha · x elsewhere, with an alpha that is learnt."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.alpha = value_of(layer.alpha)

    def forward(self, x: Tensor) -> Tensor:
        """Return the function of `x`."""
        return torch.relu(x) - self.alpha * torch.relu(-x)


def _identity(x: Tensor) -> Tensor:
    return x


IDENTITY: Activation = _identity


def _bounded(
    x: Tensor, *, max_value: float | None, negative_slope: float, threshold: float
) -> Tensor:
    y = torch.where(x > threshold, x, 0.0) if threshold else torch.relu(x)
    if max_value is not None:
        y = torch.clamp(y, 0.0, max_value)
    return y - negative_slope * torch.relu(threshold - x) if negative_slope else y


_ACTIVATIONS: dict[Any, Activation] = {
    keras.activations.celu: F.celu,
    keras.activations.elu: F.elu,
    keras.activations.exponential: torch.exp,
    keras.activations.gelu: F.gelu,  # by the error function, as both do unless told
    keras.activations.hard_sigmoid: F.hardsigmoid,
    keras.activations.hard_silu: F.hardswish,
    keras.activations.leaky_relu: partial(F.leaky_relu, negative_slope=0.2),
    keras.activations.linear: IDENTITY,
    keras.activations.log_softmax: partial(F.log_softmax, dim=-1),
    keras.activations.mish: F.mish,
    keras.activations.relu: torch.relu,
    keras.activations.relu6: F.relu6,
    keras.activations.selu: F.selu,
    keras.activations.sigmoid: torch.sigmoid,
    keras.activations.silu: F.silu,
    keras.activations.softmax: partial(torch.softmax, dim=-1),
    keras.activations.softplus: F.softplus,
    keras.activations.softsign: F.softsign,
    keras.activations.tanh: torch.tanh,
}


def _activation(layer: Any) -> torch.nn.Module:
    return Pointwise(activation_of(layer.activation))


def _elu(layer: Any) -> torch.nn.Module:
    return Pointwise(partial(F.elu, alpha=layer.alpha))


def _leaky_relu(layer: Any) -> torch.nn.Module:
    return Pointwise(partial(F.leaky_relu, negative_slope=layer.negative_slope))


def _relu(layer: Any) -> torch.nn.Module:
    slope, top, threshold = layer.negative_slope, layer.max_value, layer.threshold
    if top is None and not threshold:
        return _leaky_relu(layer) if slope else Pointwise(torch.relu)
    return Pointwise(
        partial(_bounded, max_value=top, negative_slope=slope, threshold=threshold)
        if slope or threshold or top != 6
        else F.relu6
    )


def _softmax(layer: Any) -> torch.nn.Module | None:
    axis = layer.axis
    return Pointwise(partial(torch.softmax, dim=axis)) if isinstance(axis, int) else None


ACTIVATION_LAYERS: Final[dict[type, Callable[[Any], torch.nn.Module | None]]] = {
    keras.layers.Activation: _activation,
    keras.layers.ELU: _elu,
    keras.layers.Identity: lambda layer: Pointwise(IDENTITY),
    keras.layers.LeakyReLU: _leaky_relu,
    keras.layers.PReLU: ParametricReLU,
    keras.layers.ReLU: _relu,
    keras.layers.Softmax: _softmax,
}
