"""What the tables and the report show of a verdict: of classes, or of several labels a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from saccade.data import written
from saccade.evaluation import precision_recall, reliability
from saccade.predict import Classifier
from saccade.recipe.judge import Verdict, choose_gallery, choose_label_gallery


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shown:
    """One entry for each picture that judges; with several labels, sets of them as written."""

    truth: list[str]
    said: list[str]
    confidence: npt.NDArray[np.float32]  # (n,) of what is said; of labels, that of the least sure
    gallery: Mapping[str, npt.NDArray[np.intp]]  # which pictures the report shows, by place
    by_label: Mapping[str, npt.NDArray[np.float32]]  # probabilities, where there are several
    reliability: tuple[Mapping[str, Any], ...] = ()
    precision_recall: tuple[Mapping[str, float], ...] = ()


def shown_of(verdict: Verdict, classifier: Classifier, *, seed: int) -> Shown:
    """Return what is shown of a verdict; `seed` draws the gallery's grid."""
    if classifier.manifest.several_labels:
        return _of_labels(verdict, classifier, seed=seed)
    probabilities, labels, predicted = verdict.probabilities, verdict.labels, verdict.predicted
    bins = reliability(probabilities, labels, predicted=predicted)
    return Shown(
        truth=[classifier.classes[label] for label in labels],
        said=[classifier.classes[label] for label in predicted],
        confidence=probabilities[np.arange(len(predicted)), predicted],
        gallery=choose_gallery(probabilities, labels, predicted=predicted, seed=seed),
        by_label={},
        reliability=tuple(asdict(row) for row in bins if row.num_images),
        precision_recall=_precision_recall(classifier, probabilities, labels),
    )


def _of_labels(verdict: Verdict, classifier: Classifier, *, seed: int) -> Shown:
    probabilities, said, names = verdict.probabilities, verdict.predicted, classifier.classes
    confidence = np.where(said, probabilities, 1 - probabilities).min(axis=1)
    return Shown(
        truth=written(names, verdict.labels),
        said=written(names, said),
        confidence=confidence,
        gallery=choose_label_gallery(verdict.right, confidence, seed=seed),
        by_label=dict(zip(names, probabilities.T, strict=True)),
    )


def _precision_recall(
    classifier: Classifier, probabilities: npt.NDArray[np.float32], labels: npt.NDArray[Any]
) -> tuple[Mapping[str, float], ...]:
    point = classifier.manifest.operating_point
    if point is None:
        return ()
    curve = precision_recall(
        probabilities, labels, classes=classifier.classes, class_name=point.class_name
    )
    return tuple(place._asdict() for place in curve)
