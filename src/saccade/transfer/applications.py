"""A backbone: a network of `keras.applications` without its head, frozen, that takes plain pixels.

    body = backbone("InceptionV3", 150, weights="imagenet", cut="mixed7")
    body.model  # (N, 150, 150, 3) pixels, 0 to 255, to (N, 768)

Each family wants its pixels scaled in its own way. That scaling is read off the family's own
`preprocess_input` and made a layer of the model, so it exists once and travels with it.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from saccade.errors import SettingsError
from saccade.models.backbones import IMAGENET
from saccade.models.backend import load_keras


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Backbone:
    """Frozen layers from pixels to features."""

    name: str
    size_px: int
    cut: str | None  # the layer whose output is the features; None for the last
    model: Any  # Keras: (N, size_px, size_px, 3) from 0 to 255 -> (N, D), or (N, h, w, D)
    digest: str  # of structure and weights, 64 hexadecimal digits

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Return (height, width, channels) of a picture."""
        return self.size_px, self.size_px, 3

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Return the shape of one picture's features: (D,), or (h, w, D)."""
        return tuple(int(side) for side in self.model.output_shape[1:])


def backbone(
    name: str,
    size_px: int,
    *,
    weights: Path | str | None = IMAGENET,
    cut: str | None = None,
    pool: bool = True,
) -> Backbone:
    """Build a frozen backbone for square pictures of `size_px`.

    `name` is a function of `keras.applications`, for MobileNets with their width where it is not 1:
    ``"MobileNet-0.25"``. `weights` is ``"imagenet"`` (Keras downloads them, once), a file saved
    with ``include_top=False``, or None for random ones. `cut` names the layer to stop after.
    Features are averaged over the picture unless `pool` is False. Raises SettingsError where any
    of these does not fit.
    """
    body = _cut(_body(name, size_px, weights), name, cut)
    keras = load_keras()
    pixels = keras.Input((size_px, size_px, 3), name="pixels")
    maps = body(_preprocessed(keras, _function(name)[0], pixels))
    if pool and len(maps.shape) == 4:
        maps = keras.layers.GlobalAveragePooling2D(name="average")(maps)
    model = keras.Model(pixels, maps, name="backbone")
    model.trainable = False
    digest = _digest(model, name=name, size_px=size_px, cut=cut, pool=pool)
    return Backbone(name=name, size_px=size_px, cut=cut, model=model, digest=digest)


def _function(name: str) -> tuple[Any, dict[str, float]]:
    """Return the function that builds the network, and what `name` says beside that."""
    applications = load_keras().applications
    known = [word for word in dir(applications) if word[0].isupper()]
    family, _, width = name.partition("-")
    if family not in known:
        near = difflib.get_close_matches(family, known, n=3, cutoff=0.3) or known
        raise SettingsError(f"no backbone is called {name!r}; there is {', '.join(near)}")
    if not width:
        return getattr(applications, family), {}
    try:
        alpha = float(width)
    except ValueError:
        alpha = 0.0
    if alpha <= 0 or not family.startswith("MobileNet"):
        raise SettingsError(
            f"no backbone is called {name!r}; a width follows a MobileNet, as in MobileNet-0.25"
        )
    return getattr(applications, family), {"alpha": alpha}


def _body(name: str, size_px: int, weights: Path | str | None) -> Any:
    """Return Keras's own model, with its weights."""
    function, arguments = _function(name)
    source = IMAGENET if weights == IMAGENET else None
    try:
        with warnings.catch_warnings():
            # MobileNets warn that weights of 224 px serve another size, which is wanted here.
            warnings.simplefilter("ignore")
            body = function(
                weights=source, include_top=False, input_shape=(size_px, size_px, 3), **arguments
            )
    except ValueError as error:
        raise SettingsError(f"{name} cannot be built at {size_px} px: {_said(error)}") from error
    except Exception as error:  # Keras raises a bare Exception where a download fails
        raise SettingsError(
            f"the weights of {name} cannot be downloaded ({_said(error)}); give a file of them "
            "with --weights FILE"
        ) from error
    if weights not in (None, IMAGENET):
        _load_weights(body, name, Path(str(weights)))
    return body


def _load_weights(body: Any, name: str, path: Path) -> None:
    if name.startswith("EfficientNetB"):
        # Keras divides its pixels once more, by a constant, only for weights that it downloads.
        raise SettingsError(
            f"{name} takes no file: Keras scales its pixels in one way for its own weights and in "
            f"another for a file; use {name.replace('NetB', 'NetV2B')} or weights='imagenet'"
        )
    if not path.is_file():
        raise SettingsError(f"no weights file {path}; give 'imagenet' or the path of an .h5 file")
    try:
        body.load_weights(path)
    except Exception as error:  # any content may fail in any way: the file is at fault
        raise SettingsError(
            f"{path} does not hold the weights of {name} without its head "
            f"(include_top=False): {_said(error)}"
        ) from error


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _cut(body: Any, name: str, cut: str | None) -> Any:
    if cut is None:
        return body
    names = [layer.name for layer in body.layers]
    if cut not in names:
        near = difflib.get_close_matches(cut, names, n=3, cutoff=0.3) or names[-3:]
        raise SettingsError(f"{name} has no layer {cut!r}; there is {', '.join(near)}")
    return load_keras().Model(body.inputs, body.get_layer(cut).output, name=body.name)


def _preprocessed(keras: Any, function: Any, pixels: Any) -> Any:
    """Add the family's `preprocess_input`, y = x A + b over the channels, as a layer."""
    matrix, offset = _affine(sys.modules[function.__module__].preprocess_input)
    scale = np.diag(matrix)
    if np.array_equal(matrix, np.eye(3)) and not offset.any():
        return pixels  # the family scales inside its network
    if np.array_equal(matrix, np.diag(scale)):
        same = len({*scale}) == len({*offset}) == 1
        numbers = (scale[0], offset[0]) if same else (scale, offset)
        return keras.layers.Rescaling(*(np.asarray(n).tolist() for n in numbers))(pixels)
    layer = keras.layers.Conv2D(3, 1, name="preprocessing")  # the channels change places
    scaled = layer(pixels)
    layer.set_weights([matrix.reshape(1, 1, 3, 3), offset])
    return scaled


def _affine(preprocess: Any) -> tuple[Any, Any]:
    """Return A (3, 3) and b (3,), by the images of black and of the three full colours."""
    probe = np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)]).reshape(4, 1, 1, 3)
    values = np.asarray(preprocess(probe.copy()), dtype=np.float64).reshape(4, 3)
    return np.round((values[1:] - values[0]) / 255, 12), values[0]


def _digest(model: Any, **structure: Any) -> str:
    """Return the SHA-256 of what the model computes: how it was made, and its weights.

    Without the layers' names: Keras numbers them by what else this process has built.
    """
    digest = hashlib.sha256(json.dumps(structure, sort_keys=True).encode())
    for values in model.get_weights():
        digest.update(f"{values.dtype} {values.shape}\n".encode())
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()
