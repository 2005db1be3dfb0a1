"""What a bundle says of itself: ``manifest.json``, checked field by field when it is read."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from saccade.data.picture import Preprocessing
from saccade.errors import BundleError
from saccade.evaluation import (
    NEVER,
    Evaluation,
    LabelEvaluation,
    OperatingPoint,
    Refused,
    figures_from_json,
    predicted_classes,
)

FORMAT: Final = "saccade-bundle"
FORMAT_VERSION: Final = 4  # the newest that is read; 3 has unusualness, 4 several labels

MANIFEST: Final = "manifest.json"
ONNX: Final = "model.onnx"
KERAS: Final = "model.keras"
SEEN: Final = "seen.npy"
MEMBERS: Final = (MANIFEST, ONNX, KERAS, SEEN)

_MAX_CLASSES: Final = 100_000
_MAX_NAME_LENGTH: Final = 1_000
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything about a bundle but its weights. Raises ValueError for values out of range."""

    name: str
    created: str  # ISO 8601, with its offset from UTC
    classes: tuple[str, ...]  # or labels, in the order of the probabilities' columns
    preprocessing: Preprocessing
    temperature: float  # the logits are divided by it before softmax; inside model.onnx already
    threshold: float  # a top probability below this is "unsure"; 0 answers always
    target_error_rate: float  # what the threshold was chosen for, on validation
    operating_point: OperatingPoint | None = None  # what names the class, of two, if not the top
    class_weights: tuple[float, ...] | None = None  # the label is argmax p x weight; None: argmax p
    unknown_rate: float | None = None  # share of known pictures, at most, that are called unknown
    refused: tuple[Refused, ...] = ()  # of what did not train it, which share is called unknown
    label_thresholds: tuple[float, ...] | None = None  # several labels a picture: said from here on
    # Of the sealed test pictures, or of the folds.
    evaluation: Evaluation | LabelEvaluation | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)  # JSON: where the model is from
    digests: Mapping[str, str] = field(default_factory=dict)  # member -> SHA-256; by `write_bundle`

    def __post_init__(self) -> None:
        _check_name("name", self.name)
        _check_classes(self.classes)
        _check_time(self.created)
        _check_number("temperature", self.temperature, low=1e-6, high=1e6)
        _check_number("threshold", self.threshold, low=0, high=NEVER)
        _check_number("target_error_rate", self.target_error_rate, low=0, high=1)
        point = self.operating_point
        if point is not None and (len(self.classes) != 2 or point.class_name not in self.classes):
            raise ValueError(
                f"operating_point is of one of two classes, got {point.class_name!r:.80}"
            )
        if self.class_weights is not None:
            _check_weights(self.class_weights, len(self.classes))
        if self.label_thresholds is not None:
            _check_thresholds(self)
        if self.unknown_rate is not None:
            _check_number("unknown_rate", self.unknown_rate, low=0, high=1)
        _check_refused(self.refused)
        if not isinstance(self.provenance, Mapping):
            raise ValueError(f"provenance is an object, got {self.provenance!r:.80}")
        _check_digests(self.digests)
        if self.evaluation is not None and self.evaluation.classes != self.classes:
            raise ValueError("the evaluation's classes are not the bundle's")
        of_labels = isinstance(self.evaluation, LabelEvaluation)
        if self.evaluation is not None and of_labels != self.several_labels:
            raise ValueError("the evaluation is of labels, or the bundle, but not both")

    @property
    def format_version(self) -> int:
        """The oldest format whose readers understand this bundle."""
        if self.several_labels:
            return 4
        if self.unknown_rate is not None:
            return 3
        return 1 if self.operating_point is None and self.class_weights is None else 2

    @property
    def several_labels(self) -> bool:
        """Whether a picture has any number of labels, each with a probability of its own."""
        return self.label_thresholds is not None

    def answers(self, probabilities: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """Return what is said of each row of (N, C) probabilities.

        The class's number, (N,), as `predicted` has it; or, with several labels a picture, (N, C)
        true where a label is said.
        """
        if self.label_thresholds is None:
            return self.predicted(probabilities)
        said: npt.NDArray[np.bool_] = probabilities >= np.asarray(self.label_thresholds, np.float64)
        return said

    def predicted(self, probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """Return which class each row of (N, C) probabilities is named, as its number.

        The most probable one, unless an operating point or class weights decide.
        """
        return predicted_classes(
            probabilities,
            classes=self.classes,
            point=self.operating_point,
            weights=self.class_weights,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as a JSON document; `read_manifest` reads it back, equal."""
        evaluation, point = self.evaluation, self.operating_point
        return {
            "format": FORMAT,
            "format_version": self.format_version,
            "name": self.name,
            "created": self.created,
            "classes": list(self.classes),
            "preprocessing": self.preprocessing.to_json(),
            "temperature": self.temperature,
            "threshold": self.threshold,
            "target_error_rate": self.target_error_rate,
            "operating_point": None if point is None else point.to_json(),
            "class_weights": _listed(self.class_weights),
            "label_thresholds": _listed(self.label_thresholds),
            "unknown_rate": self.unknown_rate,
            "refused": [one.to_json() for one in self.refused],
            "evaluation": None if evaluation is None else evaluation.to_json(),
            "provenance": dict(self.provenance),
            "digests": dict(self.digests),
        }


def read_manifest(content: bytes) -> Manifest:
    """Return the manifest in ``manifest.json``'s bytes; raise BundleError on anything else."""
    try:
        document = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{MANIFEST} is not JSON: {error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise BundleError(f'{MANIFEST} does not begin with "format": "{FORMAT}"')
    version = document.get("format_version")
    if type(version) is not int or version < 1:
        raise BundleError(f"{MANIFEST}: format_version is a whole number from 1, got {version!r}")
    if version > FORMAT_VERSION:
        raise BundleError(
            f"written in format {version} by a newer Saccade; this one reads up to format "
            f"{FORMAT_VERSION}: pip install --upgrade saccade"
        )
    try:
        return _from_json(document)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise BundleError(f"{MANIFEST}: {reason}") from error


def _from_json(document: dict[str, Any]) -> Manifest:
    for name in ("classes", "provenance", "digests"):
        wanted = list if name == "classes" else dict
        if not isinstance(document[name], wanted):
            raise ValueError(f"{name} is a JSON {wanted.__name__}, got {document[name]!r:.80}")
    evaluation = document["evaluation"]
    point, weights = document["operating_point"], document["class_weights"]
    thresholds = document["label_thresholds"]
    return Manifest(
        name=document["name"],
        created=document["created"],
        classes=tuple(document["classes"]),
        preprocessing=Preprocessing.from_json(document["preprocessing"]),
        temperature=document["temperature"],
        threshold=document["threshold"],
        target_error_rate=document["target_error_rate"],
        operating_point=None if point is None else OperatingPoint.from_json(point),
        class_weights=None if weights is None else tuple(weights),
        label_thresholds=None if thresholds is None else tuple(thresholds),
        unknown_rate=document["unknown_rate"],
        refused=tuple(Refused.from_json(one) for one in document["refused"]),
        evaluation=None if evaluation is None else figures_from_json(evaluation),
        provenance=document["provenance"],
        digests=document["digests"],
    )


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _check_name(place: str, value: object) -> None:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_NAME_LENGTH:
        raise ValueError(f"{place} is 1 to {_MAX_NAME_LENGTH} characters, got {value!r:.80}")


def _check_classes(classes: tuple[str, ...]) -> None:
    if not 2 <= len(classes) <= _MAX_CLASSES:
        raise ValueError(f"classes are 2 to {_MAX_CLASSES}, got {len(classes)}")
    for number, name in enumerate(classes):
        _check_name(f"classes[{number}]", name)
    if len(set(classes)) != len(classes):
        twice = next(name for name in classes if classes.count(name) > 1)
        raise ValueError(f"classes holds {twice!r:.80} twice")


def _check_time(created: object) -> None:
    if not isinstance(created, str):
        raise ValueError(f"created is a time, got {created!r:.80}")
    if datetime.fromisoformat(created).tzinfo is None:
        raise ValueError(f"created has an offset from UTC, got {created!r:.80}")


def _check_number(place: str, value: object, *, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{place} is a number, got {value!r:.80}")
    if not low <= value <= high:
        raise ValueError(f"{place} is from {low:g} to {high:g}, got {value!r:.80}")


def _check_weights(weights: tuple[object, ...], num_classes: int) -> None:
    if len(weights) != num_classes:
        raise ValueError(f"class_weights are {num_classes}, got {len(weights)}")
    for number, weight in enumerate(weights):
        _check_number(f"class_weights[{number}]", weight, low=1e-6, high=1e6)


def _check_thresholds(manifest: Manifest) -> None:
    thresholds = manifest.label_thresholds or ()
    if len(thresholds) != len(manifest.classes):
        raise ValueError(f"label_thresholds are {len(manifest.classes)}, got {len(thresholds)}")
    for number, threshold in enumerate(thresholds):
        _check_number(f"label_thresholds[{number}]", threshold, low=0, high=NEVER)
    if manifest.operating_point is not None or manifest.class_weights is not None:
        raise ValueError("label_thresholds go with neither operating_point nor class_weights")


def _check_refused(refused: tuple[Refused, ...]) -> None:
    for place, one in enumerate(refused):
        _check_name(f"refused[{place}]", one.pictures)
        for end in (one.rate.low, one.rate.value, one.rate.high):
            _check_number(f"refused[{place}]", end, low=0, high=1)


def _listed(numbers: tuple[float, ...] | None) -> list[float] | None:
    return None if numbers is None else list(numbers)


def _check_digests(digests: object) -> None:
    wanted = set(MEMBERS) - {MANIFEST}
    if not isinstance(digests, Mapping) or (digests and set(digests) != wanted):
        raise ValueError(f"digests holds {sorted(wanted)}, got {digests!r:.200}")
    for member, digest in digests.items():
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            raise ValueError(f"digests[{member!r}] is 64 hexadecimal digits, got {digest!r:.80}")
