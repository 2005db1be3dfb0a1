"""A short measured warm-up, undone afterwards, from which the end of training is planned."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

import numpy as np

from saccade.progress import Progress
from saccade.training.result import Pictures

if TYPE_CHECKING:
    from saccade.training.course import Course
    from saccade.training.learner import Learner
    from saccade.training.schedule import Horizon

_MEASURED_STEPS: Final = 3  # after those that compile


def plan_horizon(learner: Learner, course: Course, *, progress: Progress) -> tuple[Horizon, float]:
    """Return how far training goes, and about how many steps that is from the very beginning.

    Compiles the step where that is earned back.
    """
    step_s, scoring_s = _measure(learner, course, progress=progress)
    scoring_s *= math.ceil(course.num_scored / course.train.scored_at_once)
    horizon = course.horizon(reserve_s=scoring_s)
    if math.isinf(horizon.deadline_s):
        return horizon, float(horizon.max_steps)
    epoch_s = step_s * course.steps_per_epoch + scoring_s
    left_s = max(horizon.deadline_s - scoring_s - horizon.start_s, step_s)
    epochs = left_s / epoch_s / max(1 - course.standing.done, 1e-9)
    return horizon, min(float(horizon.max_steps), epochs * course.steps_per_epoch)


def _measure(learner: Learner, course: Course, *, progress: Progress) -> tuple[float, float]:
    """Return the seconds of a training step, and of scoring one batch; leaves no trace."""
    train, chosen = course.train, np.arange(course.batch_size)
    batch = Pictures(train.pixels[train.rows[chosen]], chosen, train.labels[chosen])
    before = learner.state()
    step_s = _seconds_a_step(learner, batch)
    if _pays_to_compile(learner, course, step_s=step_s):
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


def _pays_to_compile(learner: Learner, course: Course, *, step_s: float) -> bool:
    """Compiled products round otherwise, so where epochs are given the clock may not decide."""
    budget_s, done, max_steps = course.plan.budget_s, course.standing.done, course.max_steps
    if done >= 1.0:  # stopped after its training, while it was judged
        return False
    if budget_s is None:
        return learner.step.forward.pays(seconds_a_step=None, num_steps=max_steps)
    left = min(max_steps, int(budget_s * (1 - done) / step_s))
    return learner.step.forward.pays(seconds_a_step=step_s, num_steps=left)
