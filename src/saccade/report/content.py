"""What a report says: plain values, filled by whoever ran the journey.

    content = ReportContent(name="digits", evaluation=evaluation, model_path="model.saccade")
    write_report(Path("report.html"), content)

Everything but those three has an empty default, and an empty part is not shown. Lists may be as
long as they come: the page caps them and says so. Strings may hold anything; the page escapes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from saccade.evaluation.advice import NextSteps
from saccade.evaluation.evaluation import Evaluation
from saccade.evaluation.labels import LabelEvaluation
from saccade.evaluation.trainings import Trainings
from saccade.evaluation.unknown import Refused
from saccade.types import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRow:
    """One row of the network's table of layers."""

    name: str
    kind: str  # the layer's class, such as "Conv2D"
    output_shape: str  # as it is to be read, such as "26 × 26 × 64"
    num_parameters: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """One scored picture, as the network saw it.

    Raises ValueError unless `pixels` is uint8 (H, W), (H, W, 1) or (H, W, 3), none empty.
    """

    pixels: npt.NDArray[np.uint8]
    path: str
    label: str  # the true class, or the true labels
    predicted: str
    probability: float  # of the predicted class, 0 to 1; of labels, of the least sure
    unsure: bool = False

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        good = len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))
        if not good or self.pixels.dtype != np.uint8 or 0 in shape:
            raise ValueError(
                "a picture is uint8 of shape (H, W), (H, W, 1) or (H, W, 3), "
                f"got {self.pixels.dtype} {shape} for {self.path!r}"
            )

    @property
    def right(self) -> bool:
        """Whether the prediction is the true class."""
        return self.predicted == self.label


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """Pictures predicted about equally surely, and how many of them were right."""

    confidence: float  # mean probability of the predicted class, 0 to 1
    accuracy: Interval
    num_images: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Changes:
    """What training did to its pictures, in words and in examples.

    Raises ValueError unless `examples` is uint8 (pictures, versions, H, W, 1 or 3).
    """

    phrases: tuple[str, ...] = ()  # such as "rotated by up to 40° either way"; none: as they are
    examples: npt.NDArray[np.uint8] | None = None  # the first version is the picture as it is

    def __post_init__(self) -> None:
        if self.examples is None:
            return
        shape = self.examples.shape
        if len(shape) != 5 or shape[4] not in (1, 3) or self.examples.dtype != np.uint8:
            raise ValueError(
                "examples are uint8 of shape (pictures, versions, H, W, 1 or 3), "
                f"got {self.examples.dtype} {shape}"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReportContent:
    """Everything that one report says."""

    name: str
    evaluation: Evaluation | LabelEvaluation
    model_path: str  # as the user would type it
    created: str = ""  # such as "21 November 2026, 03:10 UTC"
    history: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """An entry an epoch under any of ``loss, accuracy, val_loss, val_accuracy``."""
    best_epoch: int | None = None  # counted from 1
    unknown: str = ""  # how many test pictures it calls unknown, in a sentence
    refused: Sequence[Refused] = ()  # and how many of other kinds
    changes: Changes | None = None  # None: not known, and not spoken of
    images: Mapping[str, int] = field(default_factory=dict)  # {"train": 1149, "validation": 288…}
    reliability: tuple[ReliabilityBin, ...] = ()
    precision_recall: tuple[tuple[float, float], ...] = ()  # (recall, precision), of test pictures
    grid: tuple[Picture, ...] = ()  # 25 test pictures, chosen without looking at the outcome
    mistakes: tuple[Picture, ...] = ()  # wrong and most confident, worst first
    least_sure: tuple[Picture, ...] = ()  # lowest top probability first
    left_out: Sequence[tuple[str, str]] = ()  # (path, reason)
    data_notes: tuple[str, ...] = ()  # copies found, labels in conflict, …
    layers: tuple[LayerRow, ...] = ()
    notes: tuple[str, ...] = ()  # what happened while training that a reader should know
    made: Mapping[str, str] = field(default_factory=dict)  # {"seed": "0", "precision": "bfloat16"…}
    seconds: Mapping[str, float] = field(default_factory=dict)  # by stage, in order
    trainings: Trainings | None = None  # where pictures were judged in folds
    next_steps: NextSteps | None = None
    suspects: tuple[Picture, ...] = ()  # those of `next_steps` whose pixels are at hand
