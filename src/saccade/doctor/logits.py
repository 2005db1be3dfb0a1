"""A rule on logits: what an activation leaves of them, and which answers that takes away.

Leaky ReLU and PReLU let any number through, as a last normalization with its scale does; of several
classes only differences count, so that a lower end alone does no harm where gradients pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from saccade.doctor.case import Case
from saccade.doctor.cures import with_activation
from saccade.finding import Finding

_BETWEEN: Final = frozenset({"hard_tanh", "softsign", "tanh"})  # -1 and 1
_FLAT: Final = frozenset({"gelu", "relu", "relu6"})  # below 0, where there is no gradient
_LOWEST: Final = {
    "gelu": -0.17,
    "mish": -0.31,
    "relu": 0.0,
    "relu6": 0.0,
    "silu": -0.28,
    "softplus": 0.0,
    "celu": -1.0,
    "elu": -1.0,
    "selu": -1.76,
}


def logits_cut_off(case: Case) -> Iterator[Finding]:
    """Logits of which an activation leaves only some, so that not every answer can be given."""
    network, loss = case.network, case.loss
    if network is None or network.output is None or loss is None or not loss.from_logits:
        return
    step, width = network.deciding, (network.output.shape or (None,))[-1]
    if step is None or width is None or not (step.is_weighted or step.is_function):
        return
    activation = str(step.activation)
    if loss.family == "binary":
        why = _impossible_alone(activation)
    else:
        why = _impossible_among(activation, width) if width > 1 else ""
    if why:
        yield Finding(
            name="logits-cut-off",
            severity="serious",
            where=step.name,
            message=f"{step.name!r} ends in a {activation}, and the loss takes its numbers for "
            f"logits, which may be any: {why}.",
            cure=with_activation(step, "linear"),
        )


def _impossible_alone(activation: str) -> str:
    """Say which answers a sigmoid of one logit cannot give; "" where it can give all."""
    if activation in _BETWEEN:
        return f"from -1 to 1 no answer is surer than {100 * _sigmoid(1):.0f} %"
    if activation in _LOWEST:
        least = _LOWEST[activation]
        return (
            f"none is below {least:.2g}, so that no answer is below {100 * _sigmoid(least):.0f} %"
        )
    return ""


def _impossible_among(activation: str, width: int) -> str:
    """Say which answers a softmax of several logits cannot give, or hardly learn."""
    if activation in _BETWEEN:
        surest = 1 / (1 + (width - 1) * math.exp(-2))
        return f"from -1 to 1 no answer of {width} is surer than {100 * surest:.0f} %"
    if activation in _FLAT:
        return (
            "below 0 it lets hardly a number or a gradient through, so that a class that has got "
            "there is not learned"
        )
    return ""


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))
