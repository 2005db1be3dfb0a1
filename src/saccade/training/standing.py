"""Where a training stands: what a checkpoint holds besides the engine's own state."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Final

import numpy as np

from saccade.augmentation import Augmentation
from saccade.errors import DataError
from saccade.models import set_seed
from saccade.training.checkpoint import Arrays, Checkpoint, under
from saccade.training.plan import TrainPlan
from saccade.training.result import DECIDING, KEYS, FitResult, Losses
from saccade.training.schedule import has_stalled, patience_for

_MOST_RETRIES: Final = 3
_CLEARLY: Final = 1.0  # standard errors; docs/journey.md has what one and two give
_HELD_AS_ARRAYS: Final = ("best", "lowest_losses")


@dataclass(slots=True, kw_only=True)
class Standing:
    """Counts, figures and the best weights so far; changed as training goes."""

    epoch: int = 0  # epochs finished
    step: int = 0
    done: float = 0.0  # fraction of the work, 0 to 1
    rate_scale: float = 1.0  # halved each time the loss was not a number
    retries: int = 0
    train_seconds: float = 0.0  # in training steps
    num_images: int = 0
    history: dict[str, list[float]] = field(default_factory=lambda: {key: [] for key in KEYS})
    best_epoch: int = 0  # from 1; 0 before the first
    best: Arrays = field(default_factory=dict)  # its weights
    lowest_losses: Losses = field(default_factory=lambda: np.empty(0))
    notes: list[str] = field(default_factory=list)
    arithmetic: str = ""  # what rounds its numbers, in words; empty for Keras's own fit

    @classmethod
    def from_checkpoint(cls, stored: Checkpoint) -> Standing:
        """Read what `to_checkpoint` made."""
        lowest = stored.arrays["lowest_losses"]
        return cls(**stored.document, best=under("best/", stored.arrays), lowest_losses=lowest)

    def to_checkpoint(self, state: Arrays) -> Checkpoint:
        """Return a checkpoint with the engine's own state; `under` "state/" finds it again."""
        arrays = {f"state/{name}": value for name, value in state.items()}
        arrays |= {f"best/{name}": value for name, value in self.best.items()}
        arrays["lowest_losses"] = self.lowest_losses
        names = [entry.name for entry in fields(self) if entry.name not in _HELD_AS_ARRAYS]
        return Checkpoint(arrays=arrays, document={name: getattr(self, name) for name in names})

    def calculate_by(self, arithmetic: str) -> None:
        """Go on by this arithmetic, and note where another began the training."""
        before, self.arithmetic = self.arithmetic, arithmetic
        if before not in ("", arithmetic):
            self.notes.append(
                f"went on by {arithmetic}, after {before}: close to what training in one go "
                "gives, but not equal"
            )

    def begin_epoch(self, seed: int) -> np.random.Generator:
        """Begin all random numbers anew for the next epoch; return those of the loop.

        They follow from (seed, epoch) alone, the global ones too, of which a user's own layer may
        draw: so a resumed run repeats an uninterrupted one.
        """
        set_seed(int(np.random.SeedSequence((seed, self.epoch)).generate_state(1)[0]))
        return np.random.default_rng((seed, self.epoch))

    def copy(self) -> Standing:
        """Return a copy that later epochs leave alone."""
        history = {key: list(values) for key, values in self.history.items()}
        return replace(self, history=history, notes=list(self.notes))

    def record(self, figures: Mapping[str, float], losses: Losses, *, falling: bool) -> bool:
        """Take in an epoch's figures; return whether it is the best so far, to be kept.

        `losses` (n,) are the calibrated ones of the validation pictures. Which epoch has the lowest
        mean is partly chance. Where the rate is `falling`, a later one within a standard error of
        it, picture by picture, is taken for the better one, after the rule of Breiman, Friedman,
        Olshen and Stone ("Classification and Regression Trees", 1984) for the choice among trees.
        """
        lowest = min(self.history[DECIDING], default=math.inf)
        for key in KEYS:
            self.history[key].append(figures[key])
        if figures[DECIDING] < lowest:
            self.lowest_losses = losses
        elif not falling or _is_clearly_above(losses, self.lowest_losses):
            return False
        self.best_epoch = len(self.history[DECIDING])
        return True

    def is_finished(self, plan: TrainPlan) -> bool:
        """Return whether the work is done, or nothing has improved for long.

        How long follows from the epochs that there will be, as their pace so far tells it: a busy
        moment while the warm-up measured must not make training impatient.
        """
        num_epochs = round(self.epoch / self.done) if self.done else plan.max_epochs
        patience = patience_for(plan, num_epochs)
        return self.done >= 1.0 or has_stalled(tuple(self.history[DECIDING]), patience=patience)

    def after_failure(self, failed: Standing, plan: TrainPlan, *, fixed: bool) -> Standing:
        """Return this standing with half the learning rate, after an epoch that `failed`.

        Raises DataError when it failed too often, or where the rate is `fixed` by an optimizer's
        own schedule. The time that was lost stays lost.
        """
        if fixed:
            raise DataError(
                f"the loss is not a number in epoch {self.epoch + 1}, and the optimizer's own "
                "schedule, or rates, cannot be lowered from outside; compile the model with lower "
                "ones, or look for extreme values in the pictures or in the model"
            )
        again = self.copy()
        again.retries += 1
        again.rate_scale /= 2
        if again.retries > _MOST_RETRIES:
            raise DataError(
                f"the loss is not a number in epoch {self.epoch + 1}, even at {self.rate_scale:g} "
                "of the learning rate; look for extreme values in the pictures or in the model"
            )
        if plan.budget_s is not None:
            again.done = failed.done
        again.notes.append(
            f"epoch {self.epoch + 1}: the loss was not a number; undone, and retried at "
            f"{again.rate_scale:g} of the learning rate"
        )
        return again

    def refuse_untrained(self) -> None:
        """Raise DataError where no epoch of a finished training ended in numbers."""
        if not self.best:
            raise DataError(
                "the loss was not a number in any epoch that the time allowed; look for extreme "
                "values in the pictures or in the model, or give a larger budget"
            )

    def result(
        self,
        *,
        started: float,
        precision: str,
        compiled: bool,
        compiled_reason: str = "",
        augmentation: Augmentation,
        stopped: bool,
        notes: list[str],
    ) -> FitResult:
        """Return how training went; `started` is on the clock of `time.monotonic`."""
        ended_early = not stopped and self.done < 1.0
        if ended_early:
            notes = [
                *notes,
                f"stopped early, after epoch {self.epoch}: the validation loss fell no more",
            ]
        return FitResult(
            history={key: tuple(values) for key, values in self.history.items()},
            best_epoch=self.best_epoch,
            num_epochs=self.epoch,
            seconds=time.monotonic() - started,
            images_per_second=self.num_images / max(self.train_seconds, 1e-9),
            precision=precision,
            compiled=compiled,
            compiled_reason=compiled_reason,
            augmentation=augmentation,
            stopped=stopped,
            ended_early=ended_early,
            notes=(*self.notes, *notes),
        )


def _is_clearly_above(losses: Losses, lowest: Losses) -> bool:
    """Return whether the mean of n losses is by more above that of others than chance makes it."""
    above = losses - lowest
    if len(above) < 2:
        return bool(above.mean() > 0)
    return bool(above.mean() > _CLEARLY * above.std(ddof=1) / math.sqrt(len(above)))
