"""The optimizer of fine-tuning: the lower a layer lies, the smaller its steps.

What stands below, edges and textures, serves any pictures; what stands above was made for others.
So rates fall from the head down (Howard & Ruder, 2018, "discriminative fine-tuning"), by the same
factor from each layer to the next. What is given is the lowest layer's share of the head's rate,
not that factor: 0.95 a layer is a quarter after 27 layers, and a hundredth after 94.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from saccade.models.backend import load_keras

keras = load_keras()


class LayerwiseAdamW(keras.optimizers.AdamW):  # type: ignore[misc,name-defined]
    """AdamW whose rate, and decay with it, falls from layer to layer below the head.

    The lowest layer has `lowest_share` of it. `build` takes the weights from the lowest layer up.
    """

    def __init__(self, *, lowest_share: float, **options: Any) -> None:
        super().__init__(**options)
        self.lowest_share = lowest_share
        self.shares: tuple[float, ...] = ()  # of the rate, for each weight

    def build(self, variables: Sequence[Any]) -> None:
        """Make the slots of these weights, and find how deep each lies."""
        super().build(variables)
        depth = depths(variables)
        self.shares = tuple(self.lowest_share ** (d / max(1, *depth)) for d in depth)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Move one variable along its gradient."""
        super().update_step(gradient, variable, learning_rate * self._share(variable))

    def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
        for variable in variables:
            if self._use_weight_decay(variable):
                pull = self.weight_decay * self.learning_rate * self._share(variable)
                self.assign(variable, variable * (1 - pull))

    def _share(self, variable: Any) -> float:
        share: float = self.shares[self._get_variable_index(variable)]
        return share


def depths(variables: Sequence[Any]) -> list[int]:
    """Return for each weight how many kernels come after its own layer's: 0 for the head.

    Every layer with weights has a kernel, which comes first; a bias has one dimension.
    """
    kernels = [len(variable.shape) > 1 for variable in variables]
    return [sum(kernels[place + 1 :]) for place in range(len(kernels))]
