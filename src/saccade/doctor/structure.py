"""Rules on the graph of layers alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from saccade.doctor.case import Case
from saccade.doctor.network import Network, Step
from saccade.finding import Finding

# VGG16 flattens to 25,088 and the tutorials' networks to 78,400 at most (three blocks at 300 px).
_MANY_INPUTS: Final = 100_000
# What else scales, adds or hands on, once statistics are settled.
_LINEAR: Final = frozenset(
    "InputLayer BatchNormalization Normalization Rescaling Add Average Concatenate".split()
)
_BY_FAR_MOST: Final = 0.9  # of all weights; VGG16's first dense layer has 74 %


def flatten_explosion(case: Case) -> Iterator[Finding]:
    """A large map laid out flat before a dense layer, which then holds nearly all weights."""
    for network, step in _steps(case):
        if step.kind != "Dense" or not step.layer.built:
            continue
        flatten = next((s for s in _shaping_before(network, step) if s.kind == "Flatten"), None)
        inputs, weights = step.layer.kernel.shape[0], step.layer.count_params()
        if flatten is None or inputs < _MANY_INPUTS or weights < _BY_FAR_MOST * network.num_weights:
            continue
        yield Finding(
            name="flatten-explosion",
            severity="warning",
            where=flatten.name,
            message=f"{flatten.name!r} hands {inputs:,} numbers to {step.name!r}, which so has "
            f"{weights:,} of the network's {network.num_weights:,} weights: slow, large, and able "
            "to learn the pictures by heart.",
            cure=f"keras.layers.GlobalAveragePooling2D(),  # in place of {flatten.name!r}",
        )


def no_non_linearity(case: Case) -> Iterator[Finding]:
    """Two layers in a row without an activation between: together they are no more than one.

    Left alone is what is meant so: bottlenecks, which are narrower than both sides; separable and
    factorised convolutions; frozen layers; and what lies before a normalization or a sum, unless
    the whole network holds nothing that is not linear.
    """
    if case.network is not None and (several := _all_linear(case.network)):
        yield Finding(
            name="no-non-linearity",
            severity="warning",
            where=several[0].name,
            message=f"Nothing in the network is non-linear: its {len(several)} layers with weights "
            "can do no more than one; each but the last wants an activation.",
            cure=f"keras.layers.ReLU(),  # behind {several[0].name!r}",
        )
        return
    for network, step in _steps(case):
        if not _may_be_joined(step):
            continue
        first = next((s for s in network.back(step) if not s.is_shaping), None)
        if first is None or not _may_be_joined(first) or first.activation != "linear":
            continue
        width, given, made = (_channels(s) for s in (first, network.before(first), step))
        if width is None or given is None or made is None or width < min(given, made):
            continue
        if not first.layer.trainable:
            continue
        yield Finding(
            name="no-non-linearity",
            severity="warning",
            where=first.name,
            message=f"{first.name!r} has no activation, and {step.name!r} follows with nothing "
            "non-linear between: two linear layers in a row can do no more than one.",
            cure=f"keras.layers.ReLU(),  # behind {first.name!r}",
        )


def _all_linear(network: Network) -> list[Step]:
    """Return the layers with weights where several, normalized, are linear up to the last."""
    weighted = [step for step in network.steps if step.is_weighted]
    normalized = any(step.kind in _LINEAR and step.is_normalizing for step in network.steps)
    if len(weighted) < 2 or not normalized:
        return []
    before = network.steps[: weighted[-1].index]
    linear = all(
        step.is_shaping
        or step.kind in _LINEAR
        or (step.is_weighted and step.activation == "linear")
        for step in before
    )
    return weighted if linear and any(step.layer.trainable for step in weighted[:-1]) else []


def _steps(case: Case) -> Iterator[tuple[Network, Step]]:
    """Yield each layer's step beside the network; nothing where the graph cannot be seen."""
    if case.network is not None:
        for step in case.network.steps:
            yield case.network, step


def _shaping_before(network: Network, step: Step) -> Iterator[Step]:
    for before in network.back(step):
        if not before.is_shaping:
            return
        yield before


def _may_be_joined(step: Step) -> bool:
    """Whether it is a dense layer or a plain convolution, as wide as it is high."""
    if not step.is_weighted or getattr(step.layer, "groups", 1) != 1:
        return False
    return len(set(getattr(step.layer, "kernel_size", (1,)))) == 1


def _channels(step: Step | None) -> int | None:
    return step.shape[-1] if step is not None and step.shape else None
