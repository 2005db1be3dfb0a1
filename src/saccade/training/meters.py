"""Counts a compiled model's loss and metrics over an epoch, into Keras's own metric objects.

Accuracies are counted here in a few PyTorch calls a batch; every other metric is Keras's object,
called as Keras calls it. Either way the result is read from the model, so names, order and meaning
are Keras's.

Counting a batch takes PyTorch as long as a small layer, so batches wait, and are counted together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch

from saccade.models.backend import load_keras
from saccade.training.device import on_device
from saccade.training.graph import Unsupported
from saccade.training.losses import aligned

keras = load_keras()
Tensor = Any  # torch has no type information here
Matches = Callable[[Tensor, Tensor], Tensor]  # (labels, outputs) -> 1 where right, per sample

_MOST_WAITING: Final = 1 << 16  # outputs, all batches together


class Meters:
    """The loss and the metrics of one pass over a data set.

    Sums are kept where the outputs are, and nothing waits for them until `result`.
    Raises Unsupported where metrics are weighted by sample.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        compiled = model._compile_metrics
        metrics = [] if compiled is None else list(compiled.metrics)
        if compiled is not None and any(compiled._flat_weighted_metrics):
            raise Unsupported("weighted_metrics are given")
        counted = {id(metric): _matches_of(metric) for metric in metrics}
        self._counters = [
            _Counter(metric, matches) for metric in metrics if (matches := counted[id(metric)])
        ]
        self._foreign = [metric for metric in metrics if counted[id(metric)] is None]
        self.native = not self._foreign
        self._begin()

    def reset(self) -> None:
        """Begin a pass."""
        self._model.reset_metrics()
        self._begin()
        for counter in self._counters:
            counter.reset()

    def _begin(self) -> None:
        self._loss: Tensor = 0.0
        self._num_samples = 0
        self._waiting: list[tuple[Tensor, Tensor, Tensor]] = []
        self._num_waiting = 0

    def update(self, loss: Tensor, y: Tensor, outputs: Tensor) -> None:
        """Count one batch: its loss, its labels as the user gave them, its outputs."""
        self._waiting.append((loss, y, outputs))
        self._num_waiting += outputs.numel()
        if self._num_waiting > _MOST_WAITING:
            self._count()
        for metric in self._foreign:
            metric.update_state(y, outputs)

    def _count(self) -> None:
        """Count the batches that wait."""
        if not self._waiting:
            return
        losses, labels, outputs = zip(*self._waiting, strict=True)
        sizes = [len(batch) for batch in outputs]
        device = losses[0].device
        weights = on_device(torch.tensor(sizes, dtype=_sum_type(device)), device)
        self._loss = self._loss + (torch.stack(losses).to(weights.dtype) * weights).sum()
        self._num_samples += sum(sizes)
        for counter in self._counters:
            counter.update(torch.cat(labels), torch.cat(outputs))
        self._waiting, self._num_waiting = [], 0

    def result(self) -> dict[str, float]:
        """Return every figure of the pass so far, named as Keras names it."""
        self._count()
        tracker = self._model._loss_tracker
        tracker.total.assign(self._loss)
        tracker.count.assign(self._num_samples)
        for counter in self._counters:
            counter.write()
        return {name: float(value) for name, value in self._model.get_metrics_result().items()}


class _Counter:
    def __init__(self, metric: Any, matches: Matches) -> None:
        self._metric, self._matches = metric, matches
        self.reset()

    def reset(self) -> None:
        self._total: Tensor = 0.0
        self._count = 0

    def update(self, y: Tensor, outputs: Tensor) -> None:
        right = self._matches(y, outputs)
        self._total = self._total + right.sum(dtype=_sum_type(right.device))
        self._count += right.numel()

    def write(self) -> None:
        self._metric.total.assign(self._total)
        self._metric.count.assign(self._count)


def _sum_type(device: Any) -> Any:
    """Return the type in which sums are kept: float64, which Apple's cards do not have."""
    return torch.float32 if device.type == "mps" else torch.float64


def _matches_of(metric: Any) -> Matches | None:
    kind = type(metric)
    if kind is keras.metrics.SparseCategoricalAccuracy:
        return _sparse_matches
    if kind is keras.metrics.CategoricalAccuracy:
        return _categorical_matches
    if kind is keras.metrics.BinaryAccuracy:
        return _binary_matches(metric._fn_kwargs["threshold"])
    return None


def _sparse_matches(y: Tensor, outputs: Tensor) -> Tensor:
    return outputs.argmax(dim=-1) == y.to(outputs.dtype).reshape(outputs.shape[:-1])


def _categorical_matches(y: Tensor, outputs: Tensor) -> Tensor:
    return outputs.argmax(dim=-1) == y.to(outputs.dtype).argmax(dim=-1)


def _binary_matches(threshold: float) -> Matches:
    """A label is matched where it is 0 or 1 itself: one in between never is, as Keras has it."""

    def matches(y: Tensor, outputs: Tensor) -> Tensor:
        return (outputs > threshold).to(outputs.dtype) == aligned(y.to(outputs.dtype), outputs)

    return matches
