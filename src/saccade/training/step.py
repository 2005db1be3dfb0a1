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
from saccade.training.compiler import Compilable, Forward, Workload
from saccade.training.device import Data, on_device
from saccade.training.graph import Graph, Unsupported, graph_of
from saccade.training.losses import Loss, Penalty, as_keras_loss
from saccade.training.optimizers import Update
from saccade.training.precision import Precision, choose_precision
from saccade.training.twins import Convolution

keras = load_keras()
Tensor = Any  # torch has no type information here


class TrainingStep:
    """Trains a built Keras model, batch by batch, in place.

    `loss` and `optimizer` default to those that the model was compiled with. The weights and the
    optimizer's slots are the model's own, always up to date; only the optimizer's count of updates
    waits for `write_back`. `compile` compiles at the first batch, for batches of its shape; others
    run as they are, and so do all where compiling fails, which `notes` then says.

    Raises Unsupported for a model that only Keras itself can train.
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
        self.graph = Graph(graph_of(model))
        variables = model.trainable_variables
        if not variables:
            raise Unsupported("the model has nothing to train")
        self.device = variables[0].value.device
        rank = len(model.outputs[0].shape)
        self.loss = (
            Loss.of_compiled(model) if loss is None else Loss(as_keras_loss(loss), output_rank=rank)
        )
        self.precision = precision or _precision_for(self.graph, self.loss, self.device.type)
        self.workload = Workload(
            number_format=self.precision.format,
            device=self.device.type,
            num_layers=self.graph.num_layers,
        )
        optimizer = model.optimizer if optimizer is None else optimizer
        optimizer = keras.optimizers.get(optimizer)
        self._update = Update(optimizer, variables, self.precision.format)
        self._penalties = [Penalty(v) for v in variables if v.regularizer is not None]
        self.outputs: Tensor = None  # of the last batch trained, detached
        self.forward = Compilable(self._loss_and_outputs, self.workload, self._with_gradients)
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
        refused = ""
        if self.graph.is_random:
            refused = "a layer draws random numbers in Keras's own way"
        elif not self.loss.native or not all(penalty.native for penalty in self._penalties):
            refused = "a loss or a regularizer is one that only Keras knows"
        self.forward.compile(refused)

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
        x, y = on_device(x, self.device), self.loss.labels(on_device(y, self.device))
        weight = None if sample_weight is None else on_device(sample_weight, self.device).float()
        if not self.graph.training:
            self.graph.train()
        if self.forward.reuses_memory:
            torch.compiler.cudagraph_mark_step_begin()
        loss, self.outputs, gradients = self.forward(x, y, weight)
        self._update.apply(gradients, learning_rate)
        return loss

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

    def _loss_and_outputs(
        self, x: Tensor, y: Tensor, weight: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        with self.precision.autocast(self.device.type):
            outputs = self.graph(x)
        loss = _penalised(self.loss(y, outputs, weight), self._penalties)
        return loss, outputs.detach().float()

    def infer(self, x: Tensor) -> Tensor:
        """Return the model's outputs for one batch as a float32 tensor."""
        if self.graph.training:
            self.graph.eval()
        with torch.no_grad(), self.precision.autocast(self.device.type):
            return self.graph(x).float()

    def evaluate(self, x: Data, y: Data, sample_weight: Data | None) -> tuple[Tensor, Tensor]:
        """Return the loss and the outputs of one batch, in inference mode."""
        outputs = self.infer(on_device(x, self.device))
        weight = None if sample_weight is None else on_device(sample_weight, self.device).float()
        with torch.no_grad():
            labels = self.loss.labels(on_device(y, self.device))
            loss = self.loss(labels, outputs, weight)
            return _penalised(loss, self._penalties), outputs

    def write_back(self) -> None:
        """Bring the Keras model up to date, so that plain Keras can go on from here."""
        self._update.write_back()

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


def _penalised(loss: Tensor, penalties: Sequence[Penalty]) -> Tensor:
    for penalty in penalties:
        loss = loss + penalty()
    return loss


def _precision_for(graph: Graph, loss: Loss, device: str) -> Precision:
    """bf16 pays in convolutions, and classes bear its rounding; a predicted number does not."""
    if not any(isinstance(twin, Convolution) for twin in graph.modules()):
        return Precision(format="float32", reason="a network without convolutions")
    if not loss.of_classes:
        return Precision(format="float32", reason="a loss that is not a cross-entropy")
    return choose_precision(device)


def _array(tensor: Tensor) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = tensor.detach().cpu().numpy().copy()
    return array
