"""The one place that chooses what Keras runs on: PyTorch, unless the user chose otherwise.

Keras reads ``KERAS_BACKEND`` once, when it is first imported. A user who set it, or imported keras
before, keeps that choice; everyone else gets PyTorch, on which our engine works.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any

from saccade.errors import MissingExtraError
from saccade.models.process import tune_process

_EXTRA_OF_BACKEND = {"torch": "train", "tensorflow": "tensorflow"}


def load_keras() -> Any:
    """Return the keras module, on PyTorch unless ``KERAS_BACKEND`` says otherwise.

    Raises MissingExtraError where keras, or the backend that it shall run on, is not installed.
    """
    backend = os.environ.setdefault("KERAS_BACKEND", "torch")
    if backend == "torch":
        tune_process()
    try:
        import keras
    except ImportError as error:
        extra = _EXTRA_OF_BACKEND.get(backend, "train")
        raise MissingExtraError(needed_for=f"Keras on {backend}", extra=extra) from error
    return keras


def check_installed() -> None:
    """Raise MissingExtraError unless all that training needs is installed; imports none of it."""
    backend = os.environ.get("KERAS_BACKEND", "torch")
    for package in ("keras", backend, "onnx", "pyarrow", "filelock", "jinja2", "plotly"):
        if find_spec(package) is None:
            extra = _EXTRA_OF_BACKEND.get(backend, "train")
            raise MissingExtraError(needed_for=f"training ({package} is missing)", extra=extra)


def engine_name() -> str:
    """Return what Keras runs on: ``"torch"``, ``"tensorflow"``, ``"jax"`` or another backend."""
    name: str = load_keras().backend.backend()
    return name


def set_seed(seed: int) -> None:
    """Begin all random numbers anew (Python's, NumPy's, the backend's), so that a run repeats."""
    load_keras().utils.set_random_seed(seed)
