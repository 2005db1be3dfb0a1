"""The one way from a picture to its class; needs neither keras nor torch.

>>> import saccade
>>> classifier = saccade.load("runs/pets/model.saccade")      # doctest: +SKIP
>>> classifier.predict("cat.jpg").label                        # doctest: +SKIP
'cat'

Pictures are decoded by `saccade.data.picture` as they were in training, several at a time; a batch
then goes through ONNX Runtime. Nothing but a few batches is held, however many pictures there are.
"""

from __future__ import annotations

import glob
import os
import re
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

import numpy as np
import numpy.typing as npt

from saccade.bundle.manifest import Manifest
from saccade.bundle.read import Bundle, read_bundle
from saccade.bundle.runtime import Runtime, num_threads
from saccade.data.picture import Preprocessing
from saccade.data.quiet import QUIET
from saccade.data.raster import PICTURE_SUFFIXES
from saccade.errors import BundleError, DataError, PictureError

if TYPE_CHECKING:
    from PIL import Image

    Picture: TypeAlias = str | os.PathLike[str] | bytes | npt.NDArray[Any] | Image.Image

PixelsOrReason: TypeAlias = npt.NDArray[np.uint8] | str
BUNDLE_NAME: Final = "model.saccade"

# Few, so that a handful of large photographs is shared out among the cores; enough that handing
# them over costs next to nothing for small ones.
_FILES_A_TASK: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a classifier says of one picture; or, with `error`, why it says nothing."""

    path: str | None  # None for a picture that came as bytes, pixels or an open image
    label: str | None = None  # the most probable class, also where `unsure`
    probability: float | None = None  # its calibrated probability
    unsure: bool = False  # whether `probability` is below the classifier's threshold
    probabilities: dict[str, float]  # of every class, in the classifier's order
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the prediction as `saccade predict --format json` writes it."""
        if self.error is not None:
            return {"path": self.path, "error": self.error}
        return {
            "path": self.path,
            "label": self.label,
            "probability": self.probability,
            "unsure": self.unsure,
            "probabilities": dict(self.probabilities),
        }


def load(path: str | os.PathLike[str]) -> Classifier:
    """Return the classifier in a ``model.saccade`` file, or in the folder of a run.

    Raises BundleError for a file that is missing, damaged, hostile or too new.
    """
    file = Path(path)
    file = file / BUNDLE_NAME if file.is_dir() else file
    bundle = read_bundle(file)
    try:
        return Classifier(bundle)
    except BundleError as error:
        raise BundleError(f"{file}: {error}") from error


@final
class Classifier:
    """Names the class of pictures. The same bundle gives the same figures, in any thread."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._runtime = Runtime(
            bundle.onnx,
            input_shape=bundle.manifest.preprocessing.shape,
            num_classes=len(bundle.manifest.classes),
        )

    @property
    def manifest(self) -> Manifest:
        """All that the bundle says of itself."""
        return self._bundle.manifest

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, in the order of the probabilities."""
        return self.manifest.classes

    @property
    def preprocessing(self) -> Preprocessing:
        """What turns a picture into the pixels that `predict_batch` takes."""
        return self.manifest.preprocessing

    @property
    def seen(self) -> npt.NDArray[np.uint64]:
        """Sorted digests of the training pictures' pixels, (K,)."""
        return self._bundle.seen

    def predict(self, picture: Picture) -> Prediction:
        """Return what is on one picture.

        `picture` is a path, a file's bytes, an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), or
        a Pillow image. Raises PictureError where it cannot be used.
        """
        if not isinstance(picture, str | os.PathLike):
            return self._predict(None, self.preprocessing.read(picture))
        path = os.fspath(picture)
        try:
            return self._predict(path, self.preprocessing.read(Path(path)))
        except PictureError as error:
            raise PictureError(f"{path}: {error}") from error

    def predict_batch(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return (N, C) calibrated probabilities for (N, H, W, C) uint8 pixels.

        The pixels are as `preprocessing` reads them. Raises DataError for another shape or type.
        """
        shape = self.preprocessing.shape
        if pixels.dtype != np.uint8 or pixels.shape[1:] != shape:
            raise DataError(
                f"pixels are uint8 (N, {', '.join(map(str, shape))}), "
                f"got {pixels.dtype} {pixels.shape}"
            )
        return self._runtime.probabilities(pixels)

    def predict_files(self, paths: Iterable[str | os.PathLike[str]]) -> Iterator[Prediction]:
        """Yield a prediction for each file, in order, as they come.

        A file that cannot be used gives a Prediction with its `error`, and the rest go on.
        """
        readers = ThreadPoolExecutor(num_threads(), thread_name_prefix="saccade-read")
        try:
            size = self._runtime.batch_size
            ahead = max(2 * size // _FILES_A_TASK, 2 * num_threads())
            pictures = _read_ahead(readers, self.preprocessing, iter(paths), num_tasks=ahead)
            while batch := list(islice(pictures, size)):
                yield from self._predictions(batch)
        finally:  # also where the caller stops listening
            readers.shutdown(cancel_futures=True)

    def _predict(self, path: str | None, pixels: npt.NDArray[np.uint8]) -> Prediction:
        return self._prediction(path, self._runtime.probabilities(pixels[None])[0])

    def _predictions(self, batch: list[tuple[str, PixelsOrReason]]) -> Iterator[Prediction]:
        pixels = [read for _, read in batch if not isinstance(read, str)]
        rows = iter(self._runtime.probabilities(np.stack(pixels)) if pixels else ())
        for path, read in batch:
            if isinstance(read, str):
                yield Prediction(path=path, probabilities={}, error=read)
            else:
                yield self._prediction(path, next(rows))

    def _prediction(self, path: str | None, row: npt.NDArray[np.float32]) -> Prediction:
        shares = dict(zip(self.classes, row.tolist(), strict=True))
        best = int(row.argmax())
        return Prediction(
            path=path,
            label=self.classes[best],
            probability=shares[self.classes[best]],
            unsure=shares[self.classes[best]] < self.manifest.threshold,
            probabilities=shares,
        )


def _read_ahead(
    readers: ThreadPoolExecutor,
    preprocessing: Preprocessing,
    paths: Iterator[str | os.PathLike[str]],
    *,
    num_tasks: int,
) -> Iterator[tuple[str, PixelsOrReason]]:
    """Yield each path with its pixels, or the reason that there are none; read some tasks ahead."""
    ahead: deque[tuple[list[str], Future[list[PixelsOrReason]]]] = deque()
    while True:
        while len(ahead) < num_tasks and (names := _names(paths)):
            ahead.append((names, readers.submit(_read, preprocessing, names)))
        if not ahead:
            return
        names, future = ahead.popleft()
        yield from zip(names, future.result(), strict=True)


def _names(paths: Iterator[str | os.PathLike[str]]) -> list[str]:
    return [os.fspath(path) for path in islice(paths, _FILES_A_TASK)]


def _read(preprocessing: Preprocessing, names: list[str]) -> list[PixelsOrReason]:
    with QUIET:  # once for all, since being first in and last out takes as long as a small picture
        return [_read_one(preprocessing, name) for name in names]


def _read_one(preprocessing: Preprocessing, name: str) -> PixelsOrReason:
    try:
        return preprocessing.read(Path(name))
    except PictureError as error:
        return _why_not_listed(name) or str(error)


def _why_not_listed(path: str) -> str:
    """Return why a folder gave no pictures; nothing for a file."""
    if not os.path.isdir(path):
        return ""
    try:
        os.scandir(path).close()
    except OSError as error:
        return f"this folder cannot be listed: {error.strerror}"
    return ""


def find_pictures(inputs: Iterable[str | os.PathLike[str]]) -> Iterator[Path]:
    """Yield the pictures that files, folders and patterns such as ``photos/*.jpg`` name.

    A folder gives every picture in it and below, in natural order (``2.jpg`` before ``10.jpg``);
    what is no picture by its name, and links to other folders, are passed over. A file that is
    named itself, or by a pattern, is always given, so that whoever reads it says what is wrong with
    it. Raises DataError where a folder or a pattern holds no picture.
    """
    for given in inputs:
        path = Path(given)
        if path.is_dir():
            yield from _some(_in_folder(path), f"{path}: there is no picture in this folder")
        elif not os.path.lexists(path) and glob.has_magic(str(path)):
            yield from _some(_in_pattern(str(path)), f"{path}: no picture has such a name")
        else:
            yield path


def _some(found: Iterator[Path], otherwise: str) -> Iterator[Path]:
    first = next(found, None)
    if first is None:
        raise DataError(otherwise)
    yield first
    yield from found


def _in_pattern(pattern: str) -> Iterator[Path]:
    try:
        names = sorted(glob.iglob(pattern, recursive=True), key=_natural)
    except RecursionError:
        raise DataError(f"{pattern}: folders nest too deep for **; give the folder") from None
    for name in names:
        path = Path(name)
        if not path.is_dir():
            yield path
        elif "**" not in pattern:  # which names the files in its folders one by one
            yield from _in_folder(path)


def _in_folder(folder: Path) -> Iterator[Path]:
    """Yield pictures below `folder`; a loop, not a recursion, since folders nest to any depth."""
    waiting = [os.fspath(folder)]
    while waiting:
        current = waiting.pop()
        try:
            with os.scandir(current) as listing:
                entries = sorted(listing, key=lambda entry: _natural(entry.name))
        except OSError:
            yield Path(current)  # reading it gives the reason as this row's error
            continue
        inner = []
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                inner.append(entry.path)
            elif Path(entry.name).suffix.lower() in PICTURE_SUFFIXES and entry.is_file():
                yield Path(entry.path)
        waiting.extend(reversed(inner))


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Return a key that sorts numbers inside names by their value."""
    parts = re.split(r"(\d+)", name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]
