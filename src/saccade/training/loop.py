"""The journey's training: a visible loop over epochs and batches.

One epoch shows every training picture once, changed a little; then the averaged weights are scored
on validation, the best are kept, and a checkpoint is written. The learning rate follows the work
done (`schedule`). A loss that is no longer a number undoes the epoch and halves the rate. Epochs
draw their own random numbers from (seed, epoch), so a resumed run repeats an uninterrupted one.
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
from saccade.progress import Progress, Stage
from saccade.training.changes import decide_changes
from saccade.training.checkpoint import (
    read_checkpoint,
    under,
    write_checkpoint,
)
from saccade.training.plan import TrainPlan
from saccade.training.precision import arithmetic
from saccade.training.result import (
    FitResult,
    Pictures,
    describe,
    epoch_figures,
    never,
    sample_like,
)
from saccade.training.schedule import Horizon
from saccade.training.standing import Standing
from saccade.training.warmup import plan_horizon

_LOOKED_AT_EVERY: Final = 100  # steps between looks at whether the loss is a number


class _Diverged(Exception):
    """The loss is no longer a number."""


class _Stopped(Exception):
    """The caller asked to stop."""


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
    parts: dict[str, Any] = {"train": train, "validation": validation, "plan": plan}
    parts["should_stop"] = should_stop
    with progress.stage("train", total=100) as stage:
        if engine_name() != "torch":
            return _train_by_keras(model, parts, stage, checkpoint_dir, "")
        from saccade.training.denormals import denormals_flushed
        from saccade.training.graph import Unsupported

        try:
            loop = _Loop(model, **parts, stage=stage, progress=progress)
        except Unsupported as reason:
            note = f"trained by Keras's own fit: {reason}"
            return _train_by_keras(model, parts, stage, checkpoint_dir, note)
        with denormals_flushed():
            return loop.run(checkpoint_dir)


def _train_by_keras(
    model: Any, parts: dict[str, Any], stage: Stage, checkpoint_dir: Path | None, note: str
) -> FitResult:
    from saccade.training.keras_loop import KerasLoop

    return KerasLoop(model, **parts, stage=stage, note=note).run(checkpoint_dir)


def _check(train: Pictures, validation: Pictures) -> None:
    for pictures in (train, validation):
        if len(pictures.rows) != len(pictures.labels):
            raise ValueError(f"{len(pictures.rows)} rows have {len(pictures.labels)} labels")
        if pictures.group is not None and len(pictures.rows) != len(pictures.group):
            raise ValueError(f"{len(pictures.rows)} rows have {len(pictures.group)} groups")
    if not len(train.rows) or not len(validation.rows):
        raise DataError("training needs at least one picture to train on and one to validate on")


class _Loop:
    """One run of training; `run` is the loop, the rest are its parts."""

    def __init__(
        self,
        model: Any,
        *,
        train: Pictures,
        validation: Pictures,
        plan: TrainPlan,
        should_stop: Callable[[], bool],
        stage: Stage,
        progress: Progress,
    ) -> None:
        from saccade.training.batches import Batches
        from saccade.training.learner import Learner

        self.started = time.monotonic()
        self.train, self.validation = train, validation
        self.sample = sample_like(train, validation, seed=plan.seed)
        self.should_stop, self.stage, self.progress = should_stop, stage, progress
        self.batch_size = min(plan.batch_size, len(train.rows))
        self.steps_per_epoch = len(train.rows) // self.batch_size
        self.plan, notes = decide_changes(plan, train)
        self.standing = Standing(notes=notes)
        load_keras().utils.set_random_seed(plan.seed)
        several, shown = train.several_labels, (train, self.sample, self.validation)
        self.learner = Learner(model, self.plan, several_labels=several, shown=shown)
        source = self.learner.sources[0]
        self.batches = Batches(train, source, self.plan.augmentation, self.learner.num_outputs)
        self.num_epochs = float(plan.max_epochs)  # that the time allows, once it is measured

    def run(self, checkpoint_dir: Path | None) -> FitResult:
        """Train until the work is done, nothing improves, or the caller stops it."""
        stored = None if checkpoint_dir is None else read_checkpoint(checkpoint_dir)
        if stored is not None:
            self.standing = Standing.from_checkpoint(stored)
        step = self.learner.step
        self.standing.calculate_by(arithmetic(step.precision.format, step.device.type))
        horizon = self._warm_up()
        if stored is not None:
            self.learner.load_state(under("state/", stored.arrays))
        stopped = False
        while not stopped and not self.standing.is_finished(self.plan):
            before = self.learner.state(), self.standing.copy()
            try:
                self._run_epoch(horizon)
                began = time.monotonic()
                self._score()
            except _Diverged:
                self.learner.load_state(before[0])
                fixed = self.learner.peak is None
                self.standing = before[1].after_failure(self.standing, self.plan, fixed=fixed)
                continue
            except _Stopped:
                stopped = True
                break
            self._write(checkpoint_dir)
            horizon = horizon.leaving(time.monotonic() - began)
            stopped = self.should_stop() and not self.standing.is_finished(self.plan)
        return self._finish(stopped=stopped)

    def _warm_up(self) -> Horizon:
        """Measure, plan how far training goes, and begin to average over a share of it."""
        horizon, num_steps = plan_horizon(
            self.learner,
            self.plan,
            train=self.train,
            num_scored=len(self.validation.rows) + len(self.sample.rows),
            started=self.started,
            done=self.standing.done,
            progress=self.progress,
        )
        self.num_epochs = num_steps / self.steps_per_epoch
        if self.plan.averaging:
            self.learner.start_average(self.plan.averaging * num_steps)
        return horizon

    def _run_epoch(self, horizon: Horizon) -> None:
        """Show every training picture once, or as many as the time allows."""
        standing = self.standing
        random = standing.begin_epoch(self.plan.seed)
        order = random.permutation(len(self.train.rows))
        groups = order[: self.steps_per_epoch * self.batch_size].reshape(-1, self.batch_size)
        losses: list[Any] = []
        began = time.monotonic()
        with closing(self.batches.shown(groups, random)) as batches:
            for pixels, labels in batches:
                rate = self.learner.rate(standing.done, standing.rate_scale)
                losses.append(self.learner.train(pixels, labels, rate))
                standing.step += 1
                standing.num_images += len(pixels)
                self._advance(horizon.fraction(standing.step))
                if len(losses) == _LOOKED_AT_EVERY:
                    _look_at(losses)
                if self.should_stop():
                    raise _Stopped
                if standing.done >= 1.0:
                    break
        _look_at(losses)
        standing.train_seconds += time.monotonic() - began
        standing.epoch += 1

    def _advance(self, done: float) -> None:
        done = max(done, self.standing.done)
        self.stage.advance(100 * (done - self.standing.done))
        self.standing.done = done

    def _score(self) -> None:
        """Score the averaged weights, and keep them where they are the best so far.

        Raises _Diverged where the last steps, at whose loss nothing looked, left no numbers.
        """
        standing, learner = self.standing, self.learner
        if not learner.is_finite():
            raise _Diverged
        with learner.averaged():
            figures, losses = epoch_figures(
                learner.outputs, learner.kind, self.sample, self.validation
            )
            if not np.isfinite(list(figures.values())).all():
                raise _Diverged
            if standing.record(figures, losses, falling=learner.ours):
                standing.best = learner.weights()
        self.stage.describe(describe(standing.epoch, self.num_epochs, figures))

    def _write(self, folder: Path | None) -> None:
        if folder is not None:
            write_checkpoint(folder, self.standing.to_checkpoint(self.learner.state()))

    def _finish(self, *, stopped: bool) -> FitResult:
        """Give the model its best weights and return how it went."""
        if not stopped:  # after an early stop there is nothing left to do
            self.standing.refuse_untrained()
            self.stage.advance(100 * (1 - self.standing.done))
        if self.standing.best:
            self.learner.set_weights(self.standing.best)
        step = self.learner.step
        step.write_back()
        return self.standing.result(
            started=self.started,
            precision=str(step.precision),
            compiled=step.compiled,
            compiled_reason=step.forward.reason,
            augmentation=self.plan.augmentation,
            stopped=stopped,
            notes=list(step.notes),
        )


def _look_at(losses: list[Any]) -> None:
    """Raise _Diverged unless all losses are numbers; empties the list. Waits for the device."""
    if not losses:
        return
    import torch

    if not bool(torch.stack(losses).isfinite().all()):  # one number to wait for
        raise _Diverged
    losses.clear()
