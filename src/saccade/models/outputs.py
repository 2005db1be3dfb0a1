"""What a model's last layer gives, and how to turn it into logits: one column a class.

The rest of Saccade (calibration, bundle, figures) speaks logits only. Log-probabilities serve as
logits, since softmax gives the probabilities back.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from saccade.models.backend import load_keras

OutputKind = Literal["logits", "softmax", "sigmoid"]

# The smallest probability told apart from 0: float32 rounds 1 - p to 1 below it.
SMALLEST: Final = 1e-7
# Layers that predict from probabilities probabilities, and from logits logits: what moves numbers,
# takes the mean of places, or does something in training only.
_KEEPING: Final = ("AlphaDropout", "Dropout", "Flatten", "GaussianDropout", "GaussianNoise")
_KEEPING_FAMILIES: Final = ("GlobalAveragePooling", "Identity", "Reshape", "SpatialDropout")


def output_kind(model: Any) -> OutputKind:
    """Return what a Keras model's output is: ``"logits"``, ``"softmax"`` or ``"sigmoid"``."""
    outputs = getattr(model, "outputs", None)
    if not outputs:  # a subclassed model shows no graph; logits is what its author would export
        return "logits"
    operation = _deciding(outputs[0])
    if isinstance(operation, load_keras().Model):  # a whole model used as the last layer
        return output_kind(operation)
    if type(operation).__name__ == "Softmax":
        return "softmax"
    name = getattr(getattr(operation, "activation", None), "__name__", "")
    if name == "softmax":
        return "softmax"
    return "sigmoid" if name == "sigmoid" else "logits"


def _deciding(tensor: Any) -> Any:
    """Return the operation that made a tensor's numbers, before others that leave their kind."""
    operation, index, _ = tensor._keras_history
    name = type(operation).__name__
    linear = name == "Activation" and operation.activation.__name__ == "linear"
    if not (linear or name in _KEEPING or name.startswith(_KEEPING_FAMILIES)):
        return operation
    return _deciding(operation._inbound_nodes[index].input_tensors[0])


def to_logits(outputs: npt.NDArray[Any], kind: OutputKind) -> npt.NDArray[np.float32]:
    """Return (N, C) logits for a model's outputs; one column becomes the two classes (0, z).

    `outputs` is (N, C), or (N, 1) where one number tells the second class from the first.
    """
    values = np.asarray(outputs, dtype=np.float32)
    if kind == "softmax":
        return np.log(np.clip(values, SMALLEST, 1.0))
    if kind == "sigmoid":
        inside = np.clip(values, SMALLEST, 1 - SMALLEST)
        values = np.log(inside) - np.log1p(-inside)
    if values.shape[1] > 1:
        return values
    return np.concatenate([np.zeros_like(values), values], axis=1)
