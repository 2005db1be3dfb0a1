"""Twins of pooling layers."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from saccade.models.backend import load_keras
from saccade.training.kernels.layers import Layer, MaxPool, maps_fit, run
from saccade.training.pooling import max_pool, pads_of, tile_max_pool
from saccade.training.twins.activations import IDENTITY, Activation

keras = load_keras()
Tensor = Any  # torch has no type information here


class MaxPooling(torch.nn.Module):  # type: ignore[misc]
    """MaxPooling2D; `activation` is one that the graph moved here from the layer before."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.window, self.strides = tuple(layer.pool_size), tuple(layer.strides)
        self.same = layer.padding == "same"
        self.tiles = self.window == self.strides and not self.same
        self.activation: Activation = IDENTITY

    def layer(self, x: Tensor) -> Layer | None:
        """Return a kernel of ours that does the whole of it on `x`, or None."""
        whole = self.activation in (IDENTITY, torch.relu)
        return self._pooling(x) if whole else None

    def _pooling(self, x: Tensor) -> MaxPool | None:
        fits = self.tiles and self.window == (2, 2) and maps_fit(x)
        return MaxPool(rectify=self.activation is torch.relu) if fits else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, H, W, C) to (N, H', W', C)."""
        rectify = self.activation is torch.relu
        pooling = self._pooling(x)
        if self.tiles and torch.compiler.is_compiling():
            y = tile_max_pool(x, self.window, rectify=rectify)
        elif pooling is not None:
            y = run(x, (pooling,))
        else:
            rectify = False
            y = max_pool(x, self.window, self.strides, same=self.same)
        return y if rectify else self.activation(y)


class AveragePooling(torch.nn.Module):  # type: ignore[misc]
    """AveragePooling2D; what padding adds alike on both sides does not count."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.window, self.strides = tuple(layer.pool_size), tuple(layer.strides)
        self.same = layer.padding == "same"

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, H, W, C) to (N, H', W', C)."""
        x = x.permute(0, 3, 1, 2)
        if not self.same:
            return F.avg_pool2d(x, self.window, self.strides).permute(0, 2, 3, 1)
        (top, bottom), (left, right) = pads_of(x.shape[2:], self.window, self.strides, (1, 1))
        if top == bottom and left == right:
            pads = (top, left)
            y = F.avg_pool2d(x, self.window, self.strides, pads, count_include_pad=False)
        else:  # then Keras on PyTorch repeats the border, and counts it
            x = F.pad(x, (left, right, top, bottom), mode="replicate")
            y = F.avg_pool2d(x, self.window, self.strides)
        return y.permute(0, 2, 3, 1)


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
