"""From a trained network to honest figures: calibrate on validation, score the test part once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from saccade.bundle import Outputs
from saccade.config import Wish
from saccade.evaluation import (
    TARGET_ERROR_RATE,
    Evaluation,
    Leak,
    OperatingPoint,
    Trainings,
    Unknown,
    apply_temperature,
    choose_operating_point,
    choose_threshold,
    confident_mistakes,
    evaluate,
    fit_temperature,
    least_sure,
    named_by_weight,
    operate,
)
from saccade.files import atomic_path
from saccade.predict import Classifier
from saccade.progress import Progress
from saccade.recipe.prepare import Prepared
from saccade.training import Pictures

_GRID: Final = 25
_SHOWN: Final = 24  # mistakes, and least sure pictures


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What validation says of the logits: how much too sure, and from where on unsure."""

    temperature: float
    threshold: float
    operating_point: OperatingPoint | None = None
    class_weights: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Verdict:
    """What is said of the pictures that judge, and every figure of it; (n,) but for the first."""

    probabilities: npt.NDArray[np.float32]  # (n, C)
    rows: npt.NDArray[np.intp]  # of the index and the cache
    labels: npt.NDArray[np.integer[Any]]
    named: npt.NDArray[np.integer[Any]]
    sure: npt.NDArray[np.bool_]  # False where the answer is "unsure"
    evaluation: Evaluation
    leak: Leak | None
    unknown: Unknown | None = None  # how many of them are called unknown; None also in folds
    trainings: Trainings | None = None  # where several networks say it
    fold: npt.NDArray[np.intp] | None = None  # from 1: in which each picture is judged


def calibrate(
    logits: npt.NDArray[np.float32],
    labels: npt.NDArray[np.integer[Any]],
    *,
    classes: tuple[str, ...],
    wish: Wish | None,
    weights: tuple[float, ...] | None,
) -> Calibration:
    """Return the calibration for (N, C) validation logits and their labels.

    At an operating point that a user wishes for, every picture is answered: it decides instead.
    """
    temperature = fit_temperature(logits, labels)
    probabilities = apply_temperature(logits, temperature)
    if wish is not None:
        point = choose_operating_point(probabilities, labels, classes=classes, wish=wish)
        return Calibration(temperature=temperature, threshold=0.0, operating_point=point)
    threshold = choose_threshold(
        probabilities,
        labels,
        target_error_rate=TARGET_ERROR_RATE,
        named=None if weights is None else named_by_weight(probabilities, weights),
    )
    return Calibration(temperature=temperature, threshold=threshold, class_weights=weights)


def outputs_of(
    classifier: Classifier, pictures: Pictures, *, progress: Progress, name: str
) -> Outputs:
    """Return what the classifier says of cached pictures, from the one inference path."""
    parts, scores = [], []
    with progress.stage(name, total=len(pictures.rows)) as stage:
        for pixels in pictures.batches():
            probabilities, unusualness = classifier.run_batch(pixels)
            parts.append(probabilities)
            if unusualness is not None:
                scores.append(unusualness)
            stage.advance(len(pixels))
    return Outputs(np.concatenate(parts), np.concatenate(scores) if scores else None)


def score(
    probabilities: npt.NDArray[np.float32],
    labels: npt.NDArray[np.integer[Any]],
    *,
    classifier: Classifier,
    baseline_class: str,
) -> Evaluation:
    """Return every figure of some probabilities against their labels."""
    manifest = classifier.manifest
    point, classes = manifest.operating_point, manifest.classes
    figures = evaluate(
        probabilities,
        labels,
        classes=classes,
        baseline_class=baseline_class,
        threshold=manifest.threshold,
        target_error_rate=manifest.target_error_rate,
        named=manifest.named(probabilities),
    )
    if point is None:
        return figures
    return replace(figures, operation=operate(probabilities, labels, classes=classes, point=point))


def most_frequent_class(prepared: Prepared) -> str:
    """Return the class with the most training pictures; the first by name where two have."""
    labels = prepared.pictures(0).labels
    counts = np.bincount(labels, minlength=len(prepared.index.classes))
    return prepared.index.classes[int(counts.argmax())]


def choose_gallery(
    probabilities: npt.NDArray[np.float32],
    labels: npt.NDArray[np.integer[Any]],
    *,
    named: npt.NDArray[np.integer[Any]],
    seed: int,
) -> Mapping[str, npt.NDArray[np.intp]]:
    """Return which test pictures the report shows, by place; the grid is drawn blindly."""
    drawn = np.random.default_rng(seed).permutation(len(labels))[:_GRID]
    return {
        "grid": drawn,
        "mistakes": confident_mistakes(probabilities, labels, limit=_SHOWN, named=named),
        "least_sure": np.asarray(least_sure(probabilities, limit=_SHOWN), np.intp),
    }


def write_gallery(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    """Write a gallery's uint8 pixels, (K, H, W, C), or (K, versions, H, W, C) of a preview."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, pixels=pixels)


def write_predictions(
    path: Path,
    *,
    index: Any,
    verdict: Verdict,
) -> None:
    """Write one row a scored picture as Parquet: path, label, predicted, probability, and fold."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    classes, named = np.array(index.classes, dtype=object), verdict.named
    chosen = verdict.probabilities[np.arange(len(named)), named]
    columns = {
        "path": pa.array(index.path[verdict.rows].tolist(), pa.string()),
        "label": pa.array(classes[verdict.labels].tolist(), pa.string()),
        "predicted": pa.array(classes[named].tolist(), pa.string()),
        "probability": pa.array(chosen, pa.float32()),
    }
    if verdict.fold is not None:
        columns["fold"] = pa.array(verdict.fold, pa.int32())
    table = pa.table(columns)
    # A stream, since Arrow opens no path that is not UTF-8.
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        pq.write_table(table, stream)
