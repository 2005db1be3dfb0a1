"""The journey's training by Keras's own `fit`: on TensorFlow, or for a model our engine cannot run.

The same plan, schedule, augmentation, checkpoints and result as `loop`. Two things are left out:
weights are not averaged, since that would copy them at every step through Keras (a rate that falls
to nothing settles them nearly as well), and products are float32.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from saccade.models.backend import load_keras
from saccade.models.losses import takes_one_hot
from saccade.models.outputs import output_kind
from saccade.training import augment
from saccade.training.changes import decide_changes
from saccade.training.checkpoint import Arrays, read_checkpoint, under, write_checkpoint
from saccade.training.draws import changed
from saccade.training.objective import our_loss, our_optimizer, own_rate
from saccade.training.result import (
    FitResult,
    Pictures,
    describe,
    epoch_figures,
    sample_like,
)
from saccade.training.schedule import Horizon, rate_at
from saccade.training.standing import Standing

if TYPE_CHECKING:
    from pathlib import Path

    from saccade.progress import Stage
    from saccade.training.plan import TrainPlan

keras = load_keras()


class KerasLoop:
    """One run of training; `run` is the loop over epochs, each one call of `model.fit`."""

    def __init__(
        self,
        model: Any,
        *,
        train: Pictures,
        validation: Pictures,
        plan: TrainPlan,
        should_stop: Callable[[], bool],
        stage: Stage,
        note: str,
    ) -> None:
        self.started = time.monotonic()
        self.model, self.train, self.validation = model, train, validation
        self.sample = sample_like(train, validation, seed=plan.seed)
        self.should_stop, self.stage = should_stop, stage
        self.plan, notes = decide_changes(plan, train)
        self.standing = Standing(notes=[note, *notes] if note else notes)
        self.batch_size = min(plan.batch_size, len(train.rows))
        self.steps_per_epoch = len(train.rows) // self.batch_size
        self.horizon = Horizon(max_steps=plan.max_epochs * self.steps_per_epoch)
        keras.utils.set_random_seed(plan.seed)
        self.kind, num_outputs = output_kind(model), int(model.outputs[0].shape[-1])
        self.ours = plan.recipe == "auto" or not model.compiled
        if self.ours:
            loss = our_loss(
                self.kind, num_outputs, plan.label_smoothing, several_labels=train.several_labels
            )
            model.compile(loss=loss, optimizer=our_optimizer(plan))
        self.num_outputs = num_outputs
        self.num_classes = num_outputs if takes_one_hot(model) else 0
        self.peak = plan.learning_rate if self.ours else own_rate(model.optimizer)
        self.diverged = self.interrupted = False

    def run(self, checkpoint_dir: Path | None) -> FitResult:
        """Train until the work is done, nothing improves, or the caller stops it."""
        model = self.model
        model.optimizer.build(model.trainable_variables)
        stored = None if checkpoint_dir is None else read_checkpoint(checkpoint_dir)
        if stored is not None:
            self.standing = Standing.from_checkpoint(stored)
            _load_state(self.model, under("state/", stored.arrays))
        self._plan_horizon()
        stopped = False
        while not stopped and not self.standing.is_finished(self.plan):
            before = _state(self.model), self.standing.copy()
            self._run_epoch()
            began = time.monotonic()
            if not (self.diverged or self.interrupted):
                self._score()
            if self.diverged:
                _load_state(self.model, before[0])
                fixed = self.peak is None
                self.standing = before[1].after_failure(self.standing, self.plan, fixed=fixed)
                continue
            if self.interrupted:
                stopped = True
                break
            if checkpoint_dir is not None:
                write_checkpoint(checkpoint_dir, self.standing.to_checkpoint(_state(self.model)))
            self.horizon = self.horizon.leaving(time.monotonic() - began)
            stopped = self.should_stop() and not self.standing.is_finished(self.plan)
        return self._finish(stopped=stopped)

    def _plan_horizon(self) -> None:
        """Set the deadline so that the last scoring, measured here, still fits."""
        if self.plan.budget_s is None:
            return
        some = self.train.some(np.arange(1))
        self._outputs(some)
        began = time.monotonic()
        self._outputs(some)
        num_scored = len(self.validation.rows) + len(self.sample.rows)
        scoring_s = (time.monotonic() - began) * math.ceil(num_scored / some.scored_at_once)
        done = self.standing.done
        self.horizon = Horizon(
            max_steps=self.horizon.max_steps,
            start_s=time.monotonic(),
            deadline_s=self.started + self.plan.budget_s * (1 - done),
            reserve_s=scoring_s,
            done_before=done,
        )

    def _run_epoch(self) -> None:
        self.diverged = self.interrupted = False
        began, step = time.monotonic(), self.standing.step
        self.model.fit(_Batches(self), epochs=1, verbose=0, shuffle=False, callbacks=[_Steps(self)])
        self.standing.train_seconds += time.monotonic() - began
        self.standing.num_images += self.batch_size * (self.standing.step - step)
        self.standing.epoch += 1

    def rate(self) -> float | None:
        """Return the learning rate of the next step; None leaves it to the model's optimizer."""
        done, scale = self.standing.done, self.standing.rate_scale
        return rate_at(done, peak=self.peak, scale=scale, falls=self.ours)

    def after_step(self, loss: float) -> None:
        """Count a step, and stop this epoch where there is a reason."""
        standing = self.standing
        standing.step += 1
        done = max(self.horizon.fraction(standing.step), standing.done)
        self.stage.advance(100 * (done - standing.done))
        standing.done = done
        self.diverged = not np.isfinite(loss)
        self.interrupted = self.should_stop()
        if self.diverged or self.interrupted or done >= 1.0:
            self.model.stop_training = True

    def _score(self) -> None:
        """Score and record this epoch, or say that it left no numbers."""
        latest, losses = epoch_figures(self._outputs, self.kind, self.sample, self.validation)
        weights = _arrays(self.model.variables)
        values = [np.asarray(list(latest.values())), *weights.values()]
        self.diverged = not all(np.isfinite(numbers).all() for numbers in values)
        if self.diverged:
            return
        if self.standing.record(latest, losses, falling=self.ours):
            self.standing.best = weights
        epoch = self.standing.epoch
        in_all = epoch / max(self.standing.done, 1e-9)
        self.stage.describe(describe(epoch, in_all, latest))

    def _outputs(self, pictures: Pictures) -> npt.NDArray[np.float32]:
        outputs = [
            keras.ops.convert_to_numpy(self.model.predict_on_batch(pixels.astype(np.float32)))
            for pixels in pictures.batches()
        ]
        return np.concatenate(outputs)

    def _finish(self, *, stopped: bool) -> FitResult:
        if not stopped:  # after an early stop there is nothing left to do
            self.standing.refuse_untrained()
            self.stage.advance(100 * (1 - self.standing.done))
        if self.standing.best:
            _assign(self.model.variables, self.standing.best)
        if self.ours:  # our optimizer is no part of Keras, where the saved model shall open
            self.model.compile(loss=self.model.loss, optimizer="adamw")
        return self.standing.result(
            started=self.started,
            precision="float32 (Keras's own fit)",
            compiled=False,
            augmentation=self.plan.augmentation,
            stopped=stopped,
            notes=[],
        )


class _Batches(keras.utils.PyDataset):  # type: ignore[misc,name-defined]
    """One epoch's batches, in the order that its seed gives; Keras asks for a class."""

    def __init__(self, loop: KerasLoop) -> None:
        super().__init__()
        self.loop = loop
        self.random = loop.standing.begin_epoch(loop.plan.seed)
        self.order = self.random.permutation(len(loop.train.rows))

    def __len__(self) -> int:
        return self.loop.steps_per_epoch

    def __getitem__(self, index: int) -> Any:
        """Return the batch of this index as (pixels float32, labels)."""
        loop = self.loop
        chosen = self.order[index * loop.batch_size : (index + 1) * loop.batch_size]
        pixels, labels = loop.train.taken(chosen)
        pixels, labels = changed(
            augment, pixels, labels, loop.plan.augmentation, self.random, loop.num_classes
        )
        pixels = pixels.astype(np.float32)
        if labels.ndim == 2:
            return pixels, labels.astype(np.float32)
        if loop.num_classes:
            return pixels, np.eye(loop.num_classes, dtype=np.float32)[labels]
        return pixels, labels if loop.num_outputs > 1 else labels.reshape(-1, 1)


class _Steps(keras.callbacks.Callback):  # type: ignore[misc,name-defined]
    """Tells the loop of every step; Keras asks for a class."""

    def __init__(self, loop: KerasLoop) -> None:
        super().__init__()
        self.loop = loop

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Set the learning rate of this step."""
        rate = self.loop.rate()
        if rate is not None:
            self.loop.model.optimizer.learning_rate = rate

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count the step and look at its loss."""
        self.loop.after_step(float(logs["loss"]))


def _state(model: Any) -> Arrays:
    """Return the model's weights and its optimizer's variables, as arrays by name."""
    arrays = {f"weight/{name}": value for name, value in _arrays(model.variables).items()}
    slots = _arrays(model.optimizer.variables)
    return arrays | {f"slot/{name}": value for name, value in slots.items()}


def _load_state(model: Any, arrays: Arrays) -> None:
    _assign(model.variables, under("weight/", arrays))
    _assign(model.optimizer.variables, under("slot/", arrays))


def _arrays(variables: list[Any]) -> Arrays:
    return {f"{i}": np.array(keras.ops.convert_to_numpy(v)) for i, v in enumerate(variables)}


def _assign(variables: list[Any], arrays: Arrays) -> None:
    for index, variable in enumerate(variables):
        variable.assign(arrays[f"{index}"])
