"""What a user asks of a run, checked once, frozen; and switches in the environment."""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass
from typing import Any, Final

from saccade.errors import SettingsError

DEFAULT_BUDGET_S: Final = 300.0

_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h)")


def parse_duration(text: str | float) -> float:
    """Return seconds for ``"90s"``, ``"5m"``, ``"1h30m"``, or a number of seconds.

    Raises SettingsError for anything else, and for nothing or less.
    """
    if isinstance(text, int | float):
        seconds = float(text)
    else:
        stripped = text.strip().lower()
        parts = _DURATION.findall(stripped)
        if _DURATION.sub("", stripped).strip() or not parts:
            raise SettingsError(f"a budget is a time such as 90s, 5m or 1h30m, got {text!r}")
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not 0 < seconds < 1e7:
        raise SettingsError(f"a budget is more than nothing and under 100 days, got {text!r}")
    return seconds


def switch(name: str) -> bool | None:
    """Return whether an environment variable says on or off; None where it is not set.

    Raises SettingsError where it says anything else.
    """
    said = os.environ.get(name)
    if said and said not in ("on", "off"):
        raise SettingsError(f"{name} is on or off, got {said!r}")
    return said == "on" if said else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """The settings of one run: the budget or the epochs, the model and its weights, the seed.

    Raises SettingsError where both or neither of `budget_s` and `epochs` are given, and for values
    out of range.
    """

    model: str = "auto"
    budget_s: float | None = None
    epochs: int | None = None
    seed: int = 0
    weights: str | None = None  # a file, for a model of keras.applications
    cut: str | None = None  # the layer of it to stop after
    fine_tune: bool = False

    def __post_init__(self) -> None:
        if (self.budget_s is None) == (self.epochs is None):
            raise SettingsError("give a budget or a number of epochs, not both and not neither")
        if self.epochs is not None and self.epochs < 1:
            raise SettingsError(f"epochs is a whole number from 1, got {self.epochs}")
        if not 0 <= self.seed < 2**32:
            raise SettingsError(f"a seed is a whole number from 0 to 2^32 - 1, got {self.seed}")

    def to_json(self) -> dict[str, Any]:
        """Return the settings as they stand in ``run.json``."""
        return asdict(self)


def choose_settings(
    *,
    model: str,
    budget: str | float | None,
    epochs: int | None,
    seed: int,
    weights: str | os.PathLike[str] | None = None,
    cut: str | None = None,
    fine_tune: bool = False,
) -> TrainSettings:
    """Return the settings for what a user typed; without budget and epochs, five minutes."""
    budget_s = parse_duration(budget) if budget is not None else None
    if budget is None and epochs is None:
        budget_s = DEFAULT_BUDGET_S
    return TrainSettings(
        model=model,
        budget_s=budget_s,
        epochs=epochs,
        seed=seed,
        weights=None if weights is None else os.fspath(weights),
        cut=cut,
        fine_tune=fine_tune,
    )
