"""Optimizers' steps over one weight, by our kernels."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from saccade.training.kernels.calling import call
from saccade.training.kernels.library import has_tiles, load_kernels

Tensor = Any  # torch has no type information here


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
        numbers = (rate, self.rho, self.momentum, self.epsilon)
        call("rmsprop", weight, gradient, square, mean, *map(float, numbers), weight.numel())


@dataclass(frozen=True, slots=True)
class Muon:
    """`saccade.training.muon` for one kernel, with products of bfloat16; needs `has_tiles`."""

    momentum: float
    quintic: tuple[float, float, float]
    rounds: int
    epsilon: float

    def move(self, weight: Tensor, gradient: Tensor, mean: Tensor, rate: float) -> None:
        """Take one step, in place, over a kernel (height, width, in, out) and its momentum."""
        filters = weight.shape[-1]
        quintic = (ctypes.c_float * 3)(*self.quintic)
        numbers = (float(self.momentum), float(rate), quintic, self.rounds, float(self.epsilon))
        call("muon", weight, gradient, mean, *numbers, weight.numel() // filters, filters)
