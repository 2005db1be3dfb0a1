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
from saccade.data import LabelSets
from saccade.evaluation import (
    TARGET_ERROR_RATE,
    Evaluation,
    LabelEvaluation,
    Leak,
    OperatingPoint,
    Trainings,
    Unknown,
    apply_temperature,
    choose_label_thresholds,
    choose_operating_point,
    choose_threshold,
    confident_mistakes,
    evaluate,
    evaluate_labels,
    fit_label_temperature,
    fit_temperature,
    label_probabilities,
    least_sure,
    operate,
    predicted_by_weight,
)
from saccade.files import atomic_path
from saccade.predict import Classifier
from saccade.progress import Progress
from saccade.recipe.prepare import Prepared
from saccade.training import Pictures
from saccade.types import TRAIN

_GRID: Final = 25
_SHOWN: Final = 24  # mistakes, and least sure pictures


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What validation says of the logits: how much too sure, and from where on unsure."""

    temperature: float
    threshold: float
    operating_point: OperatingPoint | None = None
    class_weights: tuple[float, ...] | None = None
    label_thresholds: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Verdict:
    """What is said of the pictures that judge, and every figure of it; (n,) but for the first.

    With several labels a picture, `labels` and `predicted` are true and false, (n, C).
    """

    probabilities: npt.NDArray[np.float32]  # (n, C)
    rows: npt.NDArray[np.intp]  # of the index and the cache
    labels: npt.NDArray[Any]
    predicted: npt.NDArray[Any]
    sure: npt.NDArray[np.bool_]  # False where the answer is "unsure"
    evaluation: Evaluation | LabelEvaluation
    leak: Leak | None
    unknown: Unknown | None = None  # how many of them are called unknown; None also in folds
    trainings: Trainings | None = None  # where several networks say it
    fold: npt.NDArray[np.intp] | None = None  # from 1: in which each picture is judged

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Which pictures are said to be what they are; of several labels, every one."""
        return all_right(self.predicted, self.labels)


def all_right(said: npt.NDArray[Any], truth: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which pictures, (n,), are said right, of classes (n,) or labels (n, C)."""
    right: npt.NDArray[np.bool_] = (said == truth).reshape(len(truth), -1).all(axis=1)
    return right


def calibrate(
    logits: npt.NDArray[np.float32],
    labels: npt.NDArray[Any],
    *,
    classes: tuple[str, ...],
    wish: Wish | None,
    weights: tuple[float, ...] | None,
) -> Calibration:
    """Return the calibration for (N, C) validation logits and their labels, (N,) or (N, C).

    With several labels a picture each has a threshold of its own, and none is "unsure". At an
    operating point that a user wishes for, every picture is answered: it decides instead.
    """
    if labels.ndim == 2:
        temperature = fit_label_temperature(logits, labels)
        thresholds = choose_label_thresholds(label_probabilities(logits, temperature), labels)
        return Calibration(temperature=temperature, threshold=0.0, label_thresholds=thresholds)
    temperature = fit_temperature(logits, labels)
    probabilities = apply_temperature(logits, temperature)
    if wish is not None:
        point = choose_operating_point(probabilities, labels, classes=classes, wish=wish)
        return Calibration(temperature=temperature, threshold=0.0, operating_point=point)
    threshold = choose_threshold(
        probabilities,
        labels,
        target_error_rate=TARGET_ERROR_RATE,
        predicted=None if weights is None else predicted_by_weight(probabilities, weights),
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
    labels: npt.NDArray[Any],
    *,
    classifier: Classifier,
    baseline_class: str,
) -> Evaluation | LabelEvaluation:
    """Return every figure of (N, C) probabilities against their labels, (N,) or (N, C)."""
    manifest = classifier.manifest
    point, classes = manifest.operating_point, manifest.classes
    if manifest.label_thresholds is not None:
        known = LabelSets.of((baseline_class,), names=classes)
        return evaluate_labels(
            probabilities,
            labels,
            labels=classes,
            thresholds=manifest.label_thresholds,
            baseline=known.membership[0],
            baseline_class=baseline_class,
        )
    figures = evaluate(
        probabilities,
        labels,
        classes=classes,
        baseline_class=baseline_class,
        threshold=manifest.threshold,
        target_error_rate=manifest.target_error_rate,
        predicted=manifest.predicted(probabilities),
    )
    if point is None:
        return figures
    return replace(figures, operation=operate(probabilities, labels, classes=classes, point=point))


def most_frequent_class(prepared: Prepared) -> str:
    """Return the class with the most training pictures; the first by name where two have.

    Where a picture has several labels it is a set of them, as it is written.
    """
    index = prepared.index
    return index.classes[int(index.counts_of(TRAIN).argmax())]


def choose_gallery(
    probabilities: npt.NDArray[np.float32],
    labels: npt.NDArray[np.integer[Any]],
    *,
    predicted: npt.NDArray[np.integer[Any]],
    seed: int,
) -> Mapping[str, npt.NDArray[np.intp]]:
    """Return which test pictures the report shows, by place; the grid is drawn blindly."""
    drawn = np.random.default_rng(seed).permutation(len(labels))[:_GRID]
    return {
        "grid": drawn,
        "mistakes": confident_mistakes(probabilities, labels, limit=_SHOWN, predicted=predicted),
        "least_sure": least_sure(probabilities, limit=_SHOWN, predicted=predicted),
    }


def choose_label_gallery(
    right: npt.NDArray[np.bool_], confidence: npt.NDArray[np.float32], *, seed: int
) -> Mapping[str, npt.NDArray[np.intp]]:
    """Return the same where each picture has labels, of whether (N,) are right and how sure."""
    wrong = np.flatnonzero(~right)
    return {
        "grid": np.random.default_rng(seed).permutation(len(right))[:_GRID],
        "mistakes": wrong[np.argsort(-confidence[wrong], kind="stable")][:_SHOWN],
        "least_sure": np.argsort(confidence, kind="stable")[:_SHOWN],
    }


def write_gallery(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    """Write a gallery's uint8 pixels, (K, H, W, C), or (K, versions, H, W, C) of a preview."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, pixels=pixels)


def write_predictions(
    path: Path,
    *,
    paths: list[str],
    truth: list[str],
    said: list[str],
    confidence: npt.NDArray[np.float32],
    fold: npt.NDArray[np.intp] | None,
    by_label: Mapping[str, npt.NDArray[np.float32]],
) -> None:
    """Write one row a scored picture as Parquet: path, label, predicted, probability, and fold.

    With several labels a picture `by_label` adds their probabilities, in columns ``p:NAME``.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "path": pa.array(paths, pa.string()),
        "label": pa.array(truth, pa.string()),
        "predicted": pa.array(said, pa.string()),
        "probability": pa.array(confidence, pa.float32()),
    }
    if fold is not None:
        columns["fold"] = pa.array(fold, pa.int32())
    columns |= {f"p:{name}": pa.array(column, pa.float32()) for name, column in by_label.items()}
    table = pa.table(columns)
    # A stream, since Arrow opens no path that is not UTF-8.
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        pq.write_table(table, stream)
