"""Twins of layers that make one tensor of several, or of one and a constant."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any, Final

import torch

from saccade.models.backend import load_keras
from saccade.training.twins.activations import IDENTITY, Activation
from saccade.training.twins.weights import value_of

keras = load_keras()
operations = keras.src.ops.numpy  # the classes behind ``x + y``, which Keras exports nowhere
Tensor = Any  # torch has no type information here
Tensors = tuple[Tensor, ...]


class Merging(torch.nn.Module):  # type: ignore[misc]
    """Add, Concatenate, Maximum and the like; `activation` is one that the graph moved here."""

    def __init__(self, merge: Callable[[Tensors], Tensor]) -> None:
        super().__init__()
        self.merge = merge
        self.activation: Activation = IDENTITY

    def forward(self, *tensors: Tensor) -> Tensor:
        """Map several (N, …) to one; axes of length 1 stretch as in Keras."""
        return self.activation(self.merge(tensors))


def elementwise(merge: Callable[[Tensors], Tensor]) -> Callable[[Any], Merging | None]:
    """Return what builds twins of layers that merge entry by entry.

    Keras gives tensors of fewer axes new ones behind the batch, PyTorch before it: no twin there.
    """
    return lambda layer: None if layer._reshape_required else Merging(merge)


def total(tensors: Tensors) -> Tensor:
    """Return the sum."""
    return functools.reduce(torch.add, tensors)


def product(tensors: Tensors) -> Tensor:
    """Return the product."""
    return functools.reduce(torch.mul, tensors)


def mean(tensors: Tensors) -> Tensor:
    """Return the mean."""
    return total(tensors) / len(tensors)


def difference(tensors: Tensors) -> Tensor:
    """Return the first less the second."""
    first, second = tensors
    return first - second


def largest(tensors: Tensors) -> Tensor:
    """Return the largest, entry by entry."""
    return functools.reduce(torch.maximum, tensors)


def smallest(tensors: Tensors) -> Tensor:
    """Return the smallest, entry by entry."""
    return functools.reduce(torch.minimum, tensors)


def concatenation(layer: Any) -> Merging:
    """Return the twin of a Concatenate layer."""
    return Merging(functools.partial(torch.cat, dim=layer.axis))


class ScaledSum(torch.nn.Module):  # type: ignore[misc]
    """InceptionResNetV2's CustomScaleLayer: a shortcut and a scaled branch."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.scale = float(layer.scale)

    def forward(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        """Return shortcut + scale · branch, of their shape."""
        return shortcut + branch * self.scale


class LayerScale(torch.nn.Module):  # type: ignore[misc]
    """ConvNeXt's LayerScale: a learnt factor for each channel."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.gamma = value_of(layer.gamma)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` (…, C) times gamma (C,)."""
        return x * self.gamma


class Arithmetic(torch.nn.Module):  # type: ignore[misc]
    """An operation such as ``x + 3.0`` or ``x * y`` between layers.

    `constants` holds the arguments in order, None where a tensor goes.
    """

    def __init__(
        self, function: Callable[..., Tensor], constants: tuple[float | None, ...]
    ) -> None:
        super().__init__()
        self.function, self.constants = function, constants

    def forward(self, *tensors: Tensor) -> Tensor:
        """Return the function of the tensors and constants."""
        given = iter(tensors)
        return self.function(*(next(given) if c is None else c for c in self.constants))


def arithmetic_of(node: Any) -> Arithmetic | None:
    """Return the twin of a node of a Keras graph between layers, or None where there is none."""
    function = _FUNCTIONS.get(type(node.operation))
    arguments = node.arguments.args
    tensors = [entry for entry in arguments if isinstance(entry, keras.KerasTensor)]
    constants = [entry for entry in arguments if type(entry) in (int, float)]
    plain = not node.arguments.kwargs and len(tensors) + len(constants) == len(arguments)
    if function is None or not plain or any(t.dtype != "float32" for t in tensors):
        return None
    return Arithmetic(
        function, tuple(None if isinstance(a, keras.KerasTensor) else a for a in arguments)
    )


_FUNCTIONS: Final[dict[type, Callable[..., Tensor]]] = {
    operations.Add: operator.add,
    operations.Divide: operator.truediv,
    operations.Multiply: operator.mul,
    operations.Negative: operator.neg,
    operations.Subtract: operator.sub,
    operations.TrueDivide: operator.truediv,
}
