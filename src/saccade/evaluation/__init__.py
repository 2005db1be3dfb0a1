"""Honest figures: from probabilities and labels to numbers with intervals. NumPy only."""

from saccade.evaluation.calibration import (
    NEVER,
    TARGET_ERROR_RATE,
    ReliabilityBin,
    apply_temperature,
    choose_threshold,
    fit_temperature,
    reliability,
)
from saccade.evaluation.evaluation import ClassFigures, Evaluation, Sureness
from saccade.evaluation.metrics import evaluate
from saccade.evaluation.mistakes import confident_mistakes, least_sure

__all__ = [
    "NEVER",
    "TARGET_ERROR_RATE",
    "ClassFigures",
    "Evaluation",
    "ReliabilityBin",
    "Sureness",
    "apply_temperature",
    "choose_threshold",
    "confident_mistakes",
    "evaluate",
    "fit_temperature",
    "least_sure",
    "reliability",
]
