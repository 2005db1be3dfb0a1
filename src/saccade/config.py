"""What a user asks of a run, checked once, frozen; and switches in the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from saccade.augmentation import AUTO, parse_augmentation
from saccade.errors import SettingsError

DEFAULT_BUDGET_S: Final = 300.0
SEEDS: Final = 2**32  # how many there are, from 0

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


Measure = Literal["recall", "precision"]
_MEASURES: Final[Mapping[str, Measure]] = {"recall": "recall", "precision": "precision"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """An operating point as a user wishes it: ``recall:dogs=0.95`` is at least 95 % recall."""

    measure: Measure
    class_name: str
    target: float  # between 0 and 1


def parse_wish(text: str) -> Wish:
    """Read ``recall:CLASS=SHARE`` or ``precision:CLASS=SHARE``; raise SettingsError on others."""
    measure, _, rest = text.partition(":")
    class_name, _, share = rest.rpartition("=")
    if measure not in _MEASURES or not class_name:
        raise SettingsError(
            "an operating point is recall:CLASS=SHARE or precision:CLASS=SHARE, such as "
            f"recall:dogs=0.95, got {text!r}"
        )
    try:
        target = float(share)
    except ValueError:
        target = -1.0
    if not 0 < target < 1:
        raise SettingsError(
            f"an operating point's share is above 0 and below 1, such as 0.95, got {share!r}"
        )
    return Wish(measure=_MEASURES[measure], class_name=class_name, target=target)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """What one run is asked for: time or epochs, model and weights, split, augmentation, seed.

    `augment` is as `parse_augmentation` reads it. Raises SettingsError where both or neither of
    `budget_s` and `epochs` are given, and for values out of range.
    """

    model: str = "auto"
    budget_s: float | None = None
    epochs: int | None = None
    seed: int = 0
    group: str | None = None  # a table's column, or a pattern on each picture's path
    exclude: str | None = None  # a CSV file of pictures to leave out
    augment: str = AUTO
    weights: str | None = None  # a file, for a model of keras.applications
    cut: str | None = None  # the layer of it to stop after
    fine_tune: bool = False
    balance: str = AUTO  # labels over uneven classes: auto, on or off
    operating_point: str | None = None  # as `parse_wish` reads it
    multi_label: bool = False  # a picture has any number of labels, and not one class
    folds: int | None = None  # every picture judges once, a training that never saw it
    repeats: int = 1  # of the folding, or of the training, each time with another seed
    learning_curve: bool = False  # spend time on what more pictures and more time are worth

    def __post_init__(self) -> None:
        if (self.budget_s is None) == (self.epochs is None):
            raise SettingsError("give a budget or a number of epochs, not both and not neither")
        if self.epochs is not None and self.epochs < 1:
            raise SettingsError(f"epochs is a whole number from 1, got {self.epochs}")
        if not 0 <= self.seed < SEEDS:
            raise SettingsError(f"a seed is a whole number from 0 to 2^32 - 1, got {self.seed}")
        if self.folds is not None and self.folds < 2:
            raise SettingsError(
                f"folds is a whole number from 2, got {self.folds}; leave it out for one test part"
            )
        if self.repeats < 1:
            raise SettingsError(f"repeats is a whole number from 1, got {self.repeats}")
        if self.balance not in (AUTO, "on", "off"):
            raise SettingsError(f"balance is auto, on or off, got {self.balance!r}")
        if self.operating_point is not None:
            parse_wish(self.operating_point)
        self._refuse_what_is_for_one_class()
        if self.learning_curve and self.num_trainings > 1:
            raise SettingsError(
                "--learning-curve takes the time of several trainings, and so do --folds and "
                "--repeats; give one of them"
            )
        augmentation = parse_augmentation(self.augment)
        if augmentation is not None and augmentation.mixes and self.model != "auto":
            raise SettingsError(
                f"augment: mixup and cutmix are for --model auto, whose loss takes mixed labels; "
                f"leave them out for {self.model}"
            )

    @property
    def num_trainings(self) -> int:
        """How many networks are trained: for each fold of each repeat, and to be shipped."""
        return self.repeats if self.folds is None else 1 + self.folds * self.repeats

    def _refuse_what_is_for_one_class(self) -> None:
        given = {
            "--operating-point": self.operating_point is not None,
            "--balance": self.balance == "on",
            "--folds": self.folds is not None,
            "--repeats": self.repeats != 1,
            "--learning-curve": self.learning_curve,
        }
        for flag, is_given in given.items():
            if self.multi_label and is_given:
                raise SettingsError(f"{flag} is for one class a picture; leave it out here")

    @property
    def wish(self) -> Wish | None:
        """The operating point that is asked for, as `parse_wish` reads it."""
        return None if self.operating_point is None else parse_wish(self.operating_point)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as they stand in ``run.json``."""
        return asdict(self)


def choose_settings(  # noqa: PLR0913  (one keyword a setting)
    *,
    model: str,
    budget: str | float | None,
    epochs: int | None,
    seed: int,
    group: str | None = None,
    exclude: str | os.PathLike[str] | None = None,
    augment: str | Mapping[str, Any] = AUTO,
    weights: str | os.PathLike[str] | None = None,
    cut: str | None = None,
    fine_tune: bool = False,
    operating_point: str | None = None,
    balance: str = AUTO,
    multi_label: bool = False,
    folds: int | None = None,
    repeats: int = 1,
    learning_curve: bool = False,
) -> TrainSettings:
    """Return the settings for what a user typed; without budget and epochs, five minutes."""
    budget_s = DEFAULT_BUDGET_S if epochs is None else None
    if budget is not None:
        budget_s = parse_duration(budget)
    augmentation = parse_augmentation(augment)
    return TrainSettings(
        model=model,
        budget_s=budget_s,
        epochs=epochs,
        seed=seed,
        group=group,
        exclude=None if exclude is None else os.fspath(exclude),
        augment=AUTO if augmentation is None else str(augmentation),
        weights=None if weights is None else os.fspath(weights),
        cut=cut,
        fine_tune=fine_tune,
        operating_point=operating_point,
        balance=balance,
        multi_label=multi_label,
        folds=folds,
        repeats=repeats,
        learning_curve=learning_curve,
    )
