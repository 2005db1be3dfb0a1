"""The course of a training, whoever drives the model: epoch by epoch, and what is kept of each.

After every epoch the model is scored, and a checkpoint written. A loss that is no longer a number
undoes the epoch and halves the rate. A course that is interrupted goes on from its checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from saccade.training.changes import decide_changes
from saccade.training.checkpoint import Arrays, read_checkpoint, under, write_checkpoint
from saccade.training.result import Pictures, sample_like
from saccade.training.schedule import Horizon
from saccade.training.standing import Standing

if TYPE_CHECKING:
    from pathlib import Path

    from saccade.progress import Stage
    from saccade.training.plan import TrainPlan


class Diverged(Exception):
    """The loss is no longer a number."""


class Stopped(Exception):
    """The caller asked to stop."""


class Engine(Protocol):
    """What trains and scores the model: ours, or Keras's own `fit`."""

    @property
    def peak(self) -> float | None:
        """The highest learning rate; None where the optimizer has a schedule of its own."""

    def run_epoch(self, horizon: Horizon) -> None:
        """Show every training picture once, or as many as the time allows.

        Raises Diverged and Stopped.
        """

    def score(self) -> None:
        """Score and record the epoch, and keep the weights where they are the best so far.

        Raises Diverged.
        """

    def state(self) -> Arrays:
        """Return everything that training goes on from, as arrays by name."""

    def load_state(self, arrays: Arrays) -> None:
        """Go on from what `state` returned."""


class Course:
    """One training: its pictures, its plan, where it stands, and the loop over epochs."""

    def __init__(
        self,
        *,
        train: Pictures,
        validation: Pictures,
        plan: TrainPlan,
        checkpoint_dir: Path | None,
        should_stop: Callable[[], bool],
        stage: Stage,
    ) -> None:
        self.started = time.monotonic()
        self.train, self.validation = train, validation
        self.sample = sample_like(train, validation, seed=plan.seed)
        self.plan, notes = decide_changes(plan, train)
        self.batch_size = min(plan.batch_size, len(train.rows))
        self.steps_per_epoch = len(train.rows) // self.batch_size
        self.should_stop, self.stage = should_stop, stage
        self.checkpoint_dir = checkpoint_dir
        stored = None if checkpoint_dir is None else read_checkpoint(checkpoint_dir)
        self.standing = (
            Standing(notes=notes) if stored is None else Standing.from_checkpoint(stored)
        )
        # What the engine goes on from; None at the very beginning.
        self.state = None if stored is None else under("state/", stored.arrays)

    def run(self, engine: Engine, horizon: Horizon) -> bool:
        """Train until the work is done or nothing improves; return whether the caller stopped it.

        `horizon` says how far. Raises DataError where the loss turns to NaN time after time.
        """
        if self.state is not None:
            engine.load_state(self.state)
        while not self.standing.is_finished(self.plan):
            state, before = engine.state(), self.standing.copy()
            try:
                engine.run_epoch(horizon)
                began = time.monotonic()
                engine.score()
            except Diverged:
                engine.load_state(state)
                fixed = engine.peak is None
                self.standing = before.after_failure(self.standing, self.plan, fixed=fixed)
                continue
            except Stopped:
                return True
            if self.checkpoint_dir is not None:
                write_checkpoint(self.checkpoint_dir, self.standing.to_checkpoint(engine.state()))
            horizon = horizon.leaving(time.monotonic() - began)
            if self.should_stop() and not self.standing.is_finished(self.plan):
                return True
        # After an early stop there is nothing left to do.
        self.standing.refuse_untrained()
        self.stage.advance(100 * (1 - self.standing.done))
        return False

    @property
    def max_steps(self) -> int:
        """The steps of all epochs that the plan allows."""
        return self.plan.max_epochs * self.steps_per_epoch

    @property
    def num_scored(self) -> int:
        """How many pictures are scored after each epoch."""
        return len(self.validation.rows) + len(self.sample.rows)

    def horizon(self, *, reserve_s: float) -> Horizon:
        """Return how far training goes from now on, so that scoring, `reserve_s`, still fits."""
        if self.plan.budget_s is None:
            return Horizon(max_steps=self.max_steps)
        done = self.standing.done
        return Horizon(
            max_steps=self.max_steps,
            start_s=time.monotonic(),
            deadline_s=self.started + self.plan.budget_s * (1 - done),
            reserve_s=reserve_s,
            done_before=done,
        )

    def advance(self, horizon: Horizon) -> None:
        """Count a step."""
        standing = self.standing
        standing.step += 1
        done = max(horizon.fraction(standing.step), standing.done)
        self.stage.advance(100 * (done - standing.done))
        standing.done = done
