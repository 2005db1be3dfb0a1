"""A network's table of layers, as a reader of its report sees it."""

from __future__ import annotations

from typing import Any


def describe_layers(model: Any) -> tuple[dict[str, Any], ...]:
    """Return each layer's ``name``, ``kind``, ``output_shape`` and ``num_parameters``, in order.

    A shape leaves out the batch and is None where a layer has none to tell.
    """
    return tuple(
        {
            "name": layer.name,
            "kind": type(layer).__name__,
            "output_shape": _shape(layer),
            "num_parameters": int(layer.count_params()) if layer.built else 0,
        }
        for layer in model.layers
    )


def _shape(layer: Any) -> list[int | None] | None:
    output = getattr(layer, "output", None)
    shape = getattr(output, "shape", None)
    return None if shape is None else [None if side is None else int(side) for side in shape[1:]]
