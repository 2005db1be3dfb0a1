"""The one way from a picture to its class; needs neither keras nor torch.

>>> import saccade
>>> classifier = saccade.load("runs/pets/model.saccade")      # doctest: +SKIP
>>> classifier.predict("cat.jpg").label                        # doctest: +SKIP
'cat'

Pictures are decoded by `saccade.data.picture` as they were in training. Each core takes some files
at a time, decodes them and puts them through ONNX Runtime, so that decoding and inference go on
side by side; nothing but a few such tasks is held, however many pictures there are.
"""

from __future__ import annotations

import glob
import os
import re
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, final

import numpy as np
import numpy.typing as npt

from saccade.bundle.manifest import Manifest
from saccade.bundle.read import Bundle, read_bundle
from saccade.bundle.runtime import Outputs, Runtime
from saccade.data.picture import Preprocessing
from saccade.data.quiet import QUIET
from saccade.data.raster import PICTURE_SUFFIXES
from saccade.errors import BundleError, DataError, PictureError
from saccade.machine import usable_cores

if TYPE_CHECKING:
    from PIL import Image

    Picture: TypeAlias = str | os.PathLike[str] | bytes | npt.NDArray[Any] | Image.Image

Row: TypeAlias = tuple[npt.NDArray[np.float32], float | None]  # (C,) probabilities, unusualness
NamedResult: TypeAlias = tuple[str, Row | str]  # a file's name with its row, or why it has none
BUNDLE_NAME: Final = "model.saccade"

# What one core takes at a time: small pictures by the dozen, large photographs one by one, so that
# a handful of them is shared out among the cores.
_FILES_A_TASK: Final = 32
_BYTES_A_TASK: Final = 2**18
# Below this, Python, which one thread runs at a time, takes as long as the decoder or longer;
# threads that then fight over the interpreter are slower than threads that take turns.
_SMALL_BYTES: Final = 2**12


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a classifier says of one picture; or, with `error`, why it says nothing.

    Of a model with several labels a picture, `labels` are those whose probability reaches the
    label's threshold, perhaps none, and there is no one `label`.
    """

    path: str | None  # None for a picture that came as bytes, pixels or an open image
    label: str | None = (
        None  # the most probable class, or as the manifest names it; also if `unsure`
    )
    probability: float | None = None  # its calibrated probability
    unsure: bool = False  # whether `probability` is below the classifier's threshold
    unusualness: float | None = None  # 0 and more; None where the bundle has no such score
    unknown: bool = False  # whether `unusualness` is above 1: like nothing in training
    probabilities: dict[str, float]  # of every class, in the classifier's order
    labels: tuple[str, ...] | None = None  # where a picture has several: those that are said
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the prediction as `saccade predict --format json` writes it."""
        if self.error is not None:
            return {"path": self.path, "error": self.error}
        if self.labels is not None:
            return {
                "path": self.path,
                "labels": list(self.labels),
                "unusualness": self.unusualness,
                "unknown": self.unknown,
                "probabilities": dict(self.probabilities),
            }
        return {
            "path": self.path,
            "label": self.label,
            "probability": self.probability,
            "unsure": self.unsure,
            "unusualness": self.unusualness,
            "unknown": self.unknown,
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
        self._runtime = self._new_runtime()
        self._turn = threading.Lock()  # of the one thread that decodes small pictures

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
            (row,) = _rows(self._runtime.run(self.preprocessing.read(picture)[None]))
            return _prediction(self.manifest, None, row)
        path = os.fspath(picture)
        try:
            pixels = self.preprocessing.read(path)
        except PictureError as error:
            raise PictureError(f"{path}: {error}") from error
        (row,) = _rows(self._runtime.run(pixels[None]))
        return _prediction(self.manifest, path, row)

    def predict_batch(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return (N, C) calibrated probabilities for (N, H, W, C) uint8 pixels.

        The pixels are as `preprocessing` reads them. Raises DataError for another shape or type.
        """
        return self.run_batch(pixels).probabilities

    def run_batch(self, pixels: npt.NDArray[np.uint8]) -> Outputs:
        """Return what `predict_batch` does, and how unusual each picture is, (N,) or None.

        An unusualness above 1 is unknown.
        """
        shape = self.preprocessing.shape
        if pixels.dtype != np.uint8 or pixels.shape[1:] != shape:
            raise DataError(
                f"pixels are uint8 (N, {', '.join(map(str, shape))}), "
                f"got {pixels.dtype} {pixels.shape}"
            )
        return self._runtime.run(pixels)

    def predict_files(self, paths: Iterable[str | os.PathLike[str]]) -> Iterator[Prediction]:
        """Yield a prediction for each file, in order, as they come.

        A file that cannot be used gives a Prediction with its `error`, and the rest go on.
        """
        runtime = self._runtime
        most = min(_FILES_A_TASK, runtime.batch_size)
        workers = ThreadPoolExecutor(usable_cores(), thread_name_prefix="saccade-predict")
        ahead: deque[Future[list[NamedResult]]] = deque()
        try:
            for task in _tasks(paths, most):
                if ahead and runtime is self._runtime:  # more than one task
                    runtime = self._new_runtime(one_core=True)
                ahead.append(workers.submit(self._results, task, runtime))
                if len(ahead) > 2 * usable_cores():
                    yield from self._answers(ahead.popleft())
            while ahead:
                yield from self._answers(ahead.popleft())
        finally:  # also where the caller stops listening
            workers.shutdown(cancel_futures=True)

    def _new_runtime(self, *, one_core: bool = False) -> Runtime:
        return Runtime(
            self._bundle.onnx,
            input_shape=self.preprocessing.shape,
            num_classes=len(self.classes),
            has_unusualness=self.manifest.unknown_rate is not None,
            one_core=one_core,
        )

    def _results(self, task: _Task, runtime: Runtime) -> list[NamedResult]:
        """Return, of some files, the probabilities or the reason that there are none."""
        # Silence once for all: setting it up takes as long as a small picture.
        with self._turn if task.small else nullcontext(), QUIET:
            read = [_read(self.preprocessing, name) for name in task.names]
        pixels = [picture for picture in read if not isinstance(picture, str)]
        rows = iter(_rows(runtime.run(np.stack(pixels))) if pixels else ())
        return [
            (name, picture if isinstance(picture, str) else next(rows))
            for name, picture in zip(task.names, read, strict=True)
        ]

    def _answers(self, done: Future[list[NamedResult]]) -> Iterator[Prediction]:
        for name, result in done.result():
            if isinstance(result, str):
                yield Prediction(path=name, probabilities={}, error=result)
            else:
                yield _prediction(self.manifest, name, result)


def _prediction(manifest: Manifest, path: str | None, row: Row) -> Prediction:
    probabilities, unusualness = row
    shares = dict(zip(manifest.classes, probabilities.tolist(), strict=True))
    strange: dict[str, Any] = {
        "unusualness": unusualness,
        "unknown": unusualness is not None and unusualness > 1,
    }
    if manifest.several_labels:
        (said,) = manifest.answers(probabilities[None])
        labels = tuple(manifest.classes[place] for place in np.flatnonzero(said))
        return Prediction(path=path, labels=labels, probabilities=shares, **strange)
    label = manifest.classes[int(manifest.predicted(probabilities[None])[0])]
    return Prediction(
        path=path,
        label=label,
        probability=shares[label],
        unsure=shares[label] < manifest.threshold,
        probabilities=shares,
        **strange,
    )


def _rows(outputs: Outputs) -> list[Row]:
    scores = outputs.unusualness
    each = [None] * len(outputs.probabilities) if scores is None else scores.tolist()
    return list(zip(outputs.probabilities, each, strict=True))


class _Task(NamedTuple):
    """Files for one core to decode and predict."""

    names: list[str]
    small: bool


def _tasks(paths: Iterable[str | os.PathLike[str]], most: int) -> Iterator[_Task]:
    names: list[str] = []
    num_bytes = 0
    for path in paths:
        names.append(os.fspath(path))
        num_bytes += _num_bytes(names[-1])
        if len(names) == most or num_bytes >= _BYTES_A_TASK:
            yield _Task(names, num_bytes < _SMALL_BYTES * len(names))
            names, num_bytes = [], 0
    if names:
        yield _Task(names, num_bytes < _SMALL_BYTES * len(names))


def _num_bytes(name: str) -> int:
    try:
        return os.stat(name).st_size
    except (OSError, ValueError):  # whoever reads it says why
        return 0


def _read(preprocessing: Preprocessing, name: str) -> npt.NDArray[np.uint8] | str:
    try:
        return preprocessing.read(name)
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
            elif os.path.splitext(entry.name)[1].lower() in PICTURE_SUFFIXES and entry.is_file():
                yield Path(entry.path)
        waiting.extend(reversed(inner))


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Return a key that sorts numbers inside names by their value."""
    parts = re.split(r"(\d+)", name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]
