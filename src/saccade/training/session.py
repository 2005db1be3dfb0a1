"""One call of `saccade.fit`: what Keras's ``fit`` does between the batches."""

from __future__ import annotations

import time
from collections.abc import Mapping
from numbers import Integral
from typing import Any

from saccade.errors import SettingsError
from saccade.models.backend import load_keras
from saccade.models.functional import functional_of, nodes_in_order
from saccade.training.compiler import kernels_missing
from saccade.training.denormals import denormals_flushed
from saccade.training.device import on_device
from saccade.training.examples import Batch, Examples, Source, sources_of
from saccade.training.graph import Unsupported
from saccade.training.meters import Meters
from saccade.training.step import TrainingStep
from saccade.training.twins import arithmetic_of

keras = load_keras()
_EVALUATION_BATCH = 128  # a larger batch changes nothing but the time, where losses are means
_REDRAW_S = 0.2
_SETTLING_STEPS = 3  # the first steps are slow: memory, caches
_TIMED_STEPS = 10  # what is measured before compiling is weighed
_BATCH_HOOKS = (
    "on_batch_begin",
    "on_batch_end",
    "on_train_batch_begin",
    "on_train_batch_end",
)
_TEST_HOOKS = ("on_test_batch_begin", "on_test_batch_end")
_OWN_STEPS = (
    "train_step",
    "test_step",
    "compute_loss",
    "compute_metrics",
    "make_train_function",
    "fit",
    "evaluate",
)


class Session:
    """Trains one model on one data set; raises Unsupported, before anything changes, if it cannot.

    `arguments` are those of Keras's ``fit``, by name; raises SettingsError for batches of no size.
    """

    def __init__(self, model: Any, arguments: Mapping[str, Any]) -> None:
        self._model, self._arguments = model, arguments
        _refuse_what_keras_must_do(model, arguments)
        train, validation = _examples(arguments)
        self._batch_size: int = arguments["batch_size"] or 32
        self._build(train.rows(slice(self._batch_size)))
        self._meters = Meters(model)
        self._step = TrainingStep(model)
        sets = [train] if validation is None else [train, validation]
        self._train, *others = sources_of(sets, self._step.device)
        self._validation = others[0] if others else None
        self._num_batches = -(-len(self._train) // self._batch_size)
        self._batches_done = 0
        self._timed_from = 0.0
        self._callbacks = self._make_callbacks()
        self._train_hooks = _overrides(self._callbacks, _BATCH_HOOKS)
        self._test_hooks = _overrides(self._callbacks, _TEST_HOOKS)

    @denormals_flushed()
    def run(self) -> Any:
        """Train, and return the model's History."""
        model, callbacks = self._model, self._callbacks
        if self._arguments["verbose"]:
            print("\n".join(_how(self._step)), flush=True)
        model.stop_training = False
        logs: dict[str, float] = {}
        try:
            callbacks.on_train_begin()
            first = model._initial_epoch or self._arguments["initial_epoch"]
            for epoch in range(first, self._arguments["epochs"]):
                callbacks.on_epoch_begin(epoch)
                logs = self._train_epoch()
                self._step.write_back()
                if self._validation is not None and self._validates_after(epoch):
                    scored = self._evaluate(self._validation)
                    logs |= {f"val_{name}": value for name, value in scored.items()}
                callbacks.on_epoch_end(epoch, logs)
                if model.stop_training:
                    break
            if self._arguments["epochs"] > 0:
                model.optimizer.finalize_variable_values(model.trainable_weights)
            callbacks.on_train_end(logs=logs)
        finally:  # after Ctrl-C too, the model is one that Keras can go on with
            self._step.write_back()
        return model.history

    def _build(self, first: Examples) -> None:
        """Let Keras build what it builds on the first batch: layers, loss, metrics, optimizer."""
        x = first.x.astype(keras.config.floatx()) if first.x.dtype.kind == "f" else first.x
        data = (x, first.y) if first.weight is None else (x, first.y, first.weight)
        self._model._symbolic_build(data_batch=data)

    def _make_callbacks(self) -> Any:
        given = self._arguments["callbacks"]
        if isinstance(given, keras.callbacks.CallbackList):
            self._bar = None
            return given
        verbose = self._arguments["verbose"]
        self._bar = keras.callbacks.ProgbarLogger() if verbose else None
        listed = list(keras.tree.flatten(given)) if given else []
        return keras.callbacks.CallbackList(
            [*listed, self._bar] if self._bar else listed,
            add_history=True,
            verbose=verbose,
            epochs=self._arguments["epochs"],
            steps=self._num_batches,
            model=self._model,
        )

    def _train_epoch(self) -> dict[str, float]:
        self._meters.reset()
        shown = time.monotonic()
        size, shuffle = self._batch_size, self._arguments["shuffle"]
        # Batches have no name here: an error would keep it, and with it their thread.
        for index, batch in enumerate(self._train.batches(size, shuffle=shuffle)):
            if self._train_hooks:
                self._step.write_back()
                self._callbacks.on_train_batch_begin(index)
            self._train_batch(batch)
            self._weigh_compiling()
            if self._train_hooks:
                self._step.write_back()
                self._callbacks.on_train_batch_end(index, self._meters.result())
            elif self._bar and self._bar.verbose == 1 and time.monotonic() - shown > _REDRAW_S:
                self._bar.on_train_batch_end(index, self._meters.result())
                shown = time.monotonic()
            if self._model.stop_training:
                break
        return self._meters.result()

    def _train_batch(self, batch: Batch) -> None:
        loss = self._step.train(batch.x, batch.y, sample_weight=batch.weight)
        self._meters.update(loss, on_device(batch.y, self._step.device), self._step.outputs)

    def _weigh_compiling(self) -> None:
        """After some steps, compile the rest if they are enough to earn the time back."""
        self._batches_done += 1
        if self._batches_done == _SETTLING_STEPS:
            self._timed_from = time.monotonic()
        if self._batches_done != _SETTLING_STEPS + _TIMED_STEPS:
            return
        step_s = (time.monotonic() - self._timed_from) / _TIMED_STEPS
        num_steps = self._num_batches * self._arguments["epochs"] - self._batches_done
        known = self._step.forward.reason
        if self._step.forward.pays(seconds_a_step=step_s, num_steps=num_steps):
            self._step.compile()
        if not self._arguments["verbose"]:
            return
        if self._step.compiled:
            print("\nsaccade: compiles the training step", flush=True)
        elif self._step.forward.reason != known:
            why = self._step.forward.reason
            print(f"\nsaccade: does not compile the training step: {why}", flush=True)

    def _validates_after(self, epoch: int) -> bool:
        frequency = self._arguments["validation_freq"]
        if isinstance(frequency, int):
            return (epoch + 1) % frequency == 0
        return epoch + 1 in frequency

    def _evaluate(self, examples: Source) -> dict[str, float]:
        self._meters.reset()
        self._callbacks.on_test_begin()
        for index, batch in enumerate(examples.batches(self._evaluation_size(), shuffle=False)):
            if self._test_hooks:
                self._callbacks.on_test_batch_begin(index)
            loss, outputs = self._step.evaluate(batch.x, batch.y, batch.weight)
            self._meters.update(loss, on_device(batch.y, self._step.device), outputs)
            if self._test_hooks:
                self._callbacks.on_test_batch_end(index, self._meters.result())
        logs = self._meters.result()
        self._callbacks.on_test_end(logs)
        return logs

    def _evaluation_size(self) -> int:
        asked = self._arguments["validation_batch_size"] or self._batch_size
        free = self._step.loss.is_mean and self._meters.native and not self._test_hooks
        return max(asked, _EVALUATION_BATCH) if free and not _mixes(self._model) else asked


def _how(step: TrainingStep) -> list[str]:
    """Say in what format, without what, and why no step will be compiled where one expects it.

    That is, for products in bf16.
    """
    reason = step.forward.reason if step.precision.format == "bf16" else ""
    not_compiled = f", not compiled ({reason})" if reason else ""
    said = (f"trains in {step.precision}{not_compiled}", *kernels_missing(step.workload))
    return [f"saccade: {line}" for line in said]


def _mixes(model: Any) -> bool:
    """Whether an operation may look across the samples of a batch, as no layer of Keras does."""
    layers = model._flatten_layers()
    models = [inner for layer in layers if (inner := functional_of(layer)) is not None]
    nodes = [node for inner in models for node in nodes_in_order(inner)]
    bare = (node for node in nodes if not isinstance(node.operation, keras.layers.Layer))
    lambdas = any(isinstance(layer, keras.layers.Lambda) for layer in layers)
    return lambdas or any(arithmetic_of(node) is None for node in bare)


def _refuse_what_keras_must_do(model: Any, arguments: Mapping[str, Any]) -> None:
    if not model.compiled:
        raise Unsupported("the model is not compiled")
    for name in _OWN_STEPS:
        if getattr(type(model), name) is not getattr(keras.Model, name):
            raise Unsupported(f"{type(model).__name__} has a {name} of its own")
    for name in ("steps_per_epoch", "validation_steps"):
        if arguments[name] is not None:
            raise Unsupported(f"{name} is given")
    if model.steps_per_execution != 1:
        raise Unsupported("steps_per_execution is given")
    if arguments["shuffle"] == "batch":
        raise Unsupported("shuffle is 'batch'")
    if keras.distribution.distribution() is not None:
        raise Unsupported("a distribution is set")


def _examples(arguments: Mapping[str, Any]) -> tuple[Examples, Examples | None]:
    train = Examples.of(arguments["x"], arguments["y"], arguments["sample_weight"])
    _refuse_no_size("batch_size", arguments)
    validation = None
    if arguments["validation_data"] is not None:
        given = arguments["validation_data"]
        if not isinstance(given, tuple | list) or len(given) not in (2, 3):
            raise Unsupported(f"validation_data is a {type(given).__name__}, not (x, y)")
        validation = Examples.of(*given)
    elif arguments["validation_split"]:
        train, validation = train.split(arguments["validation_split"])
    if arguments["class_weight"] is not None:
        if train.weight is not None:
            raise Unsupported("class_weight and sample_weight are both given")
        train = train.weighted_by_class(arguments["class_weight"])
    if validation is not None:
        _refuse_no_size("validation_batch_size", arguments)
    return train, validation


def _refuse_no_size(name: str, arguments: Mapping[str, Any]) -> None:
    """Refuse what is no number of samples; 0 and None are left out, as to Keras."""
    size = arguments[name] or 1
    if isinstance(size, bool) or not isinstance(size, Integral) or int(size) < 1:
        raise SettingsError(f"{name} is a whole number from 1, such as 32, got {size!r}")


def _overrides(callbacks: Any, hooks: tuple[str, ...]) -> bool:
    """Whether any callback wants to be called at every batch."""
    shown = (keras.callbacks.ProgbarLogger, keras.callbacks.History)
    listed = [each for each in callbacks.callbacks if not isinstance(each, shown)]
    return any(_wants(callback, hook) for callback in listed for hook in hooks)


def _wants(callback: Any, hook: str) -> bool:
    """Whether a callback does anything in this hook.

    Keras marks the methods that a callback inherits. Its ModelCheckpoint and BackupAndRestore
    override them, to do nothing where they save once an epoch; a subclass may do something.
    """
    if getattr(getattr(callback, hook), "_is_default", False):
        return False
    asked = (getattr(callback, name, None) for name in (hook, "_should_save_on_batch"))
    by_keras = all(getattr(method, "__module__", "").startswith("keras.") for method in asked)
    return not (by_keras and getattr(callback, "save_freq", None) == "epoch")
