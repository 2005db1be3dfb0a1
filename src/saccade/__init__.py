"""Saccade: from a folder of labelled pictures to a classifier with honest figures.

>>> import saccade
>>> run = saccade.train("photos/", budget="5m")      # doctest: +SKIP
>>> run.test.accuracy                                # doctest: +SKIP
>>> saccade.load(run.model).predict("cat.jpg")       # doctest: +SKIP

Nothing heavy is imported until a name is used.
"""

import os
import sys
from typing import TYPE_CHECKING

from saccade.lazy import lazy_names

__version__ = "0.1.0"

if TYPE_CHECKING:
    from saccade.errors import SaccadeError
    from saccade.predict import Classifier, Prediction, load
    from saccade.recipe import evaluate, train
    from saccade.run import Run
    from saccade.training import fit
    from saccade.types import Interval

_HOME = {
    "Classifier": "predict",
    "Interval": "types",
    "Prediction": "predict",
    "Run": "run",
    "SaccadeError": "errors",
    "evaluate": "recipe",
    "fit": "training",
    "load": "predict",
    "train": "recipe",
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

# Keras reads this once, when it is first imported: the user's own ``import keras``, for a model
# that `fit` shall train, has to find the same engine.
if "KERAS_BACKEND" not in os.environ and "keras" not in sys.modules:
    from importlib.util import find_spec

    if find_spec("torch") is not None:
        os.environ["KERAS_BACKEND"] = "torch"

__getattr__, __dir__ = lazy_names(__name__, _HOME)
