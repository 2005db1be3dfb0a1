"""The journey's training: a visible loop over epochs and batches.

One epoch shows every training picture once, changed a little; then the averaged weights are scored
on validation, the best are kept, and a checkpoint is written. The learning rate follows the work
done (`schedule`). Epochs draw their own random numbers from (seed, epoch), so a resumed run repeats
an uninterrupted one. What it shares with `keras_loop` is the `Course`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np

from saccade.errors import DataError
from saccade.models.backend import engine_name, load_keras
from saccade.progress import Progress
from saccade.training.checkpoint import Arrays
from saccade.training.course import Course, Diverged, Stopped
from saccade.training.plan import TrainPlan
from saccade.training.precision import arithmetic
from saccade.training.result import FitResult, Pictures, describe, epoch_figures, never
from saccade.training.schedule import Horizon
from saccade.training.warmup import plan_horizon

_LOOKED_AT_EVERY: Final = 100  # steps between looks at whether the loss is a number


def train_network(
    model: Any,
    *,
    train: Pictures,
    validation: Pictures,
    plan: TrainPlan,
    checkpoint_dir: Path | None,
    progress: Progress,
    should_stop: Callable[[], bool] = never,
) -> FitResult:
    """Train a Keras model in place, to the best weights found; see the module's docstring.

    Goes on from the checkpoint in `checkpoint_dir` where there is one. `should_stop` is asked after
    every step and every epoch. Raises DataError where the
    loss turns to NaN time after time.
    """
    train, validation = Pictures(*train), Pictures(*validation)
    _check(train, validation)
    with progress.stage("train", total=100) as stage:
        course = Course(
            train=train,
            validation=validation,
            plan=plan,
            checkpoint_dir=checkpoint_dir,
            should_stop=should_stop,
            stage=stage,
        )
        if engine_name() != "torch":
            return _train_by_keras(model, course)
        from saccade.training.denormals import denormals_flushed
        from saccade.training.graph import Unsupported

        try:
            loop = Loop(model, course, progress)
        except Unsupported as reason:
            return _train_by_keras(model, course, f"trained by Keras's own fit: {reason}")
        with denormals_flushed():
            return loop.run()


def _train_by_keras(model: Any, course: Course, note: str = "") -> FitResult:
    from saccade.training.keras_loop import KerasLoop

    return KerasLoop(model, course, note).run()


def _check(train: Pictures, validation: Pictures) -> None:
    for pictures in (train, validation):
        if len(pictures.rows) != len(pictures.labels):
            raise ValueError(f"{len(pictures.rows)} rows have {len(pictures.labels)} labels")
        if pictures.group is not None and len(pictures.rows) != len(pictures.group):
            raise ValueError(f"{len(pictures.rows)} rows have {len(pictures.group)} groups")
    if not len(train.rows) or not len(validation.rows):
        raise DataError("training needs at least one picture to train on and one to validate on")


class Loop:
    """A training by our engine."""

    def __init__(self, model: Any, course: Course, progress: Progress) -> None:
        from saccade.training.batches import Batches
        from saccade.training.learner import Learner

        self.course, self.progress = course, progress
        train, plan = course.train, course.plan
        load_keras().utils.set_random_seed(plan.seed)
        several, shown = train.several_labels, (train, course.sample, course.validation)
        self.learner = Learner(model, plan, several_labels=several, shown=shown)
        source = self.learner.sources[0]
        self.batches = Batches(train, source, plan.augmentation, self.learner.num_outputs)
        self.num_epochs = float(plan.max_epochs)  # that the time allows, once it is measured

    def run(self) -> FitResult:
        """Train until the work is done, nothing improves, or the caller stops it."""
        course, step = self.course, self.learner.step
        course.standing.calculate_by(arithmetic(step.precision.format, step.device.type))
        stopped = course.run(self, self._warm_up())
        if course.standing.best:
            self.learner.set_weights(course.standing.best)
        step.write_back()
        return course.standing.result(
            started=course.started,
            precision=str(step.precision),
            compiled=step.compiled,
            compiled_reason=step.forward.reason,
            augmentation=course.plan.augmentation,
            stopped=stopped,
            notes=list(step.notes),
        )

    def _warm_up(self) -> Horizon:
        """Measure, plan how far training goes, and begin to average over a share of it."""
        horizon, num_steps = plan_horizon(self.learner, self.course, progress=self.progress)
        self.num_epochs = num_steps / self.course.steps_per_epoch
        if averaging := self.course.plan.averaging:
            self.learner.start_average(averaging * num_steps)
        return horizon

    @property
    def peak(self) -> float | None:
        """See `Engine`."""
        return self.learner.peak

    def state(self) -> Arrays:
        """See `Engine`."""
        return self.learner.state()

    def load_state(self, arrays: Arrays) -> None:
        """See `Engine`."""
        self.learner.load_state(arrays)

    def run_epoch(self, horizon: Horizon) -> None:
        """See `Engine`."""
        course, standing = self.course, self.course.standing
        random = standing.begin_epoch(course.plan.seed)
        order = random.permutation(len(course.train.rows))
        shown = order[: course.steps_per_epoch * course.batch_size]
        losses: list[Any] = []
        began = time.monotonic()
        with closing(self.batches.shown(shown.reshape(-1, course.batch_size), random)) as batches:
            for pixels, labels in batches:
                rate = self.learner.rate(standing.done, standing.rate_scale)
                losses.append(self.learner.train(pixels, labels, rate))
                standing.num_images += len(pixels)
                course.advance(horizon)
                if len(losses) == _LOOKED_AT_EVERY:
                    _look_at(losses)
                if course.should_stop():
                    raise Stopped
                if standing.done >= 1.0:
                    break
        _look_at(losses)
        standing.train_seconds += time.monotonic() - began
        standing.epoch += 1

    def score(self) -> None:
        """See `Engine`. The weights are the averaged ones.

        Raises Diverged where the last steps, at whose loss nothing looked, left no numbers, too.
        """
        course, learner = self.course, self.learner
        if not learner.is_finite():
            raise Diverged
        with learner.averaged():
            figures, losses = epoch_figures(
                learner.outputs, learner.kind, course.sample, course.validation
            )
            if not np.isfinite(list(figures.values())).all():
                raise Diverged
            if course.standing.record(figures, losses, falling=learner.ours):
                course.standing.best = learner.weights()
        course.stage.describe(describe(course.standing.epoch, self.num_epochs, figures))


def _look_at(losses: list[Any]) -> None:
    """Raise Diverged unless all losses are numbers; empties the list. Waits for the device."""
    if not losses:
        return
    import torch

    if not bool(torch.stack(losses).isfinite().all()):  # one number to wait for
        raise Diverged
    losses.clear()
