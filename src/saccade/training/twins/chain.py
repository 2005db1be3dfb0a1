"""Twins in a row, each read by the next alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

import torch

from saccade.training.kernels.layers import Layer, Reshape, run

Tensor = Any  # torch has no type information here
Steps = tuple[Callable[[Tensor], Tensor], ...]
_Found = tuple[Layer | None, torch.nn.Module]  # who does a twin's work, and the twin


class Chain(torch.nn.Module):  # type: ignore[misc]
    """Runs twins one after the other; those that kernels of ours do wholly, as one.

    What they do for a batch depends on its form alone, so it is asked once for each form.
    """

    def __init__(self, twins: Iterable[torch.nn.Module]) -> None:
        super().__init__()
        self.twins = torch.nn.ModuleList(twins)
        self._steps: dict[Any, Steps] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Map what the first twin takes to what the last returns."""
        if torch.compiler.is_compiling():
            return self._in_turn(x)
        modes = torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"), self.training
        form = (x.shape, x.dtype, x.device, x.requires_grad, *modes)
        if form not in self._steps:
            return self._first(x, form)
        for step in self._steps[form]:
            x = step(x)
        return x

    def _in_turn(self, x: Tensor) -> Tensor:
        for twin in self.twins:
            x = twin(x)
        return x

    def _first(self, x: Tensor, form: Any) -> Tensor:
        """Run the twins on a form not seen before, and note what does their work."""
        found: list[_Found] = []
        for twin in self.twins:
            found.append((twin.layer(x) if hasattr(twin, "layer") else None, twin))
            x = twin(x)
        self._steps[form] = _joined(found)
        return x


def _joined(found: list[_Found]) -> Steps:
    """Return steps: kernels in a row are one, other twins each their own."""
    steps: list[Callable[[Tensor], Tensor]] = []
    for has_layer, group in groupby(found, lambda each: each[0] is not None):
        layers, twins = zip(*group, strict=True)
        work = has_layer and not all(isinstance(layer, Reshape) for layer in layers)
        steps += [_through(layers)] if work else twins
    return tuple(steps)


def _through(layers: tuple[Layer, ...]) -> Callable[[Tensor], Tensor]:
    return lambda x: run(x, layers)
