"""Training: the engine, ``saccade.fit``, and the training of a whole journey.

Names load on first use, since they bring Keras and PyTorch with them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saccade.training.fitting import fit

_HOME = {
    "fit": "saccade.training.fitting",
}

__all__ = ["fit"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'saccade.training' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
