"""Pictures that are there without a download, to ask a finished network about.

    found() | made((64, 64, 3))  # {"handwritten digits": [(8, 8, 1) uint8, ...], ...}

Found inside scikit-learn: some of its handwritten digits, and its two photographs, cut into patches
that do not overlap, each photograph a kind of its own (china.jpg by danielbuechele and flower.jpg
by vultilion, Creative Commons BY 2.0; they stay where they are). Made: noise, single colours and
gradients between two colours. All are the same on every machine.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from saccade.data.named import open_named
from saccade.data.raster import Pixels
from saccade.errors import DataError, MissingExtraError
from saccade.progress import Silence

DIGITS: Final = "handwritten digits"
TEMPLE: Final = "patches of a temple"
FLOWER: Final = "patches of a flower"
NUM_REFERENCES: Final = 148  # at most
_PHOTOGRAPHS: Final = {TEMPLE: "china.jpg", FLOWER: "flower.jpg"}
_NUM_DIGITS: Final = 40
_PATCH_PX: Final = 106  # of photographs of 640 x 427: 24 each
_NUM_MADE: Final = 20


def found() -> dict[str, list[Pixels]]:
    """Return what scikit-learn holds, by kind: pictures (h, w, C) of their own size.

    A kind that the installed version lacks is left out.
    """
    photographs = {kind: _patches(name) for kind, name in _PHOTOGRAPHS.items()}
    kinds = {DIGITS: _digits()} | photographs
    return {kind: pictures for kind, pictures in kinds.items() if pictures}


def made(shape: tuple[int, int, int]) -> dict[str, list[Pixels]]:
    """Return made-up pictures of a network's `shape` (H, W, C), by kind."""
    height, width, channels = shape
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (_NUM_MADE, *shape), dtype=np.uint8)
    colours = random.integers(0, 256, (_NUM_MADE, 1, 1, channels), dtype=np.uint8)
    # From 0 in one corner or edge to 1 in the opposite one, in a direction of its own.
    angle = random.uniform(0, 2 * np.pi, (_NUM_MADE, 1, 1, 1))
    across = np.linspace(-1, 1, width)[:, None] * np.cos(angle)
    place = across + np.linspace(-1, 1, height)[:, None, None] * np.sin(angle)
    least, most = place.min(axis=(1, 2), keepdims=True), place.max(axis=(1, 2), keepdims=True)
    place = (place - least) / np.maximum(most - least, 1e-9)
    ends = random.integers(0, 256, (2, _NUM_MADE, 1, 1, channels))
    gradients = np.rint(ends[0] * (1 - place) + ends[1] * place).astype(np.uint8)
    return {
        "pictures of noise": list(noise),
        "single colours": list(np.broadcast_to(colours, noise.shape)),
        "gradients": list(gradients),
    }


def _digits() -> list[Pixels]:
    try:
        source = open_named("digits", progress=Silence())
    except (DataError, MissingExtraError):  # another version of scikit-learn
        return []
    places = np.random.default_rng(0).permutation(len(source.entries))[:_NUM_DIGITS]
    payloads = [payload for _, payload in source.payloads(np.sort(places).tolist())]
    return [payload for payload in payloads if isinstance(payload, np.ndarray)]


def _patches(photograph: str) -> list[Pixels]:
    spec = find_spec("sklearn")
    if spec is None or spec.origin is None:
        return []
    path = Path(spec.origin).parent / "datasets" / "images" / photograph
    if not path.is_file():
        return []
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    return [
        pixels[top : top + _PATCH_PX, left : left + _PATCH_PX]
        for top in range(0, pixels.shape[0] - _PATCH_PX + 1, _PATCH_PX)
        for left in range(0, pixels.shape[1] - _PATCH_PX + 1, _PATCH_PX)
    ]
