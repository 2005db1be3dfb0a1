"""What the classifier says of the test pictures, beside the truth: of classes, or of labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from saccade.data import written
from saccade.evaluation import Evaluation, LabelEvaluation, precision_recall, reliability
from saccade.predict import Classifier
from saccade.recipe.judge import choose_gallery, choose_label_gallery, score


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """The figures, and one entry a test picture; with several labels, sets of them as written."""

    evaluation: Evaluation | LabelEvaluation
    truth: list[str]
    said: list[str]
    confidence: npt.NDArray[np.float32]  # (N,) of what is said; of labels, that of the least sure
    right: npt.NDArray[np.bool_]  # (N,)
    unsure: npt.NDArray[np.bool_]  # (N,)
    gallery: Mapping[str, npt.NDArray[np.intp]]  # which pictures the report shows, by place
    reliability: tuple[Mapping[str, Any], ...] = ()
    precision_recall: tuple[Mapping[str, float], ...] = ()


def judge(
    classifier: Classifier,
    probabilities: npt.NDArray[np.float32],
    labels: npt.NDArray[Any],
    *,
    baseline_class: str,
    seed: int,
) -> Judged:
    """Return what (N, C) probabilities say, judged by `labels`, (N,) classes or (N, C)."""
    evaluation = score(probabilities, labels, classifier=classifier, baseline_class=baseline_class)
    if classifier.manifest.several_labels:
        return _judge_labels(classifier, probabilities, labels, evaluation, seed=seed)
    manifest = classifier.manifest
    named = manifest.named(probabilities)
    confidence = probabilities[np.arange(len(named)), named]
    bins = [asdict(row) for row in reliability(probabilities, labels) if row.num_images]
    return Judged(
        evaluation=evaluation,
        truth=[manifest.classes[label] for label in labels],
        said=[manifest.classes[label] for label in named],
        confidence=confidence,
        right=named == labels,
        unsure=confidence < manifest.threshold,
        gallery=choose_gallery(probabilities, labels, named=named, seed=seed),
        reliability=tuple(bins),
        precision_recall=_precision_recall(classifier, probabilities, labels),
    )


def _judge_labels(
    classifier: Classifier,
    probabilities: npt.NDArray[np.float32],
    targets: npt.NDArray[np.bool_],
    evaluation: Evaluation | LabelEvaluation,
    *,
    seed: int,
) -> Judged:
    said = classifier.manifest.answers(probabilities)
    right = (said == targets).all(axis=1)
    confidence = np.where(said, probabilities, 1 - probabilities).min(axis=1)
    return Judged(
        evaluation=evaluation,
        truth=written(classifier.classes, targets),
        said=written(classifier.classes, said),
        confidence=confidence,
        right=right,
        unsure=np.zeros(len(right), np.bool_),
        gallery=choose_label_gallery(right, confidence, seed=seed),
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
