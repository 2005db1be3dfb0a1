"""The graph of layers inside a Keras model, as Keras keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from saccade.models.backend import load_keras


def functional_of(model: Any) -> Any | None:
    """Return the Functional model that `model` is, or that a built Sequential model holds.

    None where there is no such graph: the model has a call of its own, or is not built.
    """
    sequential, functional = _classes()
    if isinstance(model, sequential):
        plain = type(model).call is sequential.call and model.built
        return model._functional if plain else None
    plain = isinstance(model, functional) and type(model).call is functional.call
    return model if plain else None


@cache
def _classes() -> tuple[Any, Any]:
    """Return Sequential, and what ``keras.Model(inputs, outputs)`` makes, which has no name."""
    keras = load_keras()
    inputs = keras.Input((1,))
    return keras.Sequential, type(keras.Model(inputs, inputs))


def nodes_in_order(functional: Any) -> Iterator[Any]:
    """Yield the calls of layers, each after those whose results it takes; inputs are left out."""
    by_depth = functional._nodes_by_depth
    for depth in sorted(by_depth, reverse=True):
        yield from (node for node in by_depth[depth] if node.operation and not node.is_input)
