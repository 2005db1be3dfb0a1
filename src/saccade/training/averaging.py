"""A running average of the weights, which scores better than the weights of any one step.

A gradient step jumps about the bottom of the valley; the mean of the last steps lies inside it
(Polyak and Juditsky, 1992). Batch normalisation's moving statistics are averaged with the weights
that they belong to, so the averaged network is whole and can be scored or saved at any time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

_EVERY: Final = 4  # steps between two updates; the weights move little in between


class WeightAverage:
    """Holds the average of a Keras model's weights on PyTorch; `update` after every step."""

    def __init__(self, model: Any, *, steps: float) -> None:
        """Average over about the last `steps` steps; below one, the weights themselves."""
        values = [variable.value for variable in model.variables]
        self._live = [value for value in values if value.is_floating_point()]
        self._average = [value.detach().clone() for value in self._live]
        self._steps = steps
        self._seen = 0

    def update(self) -> None:
        """Take the weights as they are into the average; younger averages forget faster."""
        self._seen += 1
        if self._seen % _EVERY and self._steps > _EVERY:
            return
        horizon = min(self._steps, 1 + self._seen / 10)
        share = min(1.0, _EVERY / max(horizon, 1e-9))
        with torch.no_grad():
            torch._foreach_lerp_(self._average, [value.detach() for value in self._live], share)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the model have the averaged weights for as long as the block runs."""
        own = [value.detach().clone() for value in self._live]
        _copy(self._average, self._live)
        try:
            yield
        finally:
            _copy(own, self._live)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return the average as arrays by name, for a checkpoint."""
        arrays = {f"{index}": value.cpu().numpy() for index, value in enumerate(self._average)}
        return {"seen": np.asarray(self._seen), **{k: v.copy() for k, v in arrays.items()}}

    def load_state(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Go on from what `state` returned."""
        self._seen = int(arrays["seen"])
        _copy([torch.from_numpy(arrays[f"{i}"]) for i in range(len(self._average))], self._average)


def _copy(sources: list[Any], targets: list[Any]) -> None:
    with torch.no_grad():
        for source, target in zip(sources, targets, strict=True):
            target.copy_(source)
