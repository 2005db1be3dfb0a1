"""Writing a bundle: convert, put together, read back, compare with the model, and only then keep.

The gate runs the file as it will be used (`read_bundle`, `Runtime`) over pictures whose logits the
trained model gave, in float32. Allowed are at most `MAX_DIFFERENCE` in any probability and
`MEAN_DIFFERENCE` on average. Two float32 implementations of one network differ by about 1e-6 here,
and by 1e-3 where a sigmoid saturates (float32 tells 1 - p from 0 no better) or a GPU multiplies in
TF32; a lost offset, a swapped channel or another epsilon moves many pictures by far more. Half a
per cent is what a reader of whole per cents could see. A label can differ then only where the two
most probable classes were within one per cent of each other.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from saccade import files
from saccade.bundle.manifest import KERAS, MANIFEST, ONNX, SEEN, Manifest
from saccade.bundle.read import read_bundle
from saccade.bundle.runtime import Runtime
from saccade.errors import BundleError
from saccade.evaluation.calibration import apply_temperature
from saccade.evaluation.thresholds import label_probabilities

if TYPE_CHECKING:
    from saccade.bundle.unusualness import Known

MAX_DIFFERENCE: Final = 5e-3
MEAN_DIFFERENCE: Final = 2e-4


def write_bundle(
    path: Path,
    manifest: Manifest,
    *,
    model: Any,
    seen: npt.NDArray[np.uint64],
    parity_pixels: Iterable[npt.NDArray[np.uint8]],
    parity_logits: npt.NDArray[np.floating[Any]],
    known: Known | None = None,
) -> Manifest:
    """Write ``model.saccade`` and return its manifest, with the digests filled in.

    `model` is a Keras model of (N, H, W, C) pixels; `seen` the digests of its training pictures'
    pixels; `parity_pixels` are batches (n, H, W, C) of pictures, `parity_logits` (N, C) what
    `model` says of them all. With `known`, and a network that has features, the bundle also scores
    how unlike those pictures one is. Raises BundleError, and leaves `path` as it was, where the
    model cannot be converted, or the bundle disagrees with it.
    """
    # These bring onnx, which no reader of bundles needs.
    from saccade.bundle.graph import to_onnx
    from saccade.bundle.unusualness import FALSE_ALARMS

    document, scores_unusualness = to_onnx(
        model,
        input_shape=manifest.preprocessing.shape,
        num_classes=len(manifest.classes),
        temperature=manifest.temperature,
        several_labels=manifest.several_labels,
        known=known,
    )
    contents = {
        ONNX: document,
        KERAS: _keras_file(model),
        SEEN: _npy_file(np.sort(np.asarray(seen, dtype="<u8"))),
    }
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    unknown_rate = FALSE_ALARMS if scores_unusualness else None
    complete = replace(manifest, digests=digests, unknown_rate=unknown_rate)
    with files.atomic_path(path) as temporary:
        write_members(temporary, {MANIFEST: manifest_file(complete)} | contents)
        _check_parity(temporary, complete, parity_pixels, parity_logits)
    return complete


def _keras_file(model: Any) -> bytes:
    """Return the model as Keras saves it."""
    with tempfile.TemporaryDirectory(prefix="saccade-") as folder:
        path = Path(folder) / KERAS
        try:
            model.save(path)
        except (TypeError, ValueError, NotImplementedError) as error:
            raise BundleError(f"Keras cannot save the model: {error}") from error
        return path.read_bytes()


def manifest_file(manifest: Manifest) -> bytes:
    """Return the manifest as the content of ``manifest.json``."""
    text = files.readable_json(manifest.to_json())
    # A path's byte that is no UTF-8 becomes an escape that JSON reads back as it was.
    return (text + "\n").encode("utf-8", "backslashreplace")


def _npy_file(array: npt.NDArray[np.uint64]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def write_members(path: Path, contents: dict[str, bytes]) -> None:
    """Write a bundle's members, stored, in this order."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in contents.items():
            # A fixed time: the same members give the same file.
            archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), content)


def _check_parity(
    path: Path,
    manifest: Manifest,
    batches: Iterable[npt.NDArray[np.uint8]],
    logits: npt.NDArray[np.floating[Any]],
) -> None:
    bundle = read_bundle(path)
    runtime = Runtime(
        bundle.onnx,
        input_shape=bundle.manifest.preprocessing.shape,
        num_classes=len(bundle.manifest.classes),
        has_unusualness=bundle.manifest.unknown_rate is not None,
    )
    parts = [runtime.probabilities(pixels) for pixels in batches]
    num_pictures = sum(len(part) for part in parts)
    if num_pictures == 0 or logits.shape != (num_pictures, len(manifest.classes)):
        raise BundleError(f"no pictures to compare: {num_pictures} with logits of {logits.shape}")
    given = np.concatenate(parts)
    calibrated = label_probabilities if manifest.several_labels else apply_temperature
    wanted = calibrated(logits, manifest.temperature)
    difference = np.abs(given - wanted).max(axis=1)
    # A NaN compares as false, so the condition is what must hold.
    if difference.max() <= MAX_DIFFERENCE and difference.mean() <= MEAN_DIFFERENCE:
        return
    relabelled = int((manifest.answers(given) != manifest.answers(wanted)).sum())
    raise BundleError(
        f"not written: over {num_pictures:,} pictures the bundle's probabilities differ from the "
        f"model's by up to {difference.max():.2g} (allowed {MAX_DIFFERENCE:g}), on average by "
        f"{difference.mean():.2g} (allowed {MEAN_DIFFERENCE:g}); {relabelled:,} change their label"
    )
