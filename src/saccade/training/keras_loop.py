"""The journey's training by Keras's own `fit`: on TensorFlow, or for a model our engine cannot run.

The same plan, schedule, augmentation, checkpoints and result as `loop`, by one `Course`. Two things
are left out: weights are not averaged, since that would copy them at every step through Keras (a
rate that falls to nothing settles them nearly as well), and products are float32.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from saccade.models.backend import load_keras
from saccade.models.losses import takes_one_hot
from saccade.models.outputs import output_kind
from saccade.training import augment
from saccade.training.checkpoint import Arrays, under
from saccade.training.course import Course, Diverged, Stopped
from saccade.training.draws import changed
from saccade.training.objective import our_loss, our_optimizer, own_rate
from saccade.training.result import FitResult, Pictures, describe, epoch_figures
from saccade.training.schedule import Horizon, rate_at

keras = load_keras()


class KerasLoop:
    """A training by Keras; each epoch is one call of `model.fit`."""

    def __init__(self, model: Any, course: Course, note: str = "") -> None:
        self.model, self.course = model, course
        train, plan = course.train, course.plan
        if note and course.state is None:
            course.standing.notes.insert(0, note)
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

    def run(self) -> FitResult:
        """Train until the work is done, nothing improves, or the caller stops it."""
        course, model = self.course, self.model
        model.optimizer.build(model.trainable_variables)
        reserve_s = 0.0 if course.plan.budget_s is None else self._seconds_of_scoring()
        stopped = course.run(self, course.horizon(reserve_s=reserve_s))
        if course.standing.best:
            _assign(model.variables, course.standing.best)
        if self.ours:  # our optimizer is no part of Keras, where the saved model shall open
            model.compile(loss=model.loss, optimizer="adamw")
        return course.standing.result(
            started=course.started,
            precision="float32 (Keras's own fit)",
            compiled=False,
            augmentation=course.plan.augmentation,
            stopped=stopped,
            notes=[],
        )

    def _seconds_of_scoring(self) -> float:
        """Return how long the pictures of each epoch take to be scored, as a few of them do."""
        some = self.course.train.some(np.arange(1))
        self._outputs(some)
        began = time.monotonic()
        self._outputs(some)
        num_batches = math.ceil(self.course.num_scored / some.scored_at_once)
        return (time.monotonic() - began) * num_batches

    def state(self) -> Arrays:
        """Return the model's weights and its optimizer's variables, as arrays by name."""
        arrays = {f"weight/{name}": value for name, value in _arrays(self.model.variables).items()}
        slots = _arrays(self.model.optimizer.variables)
        return arrays | {f"slot/{name}": value for name, value in slots.items()}

    def load_state(self, arrays: Arrays) -> None:
        """See `Engine`."""
        _assign(self.model.variables, under("weight/", arrays))
        _assign(self.model.optimizer.variables, under("slot/", arrays))

    def run_epoch(self, horizon: Horizon) -> None:
        """See `Engine`."""
        course, standing = self.course, self.course.standing
        self.diverged = self.interrupted = False
        began, step = time.monotonic(), standing.step
        steps = _Steps(self, horizon)
        self.model.fit(_Batches(self), epochs=1, verbose=0, shuffle=False, callbacks=[steps])
        standing.train_seconds += time.monotonic() - began
        standing.num_images += course.batch_size * (standing.step - step)
        standing.epoch += 1
        if self.diverged:
            raise Diverged
        if self.interrupted:
            raise Stopped

    def rate(self) -> float | None:
        """Return the learning rate of the next step; None leaves it to the model's optimizer."""
        standing = self.course.standing
        return rate_at(standing.done, peak=self.peak, scale=standing.rate_scale, falls=self.ours)

    def after_step(self, loss: float, horizon: Horizon) -> None:
        """Count a step, and stop this epoch where there is a reason."""
        self.course.advance(horizon)
        self.diverged = not np.isfinite(loss)
        self.interrupted = self.course.should_stop()
        if self.diverged or self.interrupted or self.course.standing.done >= 1.0:
            self.model.stop_training = True

    def score(self) -> None:
        """See `Engine`."""
        course, standing = self.course, self.course.standing
        latest, losses = epoch_figures(self._outputs, self.kind, course.sample, course.validation)
        weights = _arrays(self.model.variables)
        values = [np.asarray(list(latest.values())), *weights.values()]
        if not all(np.isfinite(numbers).all() for numbers in values):
            raise Diverged
        if standing.record(latest, losses, falling=self.ours):
            standing.best = weights
        in_all = standing.epoch / max(standing.done, 1e-9)
        course.stage.describe(describe(standing.epoch, in_all, latest))

    def _outputs(self, pictures: Pictures) -> npt.NDArray[np.float32]:
        outputs = [
            keras.ops.convert_to_numpy(self.model.predict_on_batch(pixels.astype(np.float32)))
            for pixels in pictures.batches()
        ]
        return np.concatenate(outputs)


class _Batches(keras.utils.PyDataset):  # type: ignore[misc,name-defined]
    """One epoch's batches, in the order that its seed gives; Keras asks for a class."""

    def __init__(self, loop: KerasLoop) -> None:
        super().__init__()
        self.course = loop.course
        self.num_classes, self.num_outputs = loop.num_classes, loop.num_outputs
        self.random = self.course.standing.begin_epoch(self.course.plan.seed)
        self.order = self.random.permutation(len(self.course.train.rows))

    def __len__(self) -> int:
        return self.course.steps_per_epoch

    def __getitem__(self, index: int) -> Any:
        """Return the batch of this index as (pixels float32, labels)."""
        course = self.course
        chosen = self.order[index * course.batch_size : (index + 1) * course.batch_size]
        pixels, labels = course.train.taken(chosen)
        pixels, labels = changed(
            augment, pixels, labels, course.plan.augmentation, self.random, self.num_classes
        )
        pixels = pixels.astype(np.float32)
        if labels.ndim == 2:
            return pixels, labels.astype(np.float32)
        if self.num_classes:
            return pixels, np.eye(self.num_classes, dtype=np.float32)[labels]
        return pixels, labels if self.num_outputs > 1 else labels.reshape(-1, 1)


class _Steps(keras.callbacks.Callback):  # type: ignore[misc,name-defined]
    """Tells the loop of every step; Keras asks for a class."""

    def __init__(self, loop: KerasLoop, horizon: Horizon) -> None:
        super().__init__()
        self.loop, self.horizon = loop, horizon

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Set the learning rate of this step."""
        rate = self.loop.rate()
        if rate is not None:
            self.loop.model.optimizer.learning_rate = rate

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count the step and look at its loss."""
        self.loop.after_step(float(logs["loss"]), self.horizon)


def _arrays(variables: list[Any]) -> Arrays:
    return {f"{i}": np.array(keras.ops.convert_to_numpy(v)) for i, v in enumerate(variables)}


def _assign(variables: list[Any], arrays: Arrays) -> None:
    for index, variable in enumerate(variables):
        variable.assign(arrays[f"{index}"])
