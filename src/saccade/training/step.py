"""One training step over a Keras model: outputs, loss, gradients, update.

>>> step = TrainingStep(model)                      # doctest: +SKIP
>>> for x, y in batches:                            # doctest: +SKIP
...     loss = step.train(x, y)
>>> step.write_back()                               # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from saccade.models.backend import engine_name, load_keras
from saccade.training.compiler import Forward
from saccade.training.device import Data, on_device
from saccade.training.graph import Unsupported, graph_of
from saccade.training.losses import Loss, as_keras_loss
from saccade.training.network import Network
from saccade.training.precision import Precision

keras = load_keras()
Tensor = Any  # torch has no type information here


class TrainingStep:
    """Trains a built Keras model, batch by batch, in place.

    `loss` and `optimizer` default to those that the model was compiled with. The weights and the
    optimizer's slots are the model's own, always up to date; only the optimizer's count of updates
    waits for `write_back`. What callbacks change in layers and optimizer after that is followed at
    the next batch, as Keras does. `compile` compiles at the first batch, for batches of its shape;
    others run as they are, and so do all where compiling fails, which `notes` then says.

    Raises Unsupported for a model that only Keras itself can train, and SettingsError for an
    optimizer that was made for other weights.
    """

    def __init__(
        self,
        model: Any,
        *,
        loss: Any = None,
        optimizer: Any = None,
        precision: Precision | None = None,
        compile: bool = False,
    ) -> None:
        if engine_name() != "torch":
            raise Unsupported(f"Keras runs on {engine_name()}")
        self.model = model
        rank = len(graph_of(model).outputs[0].shape)
        self.loss = (
            Loss.of_compiled(model) if loss is None else Loss(as_keras_loss(loss), output_rank=rank)
        )
        self._network = Network(model, self.loss, precision)
        self.graph, self.precision = self._network.graph, self._network.precision
        self.device = self._network.device
        self.workload = self._network.workload
        self._optimizer = None if optimizer is None else keras.optimizers.get(optimizer)
        self._update = self._network.update(self._optimizer)
        self._may_have_changed = True  # by callbacks, since layers and optimizer were read
        self.outputs: Tensor = None  # of the last batch trained, detached
        self.forward = self._network.compilable(self._with_gradients)
        if compile:
            self.compile()

    @property
    def compiled(self) -> bool:
        """Whether the step is compiled, or will be at the next batch."""
        return self.forward.compiled

    @property
    def notes(self) -> tuple[str, ...]:
        """Why the step is compiled or not, where that was asked for."""
        return self.forward.notes

    def compile(self) -> None:
        """Compile the step at the next batch, where that is possible; `notes` says why not."""
        self.forward.compile(self._network.objection)

    def train(
        self,
        x: Data,
        y: Data,
        *,
        learning_rate: float | None = None,
        sample_weight: Data | None = None,
    ) -> Tensor:
        """Train on one batch and return its loss, as a tensor that nothing waited for.

        `learning_rate` overrides the optimizer's own for this update.
        """
        if self._may_have_changed:
            self._follow()
        x, y = on_device(x, self.device), self.loss.labels(on_device(y, self.device))
        weight = None if sample_weight is None else on_device(sample_weight, self.device).float()
        if not self.graph.training:
            self.graph.train()
        if self.forward.reuses_memory:
            torch.compiler.cudagraph_mark_step_begin()
        loss, self.outputs, gradients = self.forward(x, y, weight)
        self._update.apply(gradients, learning_rate)
        return loss

    def _follow(self) -> None:
        """Read anew what was changed since it was read."""
        if self._network.changed():
            self._network, was_compiled = self._network.anew(), self.compiled
            self.graph = self._network.graph
            self.forward = self._network.compilable(self._with_gradients)
            if was_compiled:  # what changed once may change after every epoch
                self.forward.compile("a layer was changed while the model trained")
        self._update = self._network.update(self._optimizer)
        self._may_have_changed = False

    def _with_gradients(
        self, forward: Forward, x: Tensor, y: Tensor, weight: Tensor | None
    ) -> tuple[Tensor, Tensor, Sequence[Tensor | None]]:
        """Return the loss, the outputs and the weights' gradients; all but these may be kept."""
        loss, outputs = forward(x, y, weight)
        scaled = self._update.scaled(loss)
        gradients = torch.autograd.grad(scaled, self._update.weights, allow_unused=True)
        if self.forward.reuses_memory:
            return loss.detach().clone(), outputs.clone(), gradients
        return loss.detach(), outputs, gradients

    def infer(self, x: Tensor) -> Tensor:
        """Return the model's outputs for one batch as a float32 tensor."""
        if self.graph.training:
            self.graph.eval()
        with torch.no_grad():
            return self._network.outputs(x).float()

    def evaluate(self, x: Data, y: Data, sample_weight: Data | None) -> tuple[Tensor, Tensor]:
        """Return the loss and the outputs of one batch, in inference mode."""
        outputs = self.infer(on_device(x, self.device))
        weight = None if sample_weight is None else on_device(sample_weight, self.device).float()
        with torch.no_grad():
            labels = self.loss.labels(on_device(y, self.device))
            loss = self.loss(labels, outputs, weight)
            return self._network.penalised(loss), outputs

    def write_back(self) -> None:
        """Bring the Keras model up to date, so that plain Keras can go on from here."""
        self._update.write_back()
        self._may_have_changed = True

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return everything that training goes on from, as arrays; see `load_state`."""
        arrays = {f"weight/{i}": _array(v.value) for i, v in enumerate(self.model.variables)}
        arrays |= {f"slot/{i}": _array(slot) for i, slot in enumerate(self._update.slots())}
        arrays["num_updates"] = np.asarray(self._update.num_updates)
        arrays["random"] = torch.get_rng_state().numpy()
        if self.device.type == "cuda":  # dropout draws there
            arrays["random_on_card"] = torch.cuda.get_rng_state(self.device).numpy()
        return arrays

    def load_state(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Go on from where `state` was taken, on a model of the same shape."""
        with torch.no_grad():
            for index, variable in enumerate(self.model.variables):
                variable.value.copy_(on_device(arrays[f"weight/{index}"], self.device))
            for index, slot in enumerate(self._update.slots()):
                slot.copy_(on_device(arrays[f"slot/{index}"], self.device))
        self._update.num_updates = int(arrays["num_updates"])
        torch.set_rng_state(torch.from_numpy(arrays["random"]))
        if self.device.type == "cuda" and "random_on_card" in arrays:
            torch.cuda.set_rng_state(torch.from_numpy(arrays["random_on_card"]), self.device)
        self.write_back()


def _array(tensor: Tensor) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = tensor.detach().cpu().numpy().copy()
    return array
