"""A Keras model as a list of calls, those inside nested models included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from saccade.models.functional import functional_of, nodes_in_order

# What moves, repeats, leaves out or averages numbers: linear, and no weights.
_SHAPING: Final = frozenset(
    "Flatten Reshape Permute Identity ActivityRegularization RepeatVector".split()
)
# What changes numbers by chance, and only in training: by how much, each says by one of these.
_NOISE: Final = ("Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise", "SpatialDropout")
_STRENGTHS: Final = ("rate", "stddev")
_SHAPING_FAMILIES: Final = (
    *("ZeroPadding", "Cropping", "UpSampling"),
    *("AveragePooling", "GlobalAveragePooling", "AdaptiveAveragePooling"),
)
_CONVOLUTIONS: Final = frozenset(
    f"Conv{rank}D{transposed}" for rank in (1, 2, 3) for transposed in ("", "Transpose")
)
# Layers and operations that are an activation and nothing else.
_FUNCTIONS: Final = {
    "ELU": "elu",
    "LeakyReLU": "leaky_relu",
    "PReLU": "prelu",
    "ReLU": "relu",
    "Elu": "elu",
    "Gelu": "gelu",
    "LeakyRelu": "leaky_relu",
    "Relu": "relu",
    "Relu6": "relu6",
    "Selu": "selu",
    "Silu": "silu",
    "Sigmoid": "sigmoid",
    "Softmax": "softmax",
    "Tanh": "tanh",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """One call of a layer or an operation. Shapes leave out the batch; None is any size."""

    index: int
    layer: Any
    sources: tuple[int, ...]  # the steps whose results it takes
    shape: tuple[int | None, ...]  # of its (first) result
    numbers: tuple[Any, ...] = ()  # its other arguments, as the 255 of ``x / 255``

    @property
    def kind(self) -> str:
        """The class of the layer, such as ``"Conv2D"``."""
        return type(self.layer).__name__

    @property
    def name(self) -> str:
        """The layer's name in the model."""
        return str(self.layer.name)

    @property
    def is_weighted(self) -> bool:
        """Whether it is a dense layer or a convolution that mixes all channels."""
        return self.kind == "Dense" or self.kind in _CONVOLUTIONS

    @property
    def is_function(self) -> bool:
        """Whether it is an activation and nothing else."""
        return self.kind == "Activation" or self.kind in _FUNCTIONS

    @property
    def is_shaping(self) -> bool:
        """Whether it only moves or averages what it is given."""
        if self.kind == "Activation":
            return self.activation == "linear"
        return self.kind in _SHAPING or self.kind.startswith((*_SHAPING_FAMILIES, *_NOISE))

    @property
    def is_noise(self) -> bool:
        """Whether it changes what it is given by chance while the network trains."""
        strengths = (getattr(self.layer, name, 0) for name in _STRENGTHS)
        return self.kind.startswith(_NOISE) and any(strengths)

    @property
    def is_normalizing(self) -> bool:
        """Whether it brings its input to one scale, by whatever statistics."""
        return self.kind.endswith("Normalization")

    @property
    def activation(self) -> str | None:
        """The name of the function that ends it: ``"linear"``, ``"softmax"``; None if unknown."""
        if self.kind == "ReLU" and self.layer.negative_slope:
            return "leaky_relu"
        if self.kind in _FUNCTIONS:
            return _FUNCTIONS[self.kind]
        function = getattr(self.layer, "activation", None)
        return getattr(function, "__name__", None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Network:
    """All calls of a model in order; the inputs come first."""

    steps: tuple[Step, ...]
    inputs: tuple[Step, ...]
    outputs: tuple[Step, ...]
    readers: tuple[tuple[int, ...], ...]  # for each step, those that take its result
    num_weights: int

    @property
    def output(self) -> Step | None:
        """The one output; None where there are several."""
        return self.outputs[0] if len(self.outputs) == 1 else None

    @property
    def deciding(self) -> Step | None:
        """The step whose activation the output has: behind it, numbers are only moved about."""
        step = self.output
        while step is not None and step.is_shaping:
            step = self.before(step)
        return step

    def before(self, step: Step) -> Step | None:
        """Return the step whose result this one takes; None where it takes none or several."""
        return self.steps[step.sources[0]] if len(step.sources) == 1 else None

    def after(self, step: Step) -> Step | None:
        """Return the only step that takes this one's result; None where none or several do."""
        readers = self.readers[step.index]
        return self.steps[readers[0]] if len(readers) == 1 else None

    def back(self, step: Step) -> Iterator[Step]:
        """Yield what lies before `step` on a path without branches, the nearest first."""
        previous = self.before(step)
        while previous is not None and self.after(previous) is not None:
            yield previous
            previous = self.before(previous)


def network_of(model: Any) -> Network | None:
    """Return a model's calls; None where it has a call of its own or is not built."""
    functional = functional_of(model)
    if functional is None:
        return None
    steps: list[Step] = []
    slots: dict[int, int] = {}
    for tensor in functional.inputs:
        slots[id(tensor)] = len(steps)
        layer = tensor._keras_history.operation
        steps.append(Step(index=len(steps), layer=layer, sources=(), shape=tensor.shape[1:]))
    num_inputs = len(steps)
    _add_calls(functional, steps, slots)
    readers: list[tuple[int, ...]] = [()] * len(steps)
    for step in steps:
        for source in step.sources:
            readers[source] += (step.index,)
    return Network(
        steps=tuple(steps),
        inputs=tuple(steps[:num_inputs]),
        outputs=tuple(steps[slots[id(tensor)]] for tensor in functional.outputs),
        readers=tuple(readers),
        num_weights=model.count_params(),
    )


def _add_calls(functional: Any, steps: list[Step], slots: dict[int, int]) -> None:
    """Append the calls of `functional`; `slots` says which step made which tensor."""
    for node in nodes_in_order(functional):
        sources = tuple(dict.fromkeys(slots[id(tensor)] for tensor in node.input_tensors))
        inner = functional_of(node.operation)
        if inner is not None and len(inner.inputs) == len(node.input_tensors):
            within = {
                id(tensor): slots[id(given)]
                for tensor, given in zip(inner.inputs, node.input_tensors, strict=True)
            }
            _add_calls(inner, steps, within)
            made = [within[id(tensor)] for tensor in inner.outputs]
            slots.update(zip(map(id, node.outputs), made, strict=True))
            continue
        slots.update((id(tensor), len(steps)) for tensor in node.outputs)
        given = (*node.arguments.args, *node.arguments.kwargs.values())
        steps.append(
            Step(
                index=len(steps),
                layer=node.operation,
                sources=sources,
                shape=tuple(node.outputs[0].shape[1:]),
                numbers=tuple(value for value in given if isinstance(value, int | float)),
            )
        )
