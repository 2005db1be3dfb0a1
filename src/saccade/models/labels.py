"""What the last layer must be for the labels: one class a picture, or an output for each label."""

from __future__ import annotations

from typing import Any, Final

from saccade.errors import SettingsError
from saccade.models.backend import load_keras
from saccade.models.losses import label_form, loss_name, the_loss
from saccade.models.outputs import output_kind

_LOSSES: Final = ("binary_crossentropy", "binary_focal_crossentropy")
_OVER_CLASSES: Final = (
    *("categorical_crossentropy", "categorical_focal_crossentropy"),
    "sparse_categorical_crossentropy",
)


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
    said = loss_name(the_loss(model, name)) if model.compiled else _LOSSES[0]
    if said not in _LOSSES:
        raise SettingsError(
            f"{name} is compiled with the loss {said!r}; --multi-label needs binary_crossentropy, "
            "over each label by itself"
        )


def check_class_outputs(model: Any, name: str, *, num_classes: int) -> None:
    """Raise SettingsError where a user's model cannot be trained on one class a picture.

    Its outputs are as many as classes, or one for two of them.
    """
    width = model.output_shape[-1]
    if width == 1 and output_kind(model) == "softmax":
        raise SettingsError(
            f"{name} ends in a softmax of one number, which is 1 for every picture; end in "
            f'Dense(1, activation="sigmoid"), or in Dense({num_classes}, activation="softmax") '
            "with sparse_categorical_crossentropy"
        )
    if not model.compiled:
        return
    loss = the_loss(model, name)
    said = loss_name(loss)
    if width > 1 and said in _LOSSES:
        raise SettingsError(
            f"{name} is compiled with {said} over {width} outputs, which asks yes or "
            "no of each, and a picture has one class; end in a softmax and use "
            "sparse_categorical_crossentropy"
        )
    if width == 1 and said in _OVER_CLASSES:
        raise SettingsError(
            f"{name} is compiled with {said} over one output, which is 0 for every picture; use "
            f'binary_crossentropy, or end in Dense({num_classes}, activation="softmax")'
        )
    try:
        label_form(loss, num_outputs=width)
    except SettingsError as error:
        raise SettingsError(f"{name} cannot be trained: {error}") from error
