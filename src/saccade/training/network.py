"""A Keras model as a training step reads it: once, and again where a callback changed a layer."""

from __future__ import annotations

from typing import Any

from saccade.errors import SettingsError
from saccade.training.attributes import Attributes
from saccade.training.compiler import Compilable, Use, Workload
from saccade.training.graph import Graph, Unsupported, graph_of
from saccade.training.losses import Loss, Penalty
from saccade.training.optimizers import Update
from saccade.training.precision import Precision, choose_precision
from saccade.training.twins import Convolution

Tensor = Any  # torch has no type information here


class Network:
    """A built model's graph, the weights of it that are trained, and the loss of its outputs.

    `precision` defaults to what suits layers, loss and machine. Raises Unsupported for a model that
    only Keras itself can train.
    """

    def __init__(self, model: Any, loss: Loss, precision: Precision | None) -> None:
        self._model, self._loss = model, loss
        self._attributes = Attributes(model)
        self.graph = Graph(graph_of(model))
        self._variables = model.trainable_variables
        if not self._variables:
            raise Unsupported("the model has nothing to train")
        self.device = self._variables[0].value.device
        self.precision = precision or _precision_for(self.graph, loss, self.device.type)
        self.workload = Workload(
            number_format=self.precision.format,
            device=self.device.type,
            num_layers=self.graph.num_layers,
        )
        self._penalties = [Penalty(v) for v in self._variables if v.regularizer is not None]

    def changed(self) -> bool:
        """Whether the layers are no longer what was read."""
        return self._attributes.changed()

    def anew(self) -> Network:
        """Return the model read again; raises SettingsError where it cannot be trained any more."""
        try:
            return Network(self._model, self._loss, self.precision)
        except Unsupported as reason:
            raise SettingsError(
                f"a layer was changed while the model trained, and now {reason}; change layers "
                "between two calls of fit, or end this one with model.stop_training = True"
            ) from reason

    def update(self, optimizer: Any) -> Update:
        """Return what moves the weights; `optimizer` defaults to the model's own."""
        chosen = self._model.optimizer if optimizer is None else optimizer
        return Update(chosen, self._variables, self.precision.format)

    def compilable(self, use: Use) -> Compilable:
        """Return `loss_and_outputs` as what can be compiled, for `use` to call."""
        return Compilable(self.loss_and_outputs, self.workload, use)

    @property
    def objection(self) -> str:
        """Why `loss_and_outputs` cannot be compiled, or nothing."""
        if self.graph.is_random:
            return "a layer draws random numbers in Keras's own way"
        if not self._loss.native or not all(penalty.native for penalty in self._penalties):
            return "a loss or a regularizer is one that only Keras knows"
        return ""

    def outputs(self, x: Tensor) -> Tensor:
        """Return the model's outputs for one batch, in training mode or not, as the graph is."""
        with self.precision.autocast(self.device.type):
            return self.graph(x)

    def loss_and_outputs(
        self, x: Tensor, y: Tensor, weight: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of one batch, penalties included, and its outputs, detached."""
        outputs = self.outputs(x)
        return self.penalised(self._loss(y, outputs, weight)), outputs.detach().float()

    def penalised(self, loss: Tensor) -> Tensor:
        """Return the loss with what the regularizers of trained weights add."""
        for penalty in self._penalties:
            loss = loss + penalty()
        return loss


def _precision_for(graph: Graph, loss: Loss, device: str) -> Precision:
    """bf16 pays in convolutions, and classes bear its rounding; a predicted number does not."""
    if not any(isinstance(twin, Convolution) for twin in graph.modules()):
        return Precision(format="float32", reason="a network without convolutions")
    if not loss.of_classes:
        return Precision(format="float32", reason="a loss that is not a cross-entropy")
    return choose_precision(device)
