"""Training: the engine, ``saccade.fit``, and the training of a whole journey.

Names load on first use, since they bring Keras and PyTorch with them.
"""

from typing import TYPE_CHECKING

from saccade.lazy import lazy_names

if TYPE_CHECKING:
    from saccade.training.fitting import fit
    from saccade.training.loop import train_network
    from saccade.training.mirror import decide_mirroring
    from saccade.training.plan import Facts, TrainPlan, derive_plan
    from saccade.training.precision import choose_precision
    from saccade.training.rate import measure_rate
    from saccade.training.result import FitResult, Pictures
    from saccade.training.scoring import logits_of

_HOME = {
    "Facts": "plan",
    "FitResult": "result",
    "Pictures": "result",
    "TrainPlan": "plan",
    "choose_precision": "precision",
    "decide_mirroring": "mirror",
    "derive_plan": "plan",
    "fit": "fitting",
    "logits_of": "scoring",
    "measure_rate": "rate",
    "train_network": "loop",
}

__all__ = [
    "Facts",
    "FitResult",
    "Pictures",
    "TrainPlan",
    "choose_precision",
    "decide_mirroring",
    "derive_plan",
    "fit",
    "logits_of",
    "measure_rate",
    "train_network",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
