"""The loss that a model was compiled with, as Keras reads it, and the labels that it takes.

A name, a function, a list or a dictionary of one are all a loss to Keras. No loss says whether it
takes class numbers or one-hot rows, and a function of the user's may take either: it is tried.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from saccade.errors import SettingsError
from saccade.models.backend import load_keras

LabelForm = Literal["numbers", "one-hot"]


def compiled_losses(model: Any) -> list[tuple[Any, float]]:
    """Return each `keras.losses.Loss` that a model with one output was compiled with, its weight.

    Raises what Keras raises where training starts, of several kinds, for what it cannot read.
    """
    compiled = model._compile_loss
    if compiled is None:
        return []
    if not compiled.built:
        compiled.build(load_keras().KerasTensor((None, 1), "int32"), model.outputs[0])
    weighted = [(each.loss, each.loss_weights) for each in compiled._flat_losses]
    return [(loss, 1.0 if weight is None else float(weight)) for loss, weight in weighted]


def the_loss(model: Any, name: str) -> Any:
    """Return the one loss of a user's compiled model, called `name`; SettingsError without one."""
    try:
        losses = [loss for loss, _ in compiled_losses(model)]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        said = (str(error).strip() or repr(error)).splitlines()[0]
        if isinstance(error, TypeError) and isinstance(model.loss, dict):
            said = "a Sequential model's output has no name, by which a dictionary would go"
        raise SettingsError(
            f"{name} is compiled with a loss that Keras does not take ({said}); give one, such as "
            "sparse_categorical_crossentropy"
        ) from error
    if len(losses) == 1:
        return losses[0]
    has = f"{len(losses)} losses for its one output" if losses else "no loss"
    raise SettingsError(
        f"{name} is compiled with {has}; give one, such as sparse_categorical_crossentropy, or do "
        "not compile it, and Saccade takes its own"
    )


def loss_name(loss: Any) -> str:
    """Return what Keras calls the function of a loss, whatever the user called the loss."""
    return str(getattr(getattr(loss, "fn", None), "__name__", loss.name))


def label_form(loss: Any, *, num_outputs: int) -> LabelForm:
    """Return the form of labels that a loss takes for so many outputs.

    Class numbers are (N,), or, for one output, 0 and 1 as (N, 1); one-hot rows are (N, outputs).
    Raises SettingsError where the loss takes neither, or gives more than one number.
    """
    if loss.reduction in (None, "none"):
        raise SettingsError(
            f"the loss {loss_name(loss)!r} has reduction=None, a number a picture, and training "
            'needs one number; leave it out, or use "sum_over_batch_size"'
        )
    rows = num_outputs + 1  # so that numbers are never taken for rows, or stretched to them
    numbers = np.arange(rows) % max(num_outputs, 2)
    if num_outputs == 1:
        return _first_taken(loss, {"numbers": np.float32(numbers[:, None])}, num_outputs)
    one_hot = np.eye(num_outputs, dtype=np.float32)[numbers]
    return _first_taken(loss, {"numbers": numbers, "one-hot": one_hot}, num_outputs)


def takes_one_hot(model: Any) -> bool:
    """Return whether a compiled model's loss takes one-hot labels; SettingsError without a loss."""
    num_outputs = int(model.outputs[0].shape[-1])
    return label_form(the_loss(model, model.name), num_outputs=num_outputs) == "one-hot"


def _first_taken(loss: Any, labels: dict[LabelForm, Any], num_outputs: int) -> LabelForm:
    keras = load_keras()
    why = "it does not give one number"
    for form, y in labels.items():
        outputs = np.full((len(y), num_outputs), 1 / num_outputs, dtype=np.float32)
        try:
            # On a graphics card a class that no output stands for would end all work there.
            with keras.device("cpu"):
                value = loss(keras.ops.convert_to_tensor(y), keras.ops.convert_to_tensor(outputs))
        except Exception as error:  # noqa: BLE001  (any function may refuse labels in any way)
            why = (str(error).strip() or repr(error)).splitlines()[0][:200]
            continue
        if tuple(value.shape) == ():
            return form
    wanted = "class numbers or one-hot rows" if num_outputs > 1 else "labels of 0 and 1"
    raise SettingsError(
        f"the loss {loss_name(loss)!r} does not take {wanted} for {num_outputs} "
        f"{'outputs' if num_outputs > 1 else 'output'} ({why}); use "
        f"{'sparse_categorical_crossentropy' if num_outputs > 1 else 'binary_crossentropy'}"
    )
