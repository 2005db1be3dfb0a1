"""Saccade: from a folder of labelled pictures to a classifier with honest figures.

>>> import saccade
>>> run = saccade.train("photos/", budget="5m")      # doctest: +SKIP
>>> run.test.accuracy                                # doctest: +SKIP
>>> saccade.load(run.model).predict("cat.jpg")       # doctest: +SKIP

Nothing heavy is imported until a name is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from saccade.errors import SaccadeError
    from saccade.predict import Classifier, Prediction, load
    from saccade.recipe import evaluate, train
    from saccade.run import Run
    from saccade.training import fit
    from saccade.types import Interval

_HOME = {
    "Classifier": "saccade.predict",
    "Interval": "saccade.types",
    "Prediction": "saccade.predict",
    "Run": "saccade.run",
    "SaccadeError": "saccade.errors",
    "evaluate": "saccade.recipe",
    "fit": "saccade.training",
    "load": "saccade.predict",
    "train": "saccade.recipe",
}

__all__ = [
    "Classifier",
    "Interval",
    "Prediction",
    "Run",
    "SaccadeError",
    "evaluate",
    "fit",
    "load",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'saccade' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
