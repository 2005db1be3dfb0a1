"""Honest figures: from probabilities and labels to numbers with intervals. NumPy only."""

from saccade.evaluation.advice import (
    Advice,
    NextSteps,
    Suspect,
    budget_advice,
    class_advice,
    data_advice,
    labels_advice,
    learn_advice,
    ranked,
)
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
from saccade.evaluation.guessing import Guessing, against_guessing
from saccade.evaluation.intervals import proportion
from saccade.evaluation.labeladvice import Weakness, ranked_labels, scarce, weakness
from saccade.evaluation.labelmetrics import evaluate_labels
from saccade.evaluation.labels import LabelEvaluation, LabelFigures, figures_from_json
from saccade.evaluation.leak import Leak, measure_leak
from saccade.evaluation.learning_curve import (
    LEAST_POINTS,
    Foretold,
    LearningCurve,
    LearningPoint,
    fit_learning_curve,
)
from saccade.evaluation.metrics import evaluate
from saccade.evaluation.mistakes import confident_mistakes, least_sure
from saccade.evaluation.naming import are_uneven, class_weights, predicted_by_weight
from saccade.evaluation.operating import (
    CurvePoint,
    OperatingPoint,
    Operation,
    choose_operating_point,
    operate,
    precision_recall,
    predicted_classes,
)
from saccade.evaluation.thresholds import (
    choose_label_thresholds,
    fit_label_temperature,
    has_too_few,
    label_probabilities,
)
from saccade.evaluation.trainings import (
    Answers,
    Training,
    Trainings,
    averaged,
    crossed,
    pooled,
    widened,
)
from saccade.evaluation.unknown import (
    Refused,
    Unknown,
    measure_refused,
    measure_unknown,
)

__all__ = [
    "LEAST_POINTS",
    "NEVER",
    "TARGET_ERROR_RATE",
    "Advice",
    "Answers",
    "ClassFigures",
    "CurvePoint",
    "Evaluation",
    "Foretold",
    "Guessing",
    "LabelEvaluation",
    "LabelFigures",
    "Leak",
    "LearningCurve",
    "LearningPoint",
    "NextSteps",
    "OperatingPoint",
    "Operation",
    "Refused",
    "ReliabilityBin",
    "Sureness",
    "Suspect",
    "Training",
    "Trainings",
    "Unknown",
    "Weakness",
    "against_guessing",
    "apply_temperature",
    "are_uneven",
    "averaged",
    "budget_advice",
    "choose_label_thresholds",
    "choose_operating_point",
    "choose_threshold",
    "class_advice",
    "class_weights",
    "confident_mistakes",
    "crossed",
    "data_advice",
    "evaluate",
    "evaluate_labels",
    "figures_from_json",
    "fit_label_temperature",
    "fit_learning_curve",
    "fit_temperature",
    "has_too_few",
    "label_probabilities",
    "labels_advice",
    "learn_advice",
    "least_sure",
    "measure_leak",
    "measure_refused",
    "measure_unknown",
    "predicted_by_weight",
    "predicted_classes",
    "operate",
    "pooled",
    "precision_recall",
    "proportion",
    "ranked",
    "ranked_labels",
    "reliability",
    "scarce",
    "weakness",
    "widened",
]
