"""Any model by its name: a tutorial's network, a `.keras` file, or a function of the user's.

`auto` is not designed here: its design follows from the data, see `saccade.training.plan`. A
network with a backbone is built by `saccade.transfer`.
"""

from __future__ import annotations

import importlib
import re
import sys
import traceback
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from saccade.errors import SettingsError
from saccade.models.backbones import is_backbone
from saccade.models.backend import load_keras
from saccade.models.compact import CompactDesign, build_compact
from saccade.models.labels import check_class_outputs, check_label_outputs, with_label_outputs
from saccade.models.networks import ENDS_IN_ONE, NETWORKS, Shape, build_network

AUTO: Final = "auto"
_FUNCTION: Final = re.compile(r"[^\W\d][\w.]*:[^\W\d]\w*")  # module:function
MODEL_NAMES: Final = (AUTO, *(name for name in NETWORKS if name != "t1"))  # t1 takes no pictures


def build_model(
    name: str,
    *,
    input_shape: Shape,
    num_classes: int,
    design: CompactDesign | None = None,
    several_labels: bool = False,
) -> Any:
    """Return a Keras model from pixels (N, H, W, C), 0 to 255, to one output a class.

    `name` is ``"auto"`` (with its `design`), one of `MODEL_NAMES`, a ``.keras`` file, or
    ``"module:function"`` with ``function(input_shape, num_classes) -> keras.Model``; for two
    classes a single sigmoid serves too. With `several_labels` a picture, an output is a label's, by
    itself: a tutorial's network then ends in logits, and any other must end so or in a sigmoid.
    Raises SettingsError for anything that does not give a model fit for these pictures and classes.
    """
    if several_labels and name in ENDS_IN_ONE:
        raise SettingsError(
            f"{name} ends in one output, for two classes, and --multi-label needs one a label; "
            "use t10 instead"
        )
    model = read_model(name, input_shape=input_shape, num_classes=num_classes, design=design)
    if name not in MODEL_NAMES:
        _check(model, name, input_shape=input_shape, num_classes=num_classes)
        if not several_labels:
            check_class_outputs(model, name, num_classes=num_classes)
    if not several_labels or name == AUTO:
        return model
    if name in MODEL_NAMES:
        return with_label_outputs(model)
    check_label_outputs(model, name, num_labels=num_classes)
    return model


def read_model(
    name: str, *, input_shape: Shape, num_classes: int, design: CompactDesign | None = None
) -> Any:
    """Return a model as `build_model` does, whatever its inputs and outputs are.

    Raises SettingsError where the name gives no Keras model at all.
    """
    if name == AUTO:
        if design is None:
            raise ValueError("the model 'auto' is built from a design")
        return build_compact(design, input_shape=input_shape, num_classes=num_classes)
    if _is_file(name):
        return _load_file(Path(name))
    if ":" in name:
        return _call_function(name, input_shape, num_classes)
    if name in MODEL_NAMES:
        return build_network(name, input_shape=input_shape, num_classes=num_classes)
    raise SettingsError(_unknown(name))


def names_model(name: str) -> bool:
    """Say whether a word that may be data or a model is a model: a file, a function or a name.

    A folder or file that exists is data unless it is a ``.keras`` file; ``./t5`` is a folder.
    """
    if _is_file(name) or name in MODEL_NAMES:
        return True
    return _FUNCTION.fullmatch(name) is not None and not Path(name).exists()


def check_name(name: str) -> None:
    """Raise SettingsError for a name that no model has; cheap, and without keras."""
    if _is_file(name):
        _check_file(Path(name))
    elif ":" not in name and name not in MODEL_NAMES and not is_backbone(name):
        raise SettingsError(_unknown(name))


def wanted_input_shape(name: str) -> Shape | None:
    """Return the (height, width, channels) that a ``.keras`` file asks for; None where free."""
    if not _is_file(name):
        return None
    shape = _single_shape(_load_file(Path(name)).input_shape)
    if shape is None or len(shape) != 4 or None in shape[1:]:
        return None
    height, width, channels = shape[1:]
    return height, width, channels


def _unknown(name: str) -> str:
    return (
        f"no model is called {name!r}; choose from {', '.join(MODEL_NAMES)}, a network of "
        "keras.applications such as MobileNetV2, or give a .keras file or module:function"
    )


def _is_file(name: str) -> bool:
    return name.lower().endswith((".keras", ".h5", ".hdf5"))


def _check_file(path: Path) -> None:
    if path.suffix.lower() != ".keras":
        raise SettingsError(f"{path} is an old format; save the model as a .keras file")
    if not path.is_file():
        raise SettingsError(f"no file {path}; give the path of a .keras file")
    if not zipfile.is_zipfile(path):
        raise SettingsError(
            f"{path} is no .keras file, which is a zip archive; write one with model.save(...)"
        )


def _load_file(path: Path) -> Any:
    """Load with Keras's safe mode on, so that a file cannot bring code of its own to run."""
    _check_file(path)
    keras = load_keras()
    try:
        with warnings.catch_warnings():
            # Of a model that was compiled and not trained; training starts its own optimiser.
            warnings.filterwarnings("ignore", "Skipping variable loading for optimizer")
            return keras.models.load_model(path, safe_mode=True)
    except Exception as error:  # any content may fail in any way: the file is at fault
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise SettingsError(f"cannot load the model {path}: {reason[:300]}") from error


def _call_function(name: str, input_shape: Shape, num_classes: int) -> Any:
    function = _find_function(name)
    try:
        model = function(input_shape, num_classes)
    except Exception as error:  # the user's own code: it may fail in any way
        raise SettingsError(f"{name} fails{_place(error)}: {_said(error)}") from error
    if not isinstance(model, load_keras().Model):
        raise SettingsError(f"{name} returned {type(model).__name__}; it must return a keras.Model")
    return model


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _place(error: Exception) -> str:
    """Return where in the function an error arose; nothing where it could not be called."""
    frames = traceback.extract_tb(error.__traceback__)[1:2]
    return f" at {frames[0].filename}, line {frames[0].lineno}" if frames else ""


def _find_function(name: str) -> Callable[[Shape, int], Any]:
    """Import ``module:function``, also from the current folder, as ``python -m`` would."""
    module_name, _, function_name = name.partition(":")
    folder = str(Path.cwd())
    added = folder not in sys.path
    load_keras()  # so that the user's `import keras` finds the backend already chosen
    if added:
        sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # the user's own code: it may fail in any way
        raise SettingsError(f"cannot import {module_name!r} of {name!r}: {_said(error)}") from error
    finally:
        if added:
            sys.path.remove(folder)
    function: Callable[[Shape, int], Any] | None = getattr(module, function_name, None)
    if not callable(function):
        raise SettingsError(f"{module_name!r} has no function {function_name!r}")
    return function


def _check(model: Any, name: str, *, input_shape: Shape, num_classes: int) -> None:
    """Raise SettingsError unless the model takes these pictures and has an output a class."""
    wanted = _single_shape(model.input_shape)
    if wanted is None or len(wanted) != 4:
        raise SettingsError(
            f"{name} has the input {model.input_shape}; it must take pictures (N, H, W, C)"
        )
    pairs = zip(wanted[1:], input_shape, strict=True)
    if any(want is not None and want != got for want, got in pairs):
        raise SettingsError(f"{name} takes pictures {wanted[1:]}, the data gives {input_shape}")
    given = _single_shape(model.output_shape)
    fits = given is not None and len(given) == 2 and given[1] is not None
    if not fits or (given[1] != num_classes and (given[1], num_classes) != (1, 2)):
        raise SettingsError(
            f"{name} has the output {model.output_shape}; {num_classes} classes need "
            f"(None, {num_classes})"
        )


def _single_shape(shape: Any) -> Any:
    """Return a model's shape where it has one input or output, None where it has several."""
    is_single = isinstance(shape, tuple) and all(isinstance(n, int | None) for n in shape)
    return shape if is_single else None
