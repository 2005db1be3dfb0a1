"""Models for pictures with several labels: one output a label, none of which knows the others."""

from __future__ import annotations

from typing import Any, Final

from saccade.errors import SettingsError
from saccade.models.backend import load_keras
from saccade.models.outputs import output_kind

_LOSSES: Final = ("binary_crossentropy", "binary_focal_crossentropy")


def with_label_outputs(model: Any) -> Any:
    """Return a tutorial's network with logits, one a label, and the loss for them, compiled anew.

    Its last layer's softmax, by which the outputs sum to 1, is taken away; the optimizer stays.
    """
    keras = load_keras()
    model.layers[-1].activation = keras.activations.linear
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(optimizer=model.optimizer, loss=loss)
    return model


def check_label_outputs(model: Any, name: str, *, num_labels: int) -> None:
    """Raise SettingsError unless a user's model has an output a label, and a loss for each."""
    width = model.output_shape[-1]
    if width != num_labels:
        raise SettingsError(
            f"{name} has {width} {'output' if width == 1 else 'outputs'}, and the data "
            f"{num_labels} labels; --multi-label needs one output a label"
        )
    if output_kind(model) == "softmax":
        raise SettingsError(
            f"{name} ends in a softmax, whose outputs sum to 1: fit for one class a picture; for "
            "--multi-label end in a sigmoid, or in no activation"
        )
    loss = model.loss if model.compiled else _LOSSES[0]
    said = loss if isinstance(loss, str) else getattr(loss, "name", getattr(loss, "__name__", ""))
    if said not in _LOSSES:
        raise SettingsError(
            f"{name} is compiled with the loss {said!r}; --multi-label needs binary_crossentropy, "
            "over each label by itself"
        )
