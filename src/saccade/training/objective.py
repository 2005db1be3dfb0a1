"""What `auto` minimises and by what; for any Keras engine."""

from __future__ import annotations

from typing import Any, Final

from saccade.models.backend import load_keras
from saccade.models.outputs import OutputKind
from saccade.training.plan import TrainPlan

_KERNEL_RATE: Final = 7.0  # a kernel turns by up to a tenth of its length a step
_MOMENTUM: Final = 0.6


def our_loss(
    kind: OutputKind, num_outputs: int, label_smoothing: float, *, several_labels: bool = False
) -> Any:
    """Return cross-entropy for this kind of output; labels are one-hot, or 0 and 1 for one.

    With several labels a picture every output is one label's, and its labels are 0 and 1.
    """
    losses = load_keras().losses
    kwargs = {"from_logits": kind == "logits", "label_smoothing": label_smoothing}
    if num_outputs == 1 or several_labels:
        return losses.BinaryCrossentropy(**kwargs)
    return losses.CategoricalCrossentropy(**kwargs)


def our_optimizer(plan: TrainPlan) -> Any:
    """Muon for our own family, AdamW for other networks, whose kernels' length may mean something.

    Below a head that was solved before, AdamW's rates fall from layer to layer. Decay pulls kernels
    alone, since a scale or a bias near 0 means nothing simpler.
    """
    options = {"learning_rate": plan.learning_rate, "weight_decay": plan.weight_decay}
    if plan.lowest_share < 1.0:
        from saccade.training.layerwise import LayerwiseAdamW

        optimizer = LayerwiseAdamW(lowest_share=plan.lowest_share, **options)
    elif plan.design is None:
        optimizer = load_keras().optimizers.AdamW(**options)
    else:
        from saccade.training.muon import Muon

        optimizer = Muon(kernel_rate=_KERNEL_RATE, momentum=_MOMENTUM, **options)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def own_rate(optimizer: Any) -> float | None:
    """Return a compiled model's learning rate; None where it has a schedule, or several rates."""
    rate = getattr(optimizer, "learning_rate", None)  # which several optimizers in one refuse
    return float(rate) if isinstance(rate, load_keras().Variable) else None
