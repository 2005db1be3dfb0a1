"""One training step over a Keras model: outputs, loss, gradients, update.

>>> step = TrainingStep(model)                      # doctest: +SKIP
>>> for x, y in batches:                            # doctest: +SKIP
...     loss = step.train(x, y)
>>> step.write_back()                               # doctest: +SKIP
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from saccade.models.backend import engine_name, load_keras
from saccade.training.graph import Graph, Unsupported, graph_of
from saccade.training.losses import Loss, as_keras_loss
from saccade.training.optimizers import Update
from saccade.training.precision import Precision, choose_precision

keras = load_keras()
Tensor = Any  # torch has no type information here
Data = Any  # a tensor or a NumPy array


class TrainingStep:
    """Trains a built Keras model, batch by batch, in place.

    `loss` and `optimizer` default to those that the model was compiled with. The weights and the
    optimizer's slots are the model's own, always up to date; only the optimizer's count of updates
    waits for `write_back`. Raises Unsupported for a model that only Keras itself can train.
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
        self.precision = precision or choose_precision(self.device.type)
        rank = len(model.outputs[0].shape)
        self.loss = (
            Loss.of_compiled(model) if loss is None else Loss(as_keras_loss(loss), output_rank=rank)
        )
        optimizer = model.optimizer if optimizer is None else optimizer
        self._update = Update(keras.optimizers.get(optimizer), variables)
        self._penalized = [v for v in variables if v.regularizer is not None]
        self.outputs: Tensor = None  # of the last batch trained, detached
        self.compiled = False
        self.notes: tuple[str, ...] = ()

    @property
    def num_updates(self) -> int:
        """How many updates the optimizer has made, this step's and earlier ones."""
        return self._update.num_updates

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
        x, y = self.tensor(x), self.loss.labels(self.tensor(y))
        weight = None if sample_weight is None else self.tensor(sample_weight).float()
        self.graph.train()
        loss, self.outputs = self._forward(x, y, weight)
        loss.backward()
        self._update.apply(learning_rate)
        return loss.detach()

    def _forward(self, x: Tensor, y: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        with self.precision.autocast(self.device.type):
            outputs = self.graph(x)
        loss = self.loss(y, outputs, weight) + self.penalty()
        return loss, outputs.detach().float()

    def penalty(self) -> Tensor | float:
        """Return the sum of the weights' regularisation losses; 0 where there are none."""
        return sum(variable.regularizer(variable.value) for variable in self._penalized)

    def predict(self, x: Data) -> npt.NDArray[np.float32]:
        """Return the model's outputs for one batch, in inference mode."""
        values: npt.NDArray[np.float32] = self.infer(self.tensor(x)).cpu().numpy()
        return values

    def infer(self, x: Tensor) -> Tensor:
        """Return the model's outputs for one batch as a float32 tensor."""
        self.graph.eval()
        with torch.inference_mode(), self.precision.autocast(self.device.type):
            return self.graph(x).float()

    def evaluate(self, x: Data, y: Data, sample_weight: Data | None) -> tuple[Tensor, Tensor]:
        """Return the loss and the outputs of one batch, in inference mode."""
        outputs = self.infer(self.tensor(x))
        weight = None if sample_weight is None else self.tensor(sample_weight).float()
        with torch.inference_mode():
            loss = self.loss(self.loss.labels(self.tensor(y)), outputs, weight) + self.penalty()
        return loss, outputs

    def tensor(self, data: Data) -> Tensor:
        """Return a tensor or an array as a tensor where the model is."""
        if isinstance(data, np.ndarray):
            data = torch.from_numpy(data)
        return data.to(self.device)

    def write_back(self) -> None:
        """Bring the Keras model up to date, so that plain Keras can go on from here."""
        self._update.write_back()

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return everything that training goes on from, as arrays; see `load_state`."""
        arrays = {f"weight/{i}": _array(v.value) for i, v in enumerate(self.model.variables)}
        arrays |= {f"slot/{i}": _array(slot) for i, slot in enumerate(self._update.slots())}
        arrays["num_updates"] = np.asarray(self._update.num_updates)
        arrays["random"] = torch.get_rng_state().numpy()
        return arrays

    def load_state(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Go on from where `state` was taken, on a model of the same shape."""
        with torch.no_grad():
            for index, variable in enumerate(self.model.variables):
                variable.value.copy_(self.tensor(arrays[f"weight/{index}"]))
            for index, slot in enumerate(self._update.slots()):
                slot.copy_(self.tensor(arrays[f"slot/{index}"]))
        self._update.num_updates = int(arrays["num_updates"])
        torch.set_rng_state(torch.from_numpy(arrays["random"]))
        self.write_back()


def _array(tensor: Tensor) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = tensor.detach().cpu().numpy().copy()
    return array
