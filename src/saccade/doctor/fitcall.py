"""What the doctor knows of one call of `fit`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from saccade.doctor.data import as_array, some_numbers, some_rows
from saccade.models.backend import load_keras

# Of Keras's own callbacks, those that neither stop training nor keep its best weights.
_IDLE: Final = frozenset(
    "BackupAndRestore CSVLogger History LearningRateScheduler ProgbarLogger ReduceLROnPlateau "
    "RemoteMonitor SwapEMAWeights TensorBoard TerminateOnNaN".split()
)
_TEST_NAME: Final = re.compile(r"(?:^|_|[xyXY])[tT]est(?:ing)?(?=$|_|s$|[A-Z0-9])")
_FEW_NUMBERS: Final = 16  # a row; equal rows of fewer are no wonder


@dataclass(frozen=True, slots=True, kw_only=True)
class FitCall:
    """How `fit` was called, as far as rules ask."""

    epochs: int  # that this call trains
    batch_size: int | None
    shuffles: bool
    watched: bool  # a callback may stop it, or keeps the best weights
    has_validation: bool
    validation_split: float
    seen_share: float  # of the validation rows, those that are training rows too, about
    test_name: str | None  # the caller's name of the validation data, where it says "test"

    @classmethod
    def of(cls, arguments: Mapping[str, Any], names: Mapping[str, Any]) -> FitCall:
        """Read Keras's arguments of ``fit``; `names` are the variables that the caller sees."""
        given = arguments["validation_data"]
        split = float(arguments["validation_split"] or 0.0) if given is None else 0.0
        has_validation = given is not None or split > 0
        return cls(
            epochs=arguments["epochs"] - arguments["initial_epoch"],
            batch_size=arguments["batch_size"],
            shuffles=bool(arguments["shuffle"]),
            watched=_is_watched(arguments["callbacks"], has_validation),
            has_validation=has_validation,
            validation_split=split,
            seen_share=0.0 if given is None else _seen_share(arguments["x"], _inputs(given)),
            test_name=None if given is None else _test_name(given, names),
        )


def _is_watched(callbacks: Any, has_validation: bool) -> bool:
    keras = load_keras()
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = callbacks.callbacks
    return any(_watches(callback, has_validation) for callback in keras.tree.flatten(callbacks))


def _watches(callback: Any, has_validation: bool) -> bool:
    if callback is None:
        return False
    monitor = str(getattr(callback, "monitor", ""))
    if monitor.startswith("val_") and not has_validation:
        return False
    kind = type(callback)
    if not kind.__module__.startswith("keras."):
        return True  # the user's own: it may do anything
    if kind.__name__ == "ModelCheckpoint":
        return bool(callback.save_best_only)
    return kind.__name__ not in _IDLE


def _inputs(validation: Any) -> Any:
    return validation[0] if isinstance(validation, tuple | list) and validation else validation


def _seen_share(x: Any, validation: Any) -> float:
    """Return about which share of the validation rows are training rows, from a sample of both.

    A row that both samples hold counts for as many as training has rows for each one looked at.
    """
    if validation is x:
        return 1.0
    first, second = as_array(x), as_array(validation)
    if first is None or second is None or first.shape[1:] != second.shape[1:]:
        return 0.0
    if first[0].size < _FEW_NUMBERS:
        return 0.0
    our_rows, their_rows = some_rows(first), some_rows(second)
    ours, theirs = some_numbers(first, our_rows), some_numbers(second, their_rows)
    known = {digest.tobytes(): row for digest, row in zip(ours, our_rows, strict=True)}
    both = 0
    for digest, row in zip(theirs, their_rows, strict=True):
        same = known.get(digest.tobytes())  # some of its numbers; now all of them
        # Blank rows are equal without being the same picture.
        if same is not None and digest.std() > 0 and np.array_equal(first[same], second[row]):
            both += 1
    return min(1.0, both / len(their_rows) * len(first) / len(our_rows))


def _test_name(validation: Any, names: Mapping[str, Any]) -> str | None:
    """Return a variable that holds the validation data, or what it is a part of, as test data."""
    parts = [validation, *(validation if isinstance(validation, tuple | list) else ())]
    parts += [part.base for part in parts if isinstance(part, np.ndarray)]
    held = {id(part) for part in parts if part is not None}
    return next((n for n, value in names.items() if id(value) in held and _says_test(n)), None)


def _says_test(name: str) -> bool:
    return _TEST_NAME.search(name) is not None
