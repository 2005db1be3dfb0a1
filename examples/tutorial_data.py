"""Where the examples find their pictures, and whether they run in full.

`--quick` runs an example on few pictures for few epochs, in seconds; the tests do that. Without it
an example runs at the tutorial's own size. Each example says what both sizes are.
"""

from __future__ import annotations

import os
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt
from PIL import Image

import saccade
from saccade.data import open_source
from saccade.progress import Silence

QUICK = "--quick" in sys.argv[1:]
CIFAR10_CLASSES = np.array(
    "airplane automobile bird cat deer dog frog horse ship truck".split()
)  # the official order


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Pictures (N, H, W, C) from 0 to 255 and their labels, as NumPy arrays, in two parts."""

    classes: tuple[str, ...]
    x_train: npt.NDArray[np.uint8]
    y_train: npt.NDArray[np.intp]  # (N,) positions in `classes`
    x_test: npt.NDArray[np.uint8]
    y_test: npt.NDArray[np.intp]


def fashion_mnist(num_train: int | None = None, num_test: int | None = None) -> Pictures:
    """Return Fashion-MNIST, or its first few pictures; downloaded where it is not at hand."""
    try:
        source = open_source("fashion-mnist", progress=Silence())
    except saccade.SaccadeError as error:
        _stop(str(error))
    classes = sorted({entry.label for entry in source.entries})
    labels = np.array([classes.index(entry.label) for entry in source.entries])
    parts = np.array([entry.part for entry in source.entries])
    train = np.flatnonzero(parts == "train")[:num_train]
    test = np.flatnonzero(parts == "test")[:num_test]
    pixels = source.arrays
    return Pictures(
        classes=tuple(classes),
        x_train=pixels[train],
        y_train=labels[train],
        x_test=pixels[test],
        y_test=labels[test],
    )


def archive(name: str) -> Path:
    """Return the path of a file in the folder $SACCADE_DATASETS; stop where it is not there."""
    path = _datasets(name) / name
    if not path.exists():
        _stop(f"put {name} into {path.parent}, which SACCADE_DATASETS names")
    return path


def unpack_few(path: Path, folder: Path, *, every: int) -> Path:
    """Unpack one picture in `every`, to show that a folder does as well as an archive."""
    with tarfile.open(path) as tar:
        pictures = [member for member in tar if member.isfile()]
        tar.extractall(folder, members=pictures[::every], filter="data")
    return next(folder.iterdir())


def cifar10_originals() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.str_]]:
    """Return CIFAR-10's first 2,000 training pictures, unchanged, with their class names."""
    folder = archive("cifar10-lossless-2000")
    sheets = [np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))]
    pixels = np.concatenate(sheets).reshape(-1, 32, 32, 3)  # a sheet's row is one picture
    return pixels, CIFAR10_CLASSES[np.load(folder / "labels.npy")]


def _datasets(name: str) -> Path:
    if "SACCADE_DATASETS" not in os.environ:
        _stop(f"put {name} into a folder and name that folder in SACCADE_DATASETS")
    return Path(os.environ["SACCADE_DATASETS"])


def _stop(message: str) -> NoReturn:
    print(f"{Path(sys.argv[0]).name}: {message}", file=sys.stderr)
    sys.exit(2)
