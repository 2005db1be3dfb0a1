"""Keras's losses as PyTorch functions: the same numbers, in a form that compiles.

The common losses are written out here, to the formula of Keras on PyTorch, clipping included; every
other loss is the Keras object itself, called as Keras calls it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from saccade.models.backend import load_keras
from saccade.models.losses import compiled_losses
from saccade.training.graph import Unsupported

keras = load_keras()
Tensor = Any  # torch has no type information here
Values = Callable[[Tensor, Tensor], Tensor]  # (labels, outputs) (N, C) -> (N,)


class Loss:
    """A loss as a function: (labels, outputs, sample weights or None) -> one number.

    `native` says that it is written in PyTorch here, and so compiles; `is_mean` that it is known to
    be a mean over the samples, so that batches of any size give a data set the same loss.
    """

    def __init__(self, loss: Any, *, output_rank: int) -> None:
        self._loss, self._weight = loss, 1.0
        self._values = _native(loss) if output_rank == 2 else None
        self.native = self._values is not None
        self.is_mean = self.native and loss.reduction != "sum"
        self.takes_classes = self.native and _function(loss) is _SPARSE  # labels are class numbers
        self.of_classes = _function(loss) in _CROSS_ENTROPIES

    @classmethod
    def of_compiled(cls, model: Any) -> Loss:
        """Return the loss that a model was compiled with."""
        losses = compiled_losses(model)
        if not losses:
            raise Unsupported("the model is compiled without a loss")
        if len(losses) != 1:
            raise Unsupported(f"the model has {len(losses)} losses")
        compiled, weight = losses[0]
        loss = cls(compiled, output_rank=len(model.outputs[0].shape))
        loss._weight = weight
        return loss

    def labels(self, y: Tensor) -> Tensor:
        """Give labels the type in which the loss is computed: once a data set, not once a step."""
        return y.long() if self.takes_classes else y.float()

    def __call__(self, y: Tensor, outputs: Tensor, sample_weight: Tensor | None) -> Tensor:
        """Return the batch's loss: the sum of weighted losses over the number of samples."""
        outputs = outputs.float()
        labels = y if self.takes_classes else aligned(y, outputs)
        fits = self.takes_classes or labels.shape == outputs.shape  # Keras may stretch, or refuse
        if self._values is None or not fits:
            kept = None if sample_weight is None else sample_weight.clone()
            value = self._loss(y, outputs, kept)  # Keras masks the weights in place
        else:
            values = self._values(labels, outputs)
            if sample_weight is not None:
                values = values * sample_weight.reshape(values.shape)
            value = values.sum() if self._loss.reduction == "sum" else values.mean()
        return value if self._weight == 1.0 else value * self._weight


class Penalty:
    """The regularisation loss of one variable; `native` where it is written in PyTorch here."""

    def __init__(self, variable: Any) -> None:
        regularizer = variable.regularizer
        self._value, self._regularizer = variable.value, regularizer
        self.native = type(regularizer) in _REGULARIZERS
        self._l1 = float(getattr(regularizer, "l1", 0.0))
        self._l2 = float(getattr(regularizer, "l2", 0.0))

    def __call__(self) -> Tensor:
        """Return the loss."""
        if not self.native:
            return self._regularizer(self._value)
        return self._l1 * self._value.abs().sum() + self._l2 * self._value.square().sum()


def aligned(y: Tensor, outputs: Tensor) -> Tensor:
    """Return labels with the rank of the outputs, by a last axis of 1 where Keras has one so.

    Shapes that still differ are stretched to each other, or do not fit.
    """
    if y.ndim == outputs.ndim + 1 and y.shape[-1] == 1:
        return y.squeeze(-1)
    if y.ndim == outputs.ndim - 1 and outputs.shape[-1] == 1:
        return y.unsqueeze(-1)
    return y


def as_keras_loss(loss: Any) -> Any:
    """Return a Keras loss object for a name, a function or a loss."""
    loss = keras.losses.get(loss)
    if isinstance(loss, keras.losses.Loss):
        return loss
    return _WRAPPER(loss, name=loss.__name__)


_REGULARIZERS = (keras.regularizers.L1, keras.regularizers.L2, keras.regularizers.L1L2)
_WRAPPER = keras.losses.MeanSquaredError.__mro__[1]  # LossFunctionWrapper
_SPARSE = keras.losses.sparse_categorical_crossentropy
_CROSS_ENTROPIES = (
    _SPARSE,
    keras.losses.categorical_crossentropy,
    keras.losses.binary_crossentropy,
)


def _function(loss: Any) -> Any:
    return loss.fn if isinstance(loss, _WRAPPER) else None


def _native(loss: Any) -> Values | None:
    build = _BUILDERS.get(_function(loss))
    plain = loss.reduction in ("sum_over_batch_size", "sum", "mean") and loss.dtype == "float32"
    return build(**loss._fn_kwargs) if build is not None and plain else None


def _sparse_crossentropy(
    from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> Values | None:
    if ignore_class is not None or axis not in (-1, 1):
        return None

    def values(y: Tensor, outputs: Tensor) -> Tensor:
        if from_logits:
            return F.cross_entropy(outputs, y.reshape(-1), reduction="none")
        return F.nll_loss(_log_probabilities(outputs, False), y.reshape(-1), reduction="none")

    return values


def _crossentropy(
    from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Values | None:
    if axis not in (-1, 1):
        return None

    def values(y: Tensor, outputs: Tensor) -> Tensor:
        if label_smoothing:
            y = y * (1.0 - label_smoothing) + label_smoothing / outputs.shape[-1]
        return -(y * _log_probabilities(outputs, from_logits)).sum(dim=-1)

    return values


def _log_probabilities(outputs: Tensor, from_logits: bool) -> Tensor:
    if from_logits:
        return torch.log_softmax(outputs, dim=-1)
    shares = outputs / outputs.sum(dim=-1, keepdim=True)
    return torch.log(_clip(shares))


def _clip(probabilities: Tensor) -> Tensor:
    epsilon = keras.config.epsilon()
    return torch.clip(probabilities, epsilon, 1.0 - epsilon)


def _binary_crossentropy(
    from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Values | None:
    if axis not in (-1, 1):
        return None

    def values(y: Tensor, outputs: Tensor) -> Tensor:
        if label_smoothing:
            y = y * (1.0 - label_smoothing) + 0.5 * label_smoothing
        if from_logits:
            return F.binary_cross_entropy_with_logits(outputs, y, reduction="none").mean(dim=-1)
        return F.binary_cross_entropy(_clip(outputs), y, reduction="none").mean(dim=-1)

    return values


def _squared_error() -> Values:
    return lambda y, outputs: torch.square(outputs - y).mean(dim=-1)


def _absolute_error() -> Values:
    return lambda y, outputs: torch.abs(outputs - y).mean(dim=-1)


def _huber(delta: float = 1.0) -> Values:
    return lambda y, outputs: F.huber_loss(outputs, y, reduction="none", delta=delta).mean(dim=-1)


_BUILDERS: dict[Any, Callable[..., Values | None]] = {
    _SPARSE: _sparse_crossentropy,
    keras.losses.categorical_crossentropy: _crossentropy,
    keras.losses.binary_crossentropy: _binary_crossentropy,
    keras.losses.mean_squared_error: _squared_error,
    keras.losses.mean_absolute_error: _absolute_error,
    keras.losses.huber: _huber,
}
