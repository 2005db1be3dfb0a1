"""Rules on softmaxes and on how a network ends, whatever its loss."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from saccade.doctor.case import Case
from saccade.doctor.cures import left_out, with_activation
from saccade.doctor.network import Network, Step
from saccade.finding import Finding

# The last function of all, and what it must not be given.
_TWICE: Final = {("softmax", "softmax"), ("softmax", "sigmoid"), ("sigmoid", "sigmoid")}
_ANSWERS: Final = ("softmax", "sigmoid")


def softmax_of_softmax(case: Case) -> Iterator[Finding]:
    """Two softmaxes with no layer between, the one for the other's shares of 0 to 1."""
    network, last = case.network, case.deciding
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


def softmax_between_layers(case: Case) -> Iterator[Finding]:
    """A softmax as the activation of a dense layer before the last, in a network of answers.

    Left alone are frozen layers, whose answers may be what the next one weighs, maps, and shares
    that are multiplied with something, as in attention.
    """
    network, last = case.network, case.deciding
    if network is None or last is None or not (case.loss or last.activation in _ANSWERS):
        return
    for step in network.steps:
        behind = _next_layer(network, step)
        if step.activation != "softmax" or behind is None or len(step.shape) != 1:
            continue
        made = step if step.is_weighted else network.before(step)
        if made is None or any(s.kind != "Dense" or not s.layer.trainable for s in (made, behind)):
            continue
        yield Finding(
            name="softmax-between-layers",
            severity="serious",
            where=step.name,
            message=f"{step.name!r} is a softmax, and {behind.name!r} goes on from its shares: of "
            f"{step.shape[-1]} that add up to 1 most are near 0, as gradients through them are, "
            "and the network learns slowly.",
            cure=with_activation(step, "relu"),
        )


def _next_layer(network: Network, step: Step) -> Step | None:
    """Return what follows on a path without branches, but for what only moves numbers."""
    behind = network.after(step)
    while behind is not None and behind.is_shaping:
        behind = network.after(behind)
    return behind


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
    last = case.deciding
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


def softmax_over_wrong_axis(case: Case) -> Iterator[Finding]:
    """A softmax over the pictures of a batch, or over places where classes must add up to 1."""
    network = case.network
    for step in network.steps if network else ():
        if network is None or step.kind != "Softmax":
            continue
        axis = step.layer.axis
        axes = [each % (len(step.shape) + 1) for each in np.ravel(-1 if axis is None else axis)]
        if 0 in axes:
            over = "the pictures of a batch"
            why = "each answer depends on which other pictures lie beside it, and alone is always 1"
        elif _ends_over_places(network, step, axes):
            over = "the places of a map"
            why = "the answers for a picture need not add up to 1, and say little of its class"
        else:
            continue
        yield Finding(
            name="softmax-over-wrong-axis",
            severity="serious",
            where=step.name,
            message=f"{step.name!r} has axis={axis}, a softmax over {over} and not over the "
            f"classes, which are last: {why}.",
            cure=f"keras.layers.Softmax(),  # in place of {step.name!r}",
        )


def _ends_over_places(network: Network, step: Step, axes: list[int]) -> bool:
    """Whether this last softmax of a map leaves its channels out, of which a row is made."""
    output = network.output
    if step is not network.deciding or output is None or len(output.shape) != 1:
        return False
    near = (output, step, *network.back(output))
    first = any(getattr(s.layer, "data_format", None) == "channels_first" for s in near)
    return len(step.shape) not in axes and not first
