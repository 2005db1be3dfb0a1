"""Twins of layers that drop at random while training, from PyTorch's own random state.

Keras keeps a random state of its own in a variable, which no compiler can follow; so a twin drops
as often as its layer, but not the same entries.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

Tensor = Any  # torch has no type information here


class Dropout(torch.nn.Module):  # type: ignore[misc]
    """Dropout; `shape`, if any, is that of the noise, None on an axis for the input's length."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.rate, self.shape = layer.rate, layer.noise_shape

    def forward(self, x: Tensor) -> Tensor:
        """Return `x`, in training with a share of its entries zeroed and the rest scaled up."""
        if self.shape is None:
            return F.dropout(x, self.rate, self.training)
        return _drop_together(x, self.shape, self.rate) if self.training else x


class SpatialDropout(torch.nn.Module):  # type: ignore[misc]
    """SpatialDropout2D: drops whole channels of a picture."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.rate = layer.rate

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` (N, H, W, C), in training with whole channels zeroed."""
        return _drop_together(x, (None, 1, 1, None), self.rate) if self.training else x


class StochasticDepth(torch.nn.Module):  # type: ignore[misc]
    """ConvNeXt's StochasticDepth: drops a branch for whole pictures. Huang et al. 2016."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.rate = layer.drop_path_rate

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` (N, …), in training with whole pictures zeroed."""
        shape = (None, *(1 for _ in x.shape[1:]))
        return _drop_together(x, shape, self.rate) if self.training else x


def _drop_together(x: Tensor, shape: tuple[int | None, ...], rate: float) -> Tensor:
    """Zero, or keep and scale up, all entries that one entry of noise of this shape spans."""
    lengths = [own if given is None else given for own, given in zip(x.shape, shape, strict=True)]
    return x * F.dropout(x.new_ones(lengths), rate)
