"""Twins of layers that move, pad, cut or repeat numbers and leave them as they are."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from saccade.training.kernels import layers

Tensor = Any  # torch has no type information here


class Padding(torch.nn.Module):  # type: ignore[misc]
    """ZeroPadding2D, and Cropping2D, which is padding by less than nothing.

    `pads` counts pixels ((top, bottom), (left, right)).
    """

    def __init__(self, pads: Any) -> None:
        super().__init__()
        (top, bottom), (left, right) = pads
        self.pads = (0, 0, left, right, top, bottom)  # PyTorch begins with the last axis

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, H, W, C) to (N, H + top + bottom, W + left + right, C)."""
        return F.pad(x, self.pads)


def cropping(layer: Any) -> Padding:
    """Return the twin of a Cropping2D layer."""
    return Padding([[-pixels for pixels in side] for side in layer.cropping])


class Reshape(torch.nn.Module):  # type: ignore[misc]
    """Flatten, Reshape: the same numbers in another shape, in Keras's order."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape  # without the batch

    def layer(self, x: Tensor) -> layers.Layer:
        """Return the same for kernels of ours in a row."""
        return layers.Reshape(self.shape)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, …) to (N, *shape)."""
        return x.reshape(x.shape[0], *self.shape)


class Permutation(torch.nn.Module):  # type: ignore[misc]
    """Permute."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.order = (0, *layer.dims)

    def forward(self, x: Tensor) -> Tensor:
        """Return a view of `x` (N, …) with its axes in another order."""
        return x.permute(self.order)


class Repetition(torch.nn.Module):  # type: ignore[misc]
    """UpSampling2D that repeats pixels."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.factors = tuple(float(factor) for factor in layer.size)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, H, W, C) to (N, H · rows, W · columns, C)."""
        x = F.interpolate(x.permute(0, 3, 1, 2), scale_factor=self.factors, mode="nearest")
        return x.permute(0, 2, 3, 1)


def repetition(layer: Any) -> Repetition | None:
    """Return the twin of an UpSampling2D layer; None where it interpolates."""
    return Repetition(layer) if layer.interpolation == "nearest" else None
