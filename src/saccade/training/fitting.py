"""`saccade.fit`: Keras's ``model.fit``, faster.

The same arguments, the same History, the same callbacks, the same mathematics. What the engine
cannot speed up goes to Keras's own ``fit``, and one line says why, unless ``verbose=0``. Before it
starts, the model doctor looks at model, data and arguments (see `saccade.doctor`), and what is
seriously wrong is printed with its cure; nothing is refused that Keras would do.

What may differ: the order of shuffling and the places that Dropout picks (both drawn from another
stream of random numbers), and rounding: in bf16 on processors that multiply it in hardware (see
`saccade.training.precision`), else in the last digits of float32.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from saccade.doctor import Case, DataFacts, FitCall, warnings_before_training
from saccade.errors import SettingsError
from saccade.models.backend import engine_name, load_keras


def fit(  # noqa: PLR0913  (Keras's own signature, which this stands in for)
    model: Any,
    x: Any = None,
    y: Any = None,
    batch_size: int | None = None,
    epochs: int = 1,
    verbose: int | str = "auto",
    callbacks: Any = None,
    validation_split: float = 0.0,
    validation_data: Any = None,
    shuffle: bool = True,
    class_weight: Mapping[int, float] | None = None,
    sample_weight: Any = None,
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    validation_steps: int | None = None,
    validation_batch_size: int | None = None,
    validation_freq: Any = 1,
) -> Any:
    """Train a compiled Keras model in place and return its History, as ``model.fit`` does.

    >>> history = saccade.fit(model, x, y, epochs=5, validation_data=(x_val, y_val))
    ... # doctest: +SKIP

    Every argument means what it means to Keras. Weights, the optimizer's state and the metrics are
    the model's own, so ``model.fit``, ``evaluate`` or ``save`` may follow. ``verbose=0`` is silent,
    as it is to Keras: it also leaves out the line that says why Keras's own ``fit`` trained, and
    what the model doctor found. What callbacks change in layers and optimizer is followed.

    Raises SettingsError for batches of no size and for an optimizer that was made for other
    weights, and whatever Keras itself raises.
    """
    arguments = {name: value for name, value in locals().items() if name != "model"}
    caller = inspect.currentframe().f_back if verbose else None  # type: ignore[union-attr]
    names = {**caller.f_globals, **caller.f_locals} if caller else {}
    load_keras()
    if engine_name() != "torch":
        return _hand_over(model, arguments, names, f"Keras runs on {engine_name()}")
    from saccade.training.graph import Unsupported
    from saccade.training.session import Session

    try:
        session = Session(model, arguments)
    except Unsupported as reason:
        return _hand_over(model, arguments, names, str(reason))
    except SettingsError:
        raise
    except Exception:  # Keras refuses labels that do not fit: the doctor may know why
        _warn(model, arguments, names)
        raise
    _warn(model, arguments, names)
    return session.run()


def _hand_over(
    model: Any, arguments: Mapping[str, Any], names: Mapping[str, Any], reason: str
) -> Any:
    if arguments["verbose"]:
        print(f"saccade: trained by Keras's own fit, because {reason}", flush=True)
    _warn(model, arguments, names)
    return model.fit(**arguments)


def _warn(model: Any, arguments: Mapping[str, Any], names: Mapping[str, Any]) -> None:
    """Print what is seriously wrong, and its cure; `names` are the caller's variables."""
    if not arguments["verbose"]:
        return
    call = FitCall.of(arguments, names)
    data = DataFacts.of(arguments["x"], arguments["y"])
    for text in warnings_before_training(Case.of(model, data=data, call=call)):
        print(f"saccade: {text}", flush=True)
