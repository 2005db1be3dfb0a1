"""Rules on how a network ends, whatever its loss: on softmaxes, and on what lies behind them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from saccade.doctor.case import Case
from saccade.doctor.cures import left_out, with_activation
from saccade.finding import Finding

# The last function of all, and what it must not be given.
_TWICE: Final = {("softmax", "softmax"), ("softmax", "sigmoid"), ("sigmoid", "sigmoid")}
_ANSWERS: Final = ("softmax", "sigmoid")


def softmax_of_softmax(case: Case) -> Iterator[Finding]:
    """Two softmaxes with no layer between, the one for the other's shares of 0 to 1."""
    network, last = case.network, case.network.deciding if case.network else None
    if network is None or last is None or last.is_weighted:
        return
    first = next((step for step in network.back(last) if not step.is_shaping), None)
    if first is None or (last.activation, first.activation) not in _TWICE:
        return
    width = last.shape[-1] if last.shape else None
    if last.activation == "sigmoid":
        little = "no answer lies below 50 % or above 73 %"
    elif width is None or width < 2:
        return  # the softmax of one number has a finding of its own
    else:
        surest = 100 * math.e / (math.e + width - 1)
        little = f"no answer of {width} is surer than {surest:.0f} %"
    yield Finding(
        name=f"{last.activation}-of-{first.activation}",
        severity="serious",
        where=last.name,
        message=f"{last.name!r} is a {last.activation} of the numbers from 0 to 1 that the "
        f"{first.activation} of {first.name!r} gives: {little}, the loss stays high, and the "
        "network learns slowly.",
        cure=with_activation(first, "linear"),
    )


def noise_behind_the_answers(case: Case) -> Iterator[Finding]:
    """Dropout or noise with no layer with weights behind it: it changes the answers themselves."""
    step = case.network.output if case.network else None
    noises, answers = [], case.loss is not None  # else a body may end so, for another network
    while step is not None and not step.is_weighted:
        if not (step.is_shaping or step.activation in _ANSWERS):
            return
        noises += [step] if step.is_noise else []
        answers |= step.activation in _ANSWERS
        step = case.network.before(step) if case.network else None
    if step is None or not (answers or step.activation in _ANSWERS):
        return
    last = case.network.deciding if case.network else None
    for noise in noises:
        drops = not noise.kind.startswith("Gaussian")
        of_shares = last is not None and last.activation == "softmax" and noise.index > last.index
        yield Finding(
            name="noise-behind-the-answers",
            severity="serious",
            where=noise.name,
            message=f"{noise.name!r} lies behind {step.name!r}, the last layer with weights, and "
            f"{'sets answers to 0' if drops else 'changes the answers'} by chance in training: a "
            "picture's loss says little of the network"
            + (", and is no number where all are 0." if drops and of_shares else "."),
            cure=left_out(noise),
        )
