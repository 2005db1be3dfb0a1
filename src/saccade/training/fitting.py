"""`saccade.fit`: Keras's ``model.fit``, faster.

The same arguments, the same History, the same callbacks, the same mathematics. What the engine
cannot speed up goes to Keras's own ``fit``, and one line says why, unless ``verbose=0``.

What may differ: the order of shuffling and the places that Dropout picks (both drawn from another
stream of random numbers), and rounding: in bf16 on processors that multiply it in hardware (see
`saccade.training.precision`), else in the last digits of float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
    as it is to Keras: it also leaves out the line that says why Keras's own ``fit`` trained.
    """
    arguments = {name: value for name, value in locals().items() if name != "model"}
    load_keras()
    if engine_name() != "torch":
        return _hand_over(model, arguments, f"Keras runs on {engine_name()}")
    from saccade.training.graph import Unsupported
    from saccade.training.session import Session

    try:
        session = Session(model, arguments)
    except Unsupported as reason:
        return _hand_over(model, arguments, str(reason))
    return session.run()


def _hand_over(model: Any, arguments: dict[str, Any], reason: str) -> Any:
    if arguments["verbose"]:
        print(f"saccade: trained by Keras's own fit, because {reason}", flush=True)
    return model.fit(**arguments)
