"""What a twin shares with its layer: the tensors under the layer's variables."""

from __future__ import annotations

from typing import Any


def value_of(variable: Any) -> Any:
    """Return the tensor that a Keras variable holds, not a copy; None for None."""
    return None if variable is None else variable.value
