"""A Keras model as a flat list of PyTorch calls on the model's own weights.

Keras runs a model by walking its graph and entering every layer anew at every step. Here the graph
is walked once; what remains is a list of twins (see `twins`) and, where there is no twin, of the
layers themselves. Nothing is cloned and no weight is copied: the model that is trained is the
user's, always up to date, and saved with Keras's own layers alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from saccade.models.backend import load_keras
from saccade.models.functional import functional_of, nodes_in_order
from saccade.training.twins import (
    IDENTITY,
    BatchNormalization,
    Chain,
    Convolution,
    MaxPooling,
    Merging,
    Pointwise,
    PooledConvolution,
    Rescaling,
    ResidualNormalization,
    arithmetic_of,
    total,
    twin_of,
)

keras = load_keras()
Tensor = Any  # torch has no type information here
_SUMMANDS = 2  # a branch and a shortcut


class Unsupported(Exception):
    """The engine cannot train this model; Keras's own ``fit`` can. The message is the reason."""


class Graph(torch.nn.Module):  # type: ignore[misc]
    """Runs a built Sequential or Functional model with one input and one output.

    Raises Unsupported where the model does more than its graph of layers says.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._calls: list[_Call] = []
        self.num_foreign = 0  # calls that have no twin
        self.is_random = False  # a call without a twin draws random numbers
        source = _only_tensor(model, "inputs")
        self._input_shape, self._input_type = source.shape, _torch_type(source.dtype)
        slots = {id(source): 0}
        self._num_slots = 1
        self._add_nodes(model, slots)
        self._output = slots[id(_only_tensor(model, "outputs"))]
        while self._join_neighbours():
            pass  # what became one may be one with the next
        self._round_pixels()
        self.num_layers = sum(_num_layers(call.twin) for call in self._calls)  # in one pass
        self._chain()
        self._twins = torch.nn.ModuleList(c.twin for c in self._calls if c.twin is not None)

    def forward(self, x: Tensor) -> Tensor:
        """Return the model's output, in training mode or not as `train` and `eval` have set."""
        values: list[Any] = [None] * self._num_slots
        values[0] = self._as_input(x)
        for call in self._calls:
            if call.twin is not None:
                values[call.outputs[0]] = call.twin(*(values[slot] for slot in call.inputs))
            else:
                results = call.run(values, self.training)
                for slot, result in zip(call.outputs, results, strict=True):
                    values[slot] = result
        return values[self._output]

    def _as_input(self, x: Tensor) -> Tensor:
        """Give `x` the type and the rank of the model's input, as Keras does."""
        rank = len(self._input_shape)
        if x.ndim == rank + 1 and x.shape[-1] == 1:
            x = x.squeeze(-1)
        elif x.ndim == rank - 1 and self._input_shape[-1] == 1:
            x = x.unsqueeze(-1)
        return x if x.dtype == torch.uint8 and self._takes_bytes else x.to(self._input_type)

    def _add_nodes(self, model: Any, slots: dict[int, int]) -> None:
        for node in nodes_in_order(model):
            inputs = [slots[id(tensor)] for tensor in node.input_tensors]
            outputs = []
            for tensor in node.outputs:
                slots[id(tensor)] = self._num_slots
                outputs.append(self._num_slots)
                self._num_slots += 1
            self._add_call(node, inputs, outputs)

    def _add_call(self, node: Any, inputs: list[int], outputs: list[int]) -> None:
        operation, twin = node.operation, None
        _refuse_unusual(operation)
        if _takes_only_tensors(node):
            nested = isinstance(operation, keras.Model)
            twin = Graph(graph_of(operation)) if nested else twin_of(operation)
        twin = twin or arithmetic_of(node)
        if twin is None:
            self.num_foreign += 1
            self.is_random |= any(True for _ in _seed_generators(operation))
        if isinstance(twin, Graph):
            self.num_foreign += twin.num_foreign
            self.is_random |= twin.is_random
        self._calls.append(_Call(node, twin, inputs, outputs))

    def _join_neighbours(self) -> bool:
        """Let a layer do the work of the one behind it, where that is the only one to read it.

        Returns whether any does.
        """
        num_calls = len(self._calls)
        for call, after in self._neighbours():
            twin = _joined(call.twin, after.twin, len(after.inputs))
            if twin is not None:
                others = [slot for slot in after.inputs if slot not in call.outputs]
                call.twin, call.inputs, call.outputs = twin, call.inputs + others, after.outputs
                self._calls.remove(call)
                self._calls[self._calls.index(after)] = call  # where all it reads is known
        return len(self._calls) < num_calls

    def _round_pixels(self) -> None:
        """Let pixels be rescaled from their bytes, and rounded, where convolutions would round."""
        readers = [call for call in self._calls if 0 in call.inputs]
        self._takes_bytes = all(isinstance(call.twin, Rescaling) for call in readers)
        for call, after in self._neighbours():
            if isinstance(call.twin, Rescaling):
                call.twin.is_rounded = isinstance(after.twin, Convolution | PooledConvolution)

    def _chain(self) -> None:
        """Make one twin of those in a row."""
        for call, after in self._neighbours():
            if len(call.inputs) == len(after.inputs) == 1 and after.twin is not None:
                rest = after.twin.twins if isinstance(after.twin, Chain) else [after.twin]
                call.twin, call.outputs = Chain([call.twin, *rest]), after.outputs
                self._calls.remove(after)

    def _neighbours(self) -> Iterator[tuple[_Call, _Call]]:
        """Yield, from the last on, each call with a twin and the only one that reads its output."""
        for call in reversed(self._calls.copy()):
            slot = call.outputs[0]
            readers = [other for other in self._calls for read in other.inputs if read == slot]
            if call.twin is not None and slot != self._output and len(readers) == 1:
                yield call, readers[0]


def _joined(
    first: torch.nn.Module, second: torch.nn.Module | None, num_inputs: int
) -> torch.nn.Module | None:
    """Return one twin for two in a row, or None where they stay two.

    A ReLU goes behind max pooling, on a quarter of the numbers. The largest entry of a window stays
    the largest, so the values and, since the ReLU passes all or nothing of a window's gradient, the
    gradients are the same.
    """
    if isinstance(second, Pointwise) and second.function is torch.relu:
        takes = isinstance(first, Convolution | BatchNormalization | Merging)
        if takes and first.activation is IDENTITY:
            first.activation = torch.relu
            return first
    if isinstance(first, Convolution) and isinstance(second, MaxPooling):
        if first.activation is torch.relu:
            first.activation, second.activation = IDENTITY, torch.relu
        return PooledConvolution(first, second)
    if isinstance(first, BatchNormalization) and first.activation is IDENTITY:
        if isinstance(second, Merging) and second.merge is total and num_inputs == _SUMMANDS:
            return ResidualNormalization(first, second)
    return None


def _num_layers(twin: torch.nn.Module | None) -> int:
    return twin.num_layers if isinstance(twin, Graph) else 1


class _Call:
    """One node of the graph: what to call, on the values of which slots, filling which."""

    def __init__(
        self, node: Any, twin: torch.nn.Module | None, inputs: list[int], outputs: list[int]
    ) -> None:
        self.twin, self.inputs, self.outputs = twin, inputs, outputs
        self._operation = node.operation
        self._fill = _template(node, inputs)
        self._has_training = getattr(node.operation, "_call_has_training_arg", False)

    def run(self, values: list[Any], training: bool) -> list[Any]:
        """Call the operation itself."""
        args, kwargs = self._fill(values)
        if self._has_training:
            kwargs = {**kwargs, "training": training}
        result = self._operation(*args, **kwargs)
        return list(keras.tree.flatten(result))


def graph_of(model: Any) -> Any:
    """Return the Functional model that `model` is, or that a Sequential model holds."""
    functional = functional_of(model)
    if functional is None:
        if isinstance(model, keras.Sequential) and type(model).call is keras.Sequential.call:
            raise Unsupported("the model is not built")
        raise Unsupported(f"{type(model).__name__} has a call of its own")
    return functional


def _only_tensor(model: Any, side: str) -> Any:
    tensors = getattr(model, side)
    if len(tensors) != 1:
        raise Unsupported(f"the model has {len(tensors)} {side}")
    return tensors[0]


def _takes_only_tensors(node: Any) -> bool:
    """Whether the node is a plain ``layer(x)`` or ``layer([x, y])``, with only defaults beside.

    What the user gave as `training` does not count: Keras, too, overrides it in ``fit``.
    """
    args, kwargs = node.arguments.args, node.arguments.kwargs
    given = args[0] if len(args) == 1 and isinstance(args[0], list | tuple) else args
    plain = [id(tensor) for tensor in given] == [id(tensor) for tensor in node.input_tensors]
    return plain and all(value is None for name, value in kwargs.items() if name != "training")


def _template(node: Any, slots: list[int]) -> Callable[[list[Any]], tuple[tuple[Any, ...], Any]]:
    """Return a function from the values so far to the arguments of the node's operation."""
    slot_of = {id(tensor): s for tensor, s in zip(node.input_tensors, slots, strict=True)}

    def filled(argument: Any, values: list[Any]) -> Any:
        if id(argument) in slot_of:
            return values[slot_of[id(argument)]]
        if isinstance(argument, list | tuple):
            return type(argument)(filled(entry, values) for entry in argument)
        if isinstance(argument, dict):
            return {name: filled(entry, values) for name, entry in argument.items()}
        return argument

    def fill(values: list[Any]) -> tuple[tuple[Any, ...], Any]:
        arguments = node.arguments
        return filled(tuple(arguments.args), values), filled(dict(arguments.kwargs), values)

    return fill


def _refuse_unusual(operation: Any) -> None:
    name = type(operation).__name__
    masks = isinstance(operation, keras.layers.Masking | keras.layers.RNN)
    if masks or getattr(operation, "mask_zero", False):
        raise Unsupported(f"{name} works with masks")
    if isinstance(operation, keras.layers.Layer) and operation.dtype_policy.name != "float32":
        raise Unsupported(f"{name} computes in {operation.dtype_policy.name}")
    for part in (operation, *_layers_in(operation)):
        _refuse_own_work(part)


def _refuse_own_work(part: Any) -> None:
    """Refuse an operation, or a layer that one wraps, that may do more than map tensors."""
    name = type(part).__name__
    if not type(part).__module__.startswith("keras."):
        raise Unsupported(f"{name} is a layer of your own")
    penalised = getattr(part, "activity_regularizer", None) is not None
    if penalised or isinstance(part, keras.layers.ActivityRegularization):
        raise Unsupported(f"{name} adds a loss of its own")


def _layers_in(operation: Any) -> list[Any]:
    """Return a layer and all that it wraps, however deep; nothing for a bare operation."""
    layers: list[Any] = []
    if isinstance(operation, keras.layers.Layer):
        layers = operation._flatten_layers()
    return layers


def _seed_generators(operation: Any) -> Iterator[Any]:
    for layer in _layers_in(operation):
        yield from getattr(layer, "_seed_generators", ())


def _torch_type(name: str) -> Any:
    return getattr(torch, name)
