"""What the rules look at: a network, its loss, and what is known of the data and of the fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from saccade.doctor.data import DataFacts
from saccade.doctor.fitcall import FitCall
from saccade.doctor.loss import CompiledLoss, loss_of
from saccade.doctor.network import Network, Step, network_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """One model with what is known around it; None is what cannot be seen."""

    network: Network | None  # None for a model with a call of its own, or not yet built
    loss: CompiledLoss | None  # None unless it is one cross-entropy
    data: DataFacts | None = None
    call: FitCall | None = None

    @property
    def deciding(self) -> Step | None:
        """The step whose activation the output has: see `Network.deciding`."""
        return self.network.deciding if self.network else None

    @classmethod
    def of(cls, model: Any, *, data: DataFacts | None = None, call: FitCall | None = None) -> Case:
        """Look at a Keras model, compiled or not."""
        return cls(network=network_of(model), loss=loss_of(model), data=data, call=call)
