"""One training step over a Keras model: outputs, loss, gradients, update.

>>> step = TrainingStep(model)                      # doctest: +SKIP
>>> for x, y in batches:                            # doctest: +SKIP
...     loss = step.train(x, y)
>>> step.write_back()                               # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from saccade.models.backend import engine_name, load_keras
from saccade.training.compiler import compiled, obstacle
from saccade.training.graph import Graph, Unsupported, graph_of
from saccade.training.losses import Loss, Penalty, as_keras_loss
from saccade.training.optimizers import Update
from saccade.training.precision import Precision, choose_precision
from saccade.training.twins import Convolution

keras = load_keras()
Tensor = Any  # torch has no type information here
Data = Any  # a tensor or a NumPy array
Forward = Callable[[Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor]]


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
        self.precision = precision or self._default_precision()
        optimizer = model.optimizer if optimizer is None else optimizer
        self._update = Update(keras.optimizers.get(optimizer), variables)
        self._penalties = [Penalty(v) for v in variables if v.regularizer is not None]
        self.outputs: Tensor = None  # of the last batch trained, detached
        self.notes: tuple[str, ...] = ()
        self._compiled_forward: Forward | None = None
        self._first_shape: Any = None  # of a whole batch; only the last of an epoch differs
        if compile:
            self.compile()

    @property
    def compiled(self) -> bool:
        """Whether the step is compiled, or will be at the next batch."""
        return self._compiled_forward is not None

    def compile(self) -> None:
        """Compile the step at the next batch, where that is possible; `notes` says why not."""
        reason = obstacle()
        if self.graph.is_random:
            reason = "a layer draws random numbers in Keras's own way"
        elif not self.loss.native or not all(penalty.native for penalty in self._penalties):
            reason = "a loss or a regularizer is one that only Keras knows"
        if reason:
            self.notes += (f"not compiled: {reason}",)
            return
        self._compiled_forward = compiled(self._forward)

    def _default_precision(self) -> Precision:
        """bf16 pays in convolutions, and classes bear its rounding; a predicted number does not."""
        if not any(isinstance(twin, Convolution) for twin in self.graph.modules()):
            return Precision(format="float32", reason="a network without convolutions")
        if not self.loss.of_classes:
            return Precision(format="float32", reason="a loss that is not a cross-entropy")
        return choose_precision(self.device.type)

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
        loss, self.outputs = self._run_forward(x, y, weight)
        loss.backward()
        self._update.apply(learning_rate)
        return loss.detach()

    def _run_forward(self, x: Tensor, y: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        shape = (x.shape, x.dtype, weight is None)
        self._first_shape = self._first_shape or shape
        if self._compiled_forward is None or shape != self._first_shape:
            return self._forward(x, y, weight)
        try:
            return self._compiled_forward(x, y, weight)
        except Exception as error:  # noqa: BLE001  (compilers fail in many ways; not compiled
            # is always right, and an error that is not the compiler's comes again there)
            self._compiled_forward = None
            cause = str(error).strip().partition("\n")[0]
            self.notes += (f"not compiled: {type(error).__name__}: {cause}",)
            return self._forward(x, y, weight)

    def _forward(self, x: Tensor, y: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        with self.precision.autocast(self.device.type):
            outputs = self.graph(x)
        loss = self.loss(y, outputs, weight) + self.penalty()
        return loss, outputs.detach().float()

    def penalty(self) -> Tensor | float:
        """Return the sum of the weights' regularisation losses; 0 where there are none."""
        return sum(penalty() for penalty in self._penalties)

    def predict(self, x: Data) -> npt.NDArray[np.float32]:
        """Return the model's outputs for one batch, in inference mode."""
        values: npt.NDArray[np.float32] = self.infer(self.tensor(x)).cpu().numpy()
        return values

    def infer(self, x: Tensor) -> Tensor:
        """Return the model's outputs for one batch as a float32 tensor."""
        self.graph.eval()
        with torch.no_grad(), self.precision.autocast(self.device.type):
            return self.graph(x).float()

    def evaluate(self, x: Data, y: Data, sample_weight: Data | None) -> tuple[Tensor, Tensor]:
        """Return the loss and the outputs of one batch, in inference mode."""
        outputs = self.infer(self.tensor(x))
        weight = None if sample_weight is None else self.tensor(sample_weight).float()
        with torch.no_grad():
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
