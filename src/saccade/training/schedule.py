"""When training ends, and how fast it learns until then.

Both are functions of one number, the fraction of the work done, from 0 to 1. With epochs it counts
steps, so a run repeats bit for bit; with a budget it follows the clock too, so that the learning
rate reaches its end exactly when the time does, however busy the machine is.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from saccade.training.plan import TrainPlan

_WARM_UP: Final = 0.2  # share of the work over which the rate rises
_START: Final = 0.1  # the first rate, as a share of the peak


def learning_rate_at(fraction: float, *, peak: float) -> float:
    """Return the learning rate after `fraction` (0 to 1) of the work.

    One cycle: a straight rise to `peak`, then a straight fall to 0, as in "Super-convergence"
    (Smith and Topin, 2018). A fall to 0 is what makes a short run as good as its budget allows.
    """
    done = min(max(fraction, 0.0), 1.0)
    if done < _WARM_UP:
        return peak * (_START + (1 - _START) * done / _WARM_UP)
    return peak * (1 - done) / (1 - _WARM_UP)


def rate_at(fraction: float, *, peak: float | None, scale: float, falls: bool) -> float | None:
    """Return the learning rate after `fraction` of the work: of the cycle where it `falls`.

    `scale` shrinks it after failures. None, for no `peak`, leaves it to the model's optimizer.
    """
    if peak is None:
        return None
    return learning_rate_at(fraction, peak=peak * scale) if falls else peak * scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Horizon:
    """How far training goes: `max_steps`, and at most until the clock shows `deadline_s`.

    The last steps end `reserve_s` before it: that long it takes to score and keep what they made.
    `done_before` is the fraction that an earlier, interrupted run had done at `start_s`.
    """

    max_steps: int
    start_s: float = 0.0  # clock of `time.monotonic` when the first planned step began
    deadline_s: float = math.inf
    reserve_s: float = 0.0
    done_before: float = 0.0

    def leaving(self, reserve_s: float) -> Horizon:
        """Return the same with another reserve, as the last epoch needed it."""
        return replace(self, reserve_s=reserve_s)

    def fraction(self, step: int) -> float:
        """Return the fraction of the work done before step `step`, counted from 0; up to 1."""
        by_steps = step / self.max_steps
        if math.isinf(self.deadline_s):
            return min(by_steps, 1.0)
        left_s = max(self.deadline_s - self.reserve_s - self.start_s, 1e-9)
        by_clock = (time.monotonic() - self.start_s) / left_s
        return min(max(by_steps, self.done_before + (1 - self.done_before) * by_clock), 1.0)


def has_stalled(losses: tuple[float, ...], *, patience: int) -> bool:
    """Return whether the lowest loss is `patience` epochs old, or older."""
    if len(losses) <= patience:
        return False
    best = min(range(len(losses)), key=losses.__getitem__)
    return len(losses) - 1 - best >= patience


def patience_for(plan: TrainPlan, num_epochs: float) -> int:
    """Return the plan's patience, or half of the epochs that the time allows if that is less."""
    return min(plan.patience, max(8, math.ceil(num_epochs / 2)))
