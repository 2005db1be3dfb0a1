"""Plain numbers and flags that a callback may change in a model's layers while it trains.

A dropout's rate, a momentum, what is frozen: Keras reads them anew at every step. The engine reads
them once, and asks here, after callbacks ran, whether any has changed.
"""

from __future__ import annotations

from typing import Any, Final

_PLAIN: Final = (bool, int, float, type(None))
_CHANGED_BY_KERAS: Final = frozenset({"training"})  # PyTorch's own flag, at every `evaluate`


class Attributes:
    """The plain attributes of a model's layers, and which weights are trained, as they are now.

    >>> attributes = Attributes(model)                  # doctest: +SKIP
    >>> model.layers[0].trainable = False               # doctest: +SKIP
    >>> attributes.changed()                            # doctest: +SKIP
    True
    """

    def __init__(self, model: Any) -> None:
        owners = (*model._flatten_layers(include_self=False), *model.weights)
        self._read = [
            (attributes, name, value)
            for attributes in map(vars, owners)
            for name, value in attributes.items()
            if isinstance(value, _PLAIN) and _may_change(name)
        ]

    def changed(self) -> bool:
        """Whether any is no longer what it was."""
        return any(attributes.get(name) != value for attributes, name, value in self._read)


def _may_change(name: str) -> bool:
    """Whether an attribute is the user's: public, or what lies under `trainable`."""
    return name == "_trainable" or not name.startswith("_") and name not in _CHANGED_BY_KERAS
