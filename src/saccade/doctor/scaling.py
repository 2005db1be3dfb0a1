"""Rules on the range of the numbers that the first layer with weights is given.

The range is followed from the data through whatever rescales it; behind anything else it is
unknown, and nothing is said. Without data, pixels are taken to go from 0 to 255.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from saccade.doctor.case import Case
from saccade.doctor.network import Network, Step
from saccade.finding import Finding
from saccade.models.backend import load_keras

_NARROW: Final = 0.02  # 1 / 255 is 0.004; what is meant to be narrow is rarely a picture
_WIDE: Final = 16.0
_PIXEL: Final = (0.0, 255.0)
_MOST_CHANNELS: Final = 4  # statistics of every place may hold some that never change

Ends = npt.NDArray[Any]  # (2, channels), or (2, 1) where all have one: at the lowest, the highest


def pixels_divided_twice(case: Case) -> Iterator[Finding]:
    """Pixels of 0 to 1 divided by 255 once more."""
    flow = _flow(case)
    if flow is None or not 0 < flow.width < _NARROW:
        return
    if len(flow.scalings) > 1:
        where = flow.scalings[-1].name
        cure = f"keras.layers.Identity(),  # in place of {where!r}"
        why = f"{flow.scalings[0].name!r} has scaled the pixels before {where!r} scales them again"
    elif flow.scalings:
        where, cure = "x", "x = 255 * x"
        why = f"The pixels go up to {_data_high(case):.3g}, and {flow.scalings[0].name!r} divides"
        why += " them as if they went up to 255"
    else:
        where, cure = "x", "x = 255 * x"
        why = "The pixels were divided by 255 twice"
    yield Finding(
        name="pixels-divided-twice",
        severity="serious",
        where=where,
        message=f"{why}: {flow.first.name!r} sees numbers from {flow.low:.2g} to {flow.high:.2g}, "
        "so small that the network learns slowly or not at all.",
        cure=cure,
    )


def pixels_not_scaled(case: Case) -> Iterator[Finding]:
    """Pixels of 0 to 255 as they are, into layers that start out for numbers of about 1."""
    flow, network, data = _flow(case), case.network, case.data
    if flow is None or network is None or data is None or not data.are_pictures:
        return
    # Below 0 are pixels that somebody has centred, as VGG16 and ResNet50 want them.
    if flow.low < 0 or flow.high <= _WIDE or _is_normalized_behind(network, flow.first):
        return
    if flow.widening is not None:
        return  # which has a finding of its own
    yield Finding(
        name="pixels-not-scaled",
        severity="serious",
        where=flow.first.name,
        message=f"{flow.first.name!r} sees numbers up to {flow.high:.4g}, and its weights start "
        "out for numbers of about 1: the first steps are far too large, and the network learns "
        "badly or not at all.",
        cure=f"keras.layers.Rescaling(1 / {_most(flow.high)}),  # before {flow.first.name!r}",
    )


def statistics_of_other_pixels(case: Case) -> Iterator[Finding]:
    """Pixels of 0 to 255, normalised by the mean and deviation of pixels of 0 to 1."""
    flow = _flow(case)
    if flow is None or flow.widening is None or case.data is None or not case.data.are_pictures:
        return
    name = flow.widening.name
    yield Finding(
        name="statistics-of-other-pixels",
        severity="serious",
        where=name,
        message=f"{name!r} is meant for pixels of 0 to 1, as ImageNet's mean of 0.485 and "
        f"deviation of 0.229 are, and is given larger ones: {flow.first.name!r} sees numbers from "
        f"{flow.low:.3g} to {flow.high:.4g}, for which its weights were neither drawn nor learned.",
        cure=f"keras.layers.Rescaling(1 / {_most(case.data.high)}),  # before {name!r}",
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Flow:
    """What reaches the first layer with weights."""

    low: float
    high: float
    width: float  # of the widest channel: each may have an offset of its own
    first: Step
    scalings: tuple[Step, ...]  # those that divide as if they were given 0 to 255
    widening: Step | None  # that makes the range of whole pixels wider, as if it went to 1


def _flow(case: Case) -> _Flow | None:
    """Follow the range from the input; None where it is lost, or ends without weights."""
    network = case.network
    if network is None or len(network.inputs) != 1 or len(network.inputs[0].shape) not in (2, 3):
        return None
    known = _PIXEL if case.data is None else (case.data.low, case.data.high)
    reached: Ends = np.asarray(known)[:, None]
    scalings: list[Step] = []
    widening: Step | None = None
    step = network.after(network.inputs[0])
    while step is not None and not _has_weights(step):
        behind = _range_behind(step, reached)
        if behind is None:
            return None
        if _width(behind) <= _width(reached) / 64:
            scalings.append(step)
        wider = _width(behind) > 1.5 * _width(reached)  # by 2 or 4, or as it was but for rounding
        if wider and _width(reached) > _WIDE and behind.shape[1] <= _MOST_CHANNELS:
            widening = widening or step
        reached, step = behind, network.after(step)
    if step is None:
        return None
    return _Flow(
        low=float(reached.min()),
        high=float(reached.max()),
        width=_width(reached),
        first=step,
        scalings=tuple(scalings),
        widening=widening,
    )


def _width(ends: Ends) -> float:
    """Return the width of the widest channel's range."""
    return float(np.abs(ends[1] - ends[0]).max())


def _has_weights(step: Step) -> bool:
    return step.is_weighted or step.kind.startswith(("DepthwiseConv", "SeparableConv"))


_ARITHMETIC: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "Add": operator.add,
    "Divide": operator.truediv,
    "Multiply": operator.mul,
    "Subtract": operator.sub,
    "TrueDivide": operator.truediv,
}


def _range_behind(step: Step, ends: Ends) -> Ends | None:
    """Return the range of a step's results; None where it is unknown."""
    layer = step.layer
    if step.kind == "Rescaling":
        ends = ends * np.ravel(layer.scale) + np.ravel(layer.offset)
    elif step.kind == "Normalization":
        if layer.mean is None or layer.variance is None:
            return None
        to_numpy = load_keras().ops.convert_to_numpy
        mean, variance = (np.ravel(to_numpy(v)) for v in (layer.mean, layer.variance))
        ends = (ends - mean) / np.sqrt(np.maximum(variance, 1e-12))
    elif step.kind in _ARITHMETIC and len(step.numbers) == 1 and len(step.sources) == 1:
        ends = _ARITHMETIC[step.kind](ends, step.numbers[0])
    elif not (step.is_shaping or step.kind.startswith(("Random", "MaxPooling"))):
        return None if step.kind not in ("Resizing", "CenterCrop") else ends
    return ends


def _is_normalized_behind(network: Network, first: Step) -> bool:
    """Whether a normalization follows before the next layer with weights."""
    for step in network.steps[first.index + 1 :]:
        if step.is_normalizing:
            return True
        if _has_weights(step):
            return False
    return False


def _most(high: float) -> int:
    """Return the largest that a pixel can be, of 8 bits or 16."""
    return 255 if high <= _PIXEL[1] else 65_535


def _data_high(case: Case) -> float:
    return case.data.high if case.data else _PIXEL[1]
