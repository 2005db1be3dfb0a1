"""Cures as lines of code: a layer with another activation, or one that is left out."""

from __future__ import annotations

from saccade.doctor.network import Step


def with_activation(step: Step, activation: str, *, width: int | None = None) -> str:
    """Return the line that gives a step's layer another activation; `width` is a dense layer's."""
    if step.kind == "Dense":
        layer = f'Dense({step.shape[-1] if width is None else width}, activation="{activation}")'
    elif step.is_weighted:  # has more settings than a line should repeat
        return f"model.get_layer({step.name!r}).activation = keras.activations.{activation}"
    elif activation == "linear":
        return left_out(step)
    else:
        layer = f'Activation("{activation}")'
    return f"keras.layers.{layer},  # in place of {step.name!r}"


def left_out(step: Step) -> str:
    """Return the line that puts nothing in a layer's place."""
    return f"keras.layers.Identity(),  # in place of {step.name!r}"
