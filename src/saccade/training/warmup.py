"""A short measured warm-up, undone afterwards, from which the end of training is planned."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

import numpy as np

from saccade.progress import Progress
from saccade.training.result import Pictures
from saccade.training.schedule import Horizon

if TYPE_CHECKING:
    from saccade.training.learner import Learner
    from saccade.training.plan import TrainPlan

_MEASURED_STEPS: Final = 3  # after those that compile


def plan_horizon(
    learner: Learner,
    plan: TrainPlan,
    *,
    train: Pictures,
    num_scored: int,
    started: float,
    done: float,
    progress: Progress,
) -> tuple[Horizon, float]:
    """Return how far training goes, and about how many steps that is from the very beginning.

    Compiles the step where that is earned back. `num_scored` pictures are scored after each epoch;
    the budget began at `started`, and a fraction `done` was done by a run before.
    """
    batch_size = min(plan.batch_size, len(train.rows))
    steps_per_epoch = len(train.rows) // batch_size
    max_steps = plan.max_epochs * steps_per_epoch
    step_s, scoring_s = _measure(
        learner, plan, train=train, batch_size=batch_size, done=done, progress=progress
    )
    scoring_s *= math.ceil(num_scored / train.scored_at_once)
    if plan.budget_s is None:
        return Horizon(max_steps=max_steps), float(max_steps)
    now = time.monotonic()
    horizon = Horizon(
        max_steps=max_steps,
        start_s=now,
        deadline_s=started + plan.budget_s * (1 - done),
        reserve_s=scoring_s,
        done_before=done,
    )
    epoch_s = step_s * steps_per_epoch + scoring_s
    epochs = max(horizon.deadline_s - scoring_s - now, step_s) / epoch_s / max(1 - done, 1e-9)
    return horizon, min(float(max_steps), epochs * steps_per_epoch)


def _measure(
    learner: Learner,
    plan: TrainPlan,
    *,
    train: Pictures,
    batch_size: int,
    done: float,
    progress: Progress,
) -> tuple[float, float]:
    """Return the seconds of a training step, and of scoring one batch; leaves no trace."""
    chosen = np.arange(batch_size)
    batch = Pictures(train.pixels[train.rows[chosen]], chosen, train.labels[chosen])
    before = learner.state()
    step_s = _seconds_a_step(learner, batch)
    max_steps = plan.max_epochs * (len(train.rows) // batch_size)
    if _pays_to_compile(learner, plan, step_s=step_s, max_steps=max_steps, done=done):
        with progress.stage("compile"):
            learner.step.compile()
            step_s = _seconds_a_step(learner, batch)
    some = Pictures(batch.pixels, chosen[: batch.scored_at_once], batch.labels)  # one batch
    learner.outputs(some)
    began = time.monotonic()
    learner.outputs(some)
    scoring_s = time.monotonic() - began
    learner.load_state(before)
    return step_s, scoring_s


def _seconds_a_step(learner: Learner, batch: Pictures) -> float:
    # The first step compiles and warms up; by CUDA graphs the second records what is then repeated.
    for _ in range(2 if learner.step.forward.reuses_memory else 1):
        float(learner.train(batch.pixels, batch.labels, None))
    began = time.monotonic()
    for _ in range(_MEASURED_STEPS):
        loss = learner.train(batch.pixels, batch.labels, None)
    float(loss)
    return (time.monotonic() - began) / _MEASURED_STEPS


def _pays_to_compile(
    learner: Learner, plan: TrainPlan, *, step_s: float, max_steps: int, done: float
) -> bool:
    """Compiled products round otherwise, so where epochs are given the clock may not decide."""
    if done >= 1.0:  # stopped after its training, while it was judged
        return False
    if plan.budget_s is None:
        return learner.step.forward.pays(seconds_a_step=None, num_steps=max_steps)
    left = min(max_steps, int(plan.budget_s * (1 - done) / step_s))
    return learner.step.forward.pays(seconds_a_step=step_s, num_steps=left)
