"""How unlike the training pictures a picture is: the second output of a bundle's graph.

A picture's features are the means over the picture of the feature maps after the last max pooling
and of the last ones, side by side (without feature maps, what the last Dense layer multiplies),
scaled to length 1. Its unusualness is the Mahalanobis distance of these from their mean over
training pictures: one Gaussian for all classes (Kamoi and Kobayashi, "Why is the Mahalanobis
distance effective for anomaly detection?", 2020), of features at length 1 (Mueller and Hein,
"Mahalanobis++", ICML 2025), its covariance shrunk (Ledoit and Wolf, Journal of Multivariate
Analysis 88, 2004), along 128 random directions where there are more features. It is told in units
of the distance that at most `FALSE_ALARMS` of the pictures of the known kind exceed: of V
validation pictures the one at place ceil((1 - FALSE_ALARMS)(V + 1)) in order of distance, since a
new picture of their kind is as likely to take any of the V + 1 places (Vovk et al., "Algorithmic
Learning in a Random World", 2005).

All of it is a small matrix product on what the network computes anyway, inside the ONNX document,
so that whoever runs the document has the score. What was tried beside it is in docs/figures.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime

from saccade.bundle.runtime import INPUT_NAME, session_options
from saccade.machine import usable_cores

if TYPE_CHECKING:
    from saccade.bundle.builder import GraphBuilder

Pixels = npt.NDArray[np.uint8]  # (n, H, W, C)
_Rows = npt.NDArray[np.floating[Any]]  # (n, D)

FALSE_ALARMS: Final = 0.05  # of the pictures of the known kind, at most, are called unknown
FEWEST_VALIDATION: Final = round(1 / FALSE_ALARMS) - 1  # with fewer, no distance is that rare
_WIDEST: Final = 128  # directions; all of them see hardly more, and a larger matrix takes longer
_TINY: Final = 1e-12  # where all features are alike, nothing is divided by zero
# Rounding shall not make a copy of the picture that set the threshold unknown.
_ROUNDING: Final = 1e-4

_KEEP_MAPS: Final = frozenset(
    """Add AveragePool BatchNormalization Clip Concat Conv Elu Gelu HardSwish LeakyRelu MaxPool Mul
    Relu Sum""".split()
)
_END_STAGES: Final = _KEEP_MAPS - {"Add", "AveragePool", "BatchNormalization", "Conv"}
_PASSED: Final = ("Add", "Identity", "Sigmoid", "Softmax")  # what may follow the last product


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Known:
    """Pictures of the known kind, batch by batch."""

    train: Iterable[Pixels]  # some hundreds, drawn by chance
    validation: Iterable[Pixels]  # likewise; at least `FEWEST_VALIDATION`


def add_features(
    graph: GraphBuilder, outputs: str, input_shape: tuple[int, int, int]
) -> str | None:
    """Add what describes a picture, (N, D) of length 1, and return its name.

    It is made of feature maps or, in a network without any, is what the last Dense layer before
    `outputs` multiplies; None where there is neither.
    """
    maps = _find_maps(graph)
    name = _add_means(graph, maps, input_shape) if maps else _dense_input(graph, outputs)
    return None if name is None else graph.add("LpNormalization", name, axis=1, p=2)


def _find_maps(graph: GraphBuilder) -> list[str]:
    """Return the feature maps (N, C, h, w) after the last max pooling, and the last, if any."""
    maps: set[str] = set()
    pooled = last = None
    for node in graph.nodes:
        if node.op_type == "Conv" or (node.op_type in _KEEP_MAPS and node.input[0] in maps):
            maps.add(node.output[0])
            last = node.output[0] if node.op_type in _END_STAGES else last
            pooled = node.output[0] if node.op_type == "MaxPool" else pooled
    return list(dict.fromkeys(name for name in (pooled, last) if name is not None))


def _add_means(graph: GraphBuilder, maps: list[str], input_shape: tuple[int, int, int]) -> str:
    """Add each map's mean over the picture, side by side."""
    means = [graph.add("GlobalAveragePool", name) for name in maps]
    whole = graph.add("Concat", *means, axis=1) if len(means) > 1 else means[0]
    rows = graph.add("Flatten", whole, axis=1)
    joins = [node for node in graph.nodes if node.op_type == "Concat" and _axis(node) == 0]
    if not joins:
        return rows
    # The pictures' other views follow the first, and are described together with them.
    width = _run(graph, rows, input_shape, [np.zeros((1, *input_shape), np.uint8)]).shape[1]
    apart = graph.add("Reshape", rows, graph.weight((len(joins[0].input), -1, width), np.int64))
    return graph.add("ReduceMean", apart, graph.weight((0,), np.int64), keepdims=0)


def _axis(node: Any) -> int:
    return next(int(entry.i) for entry in node.attribute if entry.name == "axis")


def _dense_input(graph: GraphBuilder, outputs: str) -> str | None:
    makers = {name: node for node in graph.nodes for name in node.output}
    weights = {weight.name for weight in graph.weights}
    node = makers.get(outputs)
    while node is not None:
        constant = len(node.input) > 1 and node.input[1] in weights
        if node.op_type in ("Gemm", "MatMul") and constant:
            return str(node.input[0])
        if node.op_type not in _PASSED or (node.op_type == "Add" and not constant):
            break
        node = makers.get(node.input[0])
    return None


def add_unusualness(
    graph: GraphBuilder, features: str, known: Known, input_shape: tuple[int, int, int]
) -> str:
    """Add the score, (N,), 0 or more, of `features` to the graph and return its name.

    The graph is run over `known` as it stands. Raises ValueError where that holds fewer than
    `FEWEST_VALIDATION` validation pictures, or fewer than two for training.
    """
    train, validation = (
        _run(graph, features, input_shape, part) for part in (known.train, known.validation)
    )
    if len(train) < 2 or len(validation) < FEWEST_VALIDATION:
        raise ValueError(
            f"wanted 2 training and {FEWEST_VALIDATION} validation pictures, "
            f"got {len(train)} and {len(validation)}"
        )
    matrix, offset = whitening(train)
    distances = np.sort(np.linalg.norm(validation @ matrix - offset, axis=1))
    place = math.ceil((1 - FALSE_ALARMS) * (len(distances) + 1))
    unit_length = max(distances[place - 1], _TINY) * (1 + _ROUNDING)
    weights = [graph.weight(values / unit_length) for values in (matrix, -offset)]
    measured = graph.add("Gemm", features, *weights)
    return graph.add("ReduceL2", measured, graph.weight((1,), np.int64), keepdims=0)


def whitening(features: _Rows) -> tuple[_Rows, _Rows]:
    """Return A (D, K) and b (K,): |f A - b| is the Mahalanobis distance of f from (n, D) features.

    K is D, or `_WIDEST` random directions where D is larger.
    """
    from sklearn.covariance import ledoit_wolf

    width = features.shape[1]
    directions = np.eye(width)
    if width > _WIDEST:
        random = np.random.default_rng(0)
        directions = random.normal(size=(width, _WIDEST)) / np.sqrt(_WIDEST)
    projected = features.astype(np.float64) @ directions
    covariance, _ = ledoit_wolf(projected)
    covariance += _TINY * np.eye(len(covariance))
    matrix = directions @ np.linalg.cholesky(np.linalg.inv(covariance))
    return matrix, features.mean(axis=0, dtype=np.float64) @ matrix


def _run(
    graph: GraphBuilder, name: str, input_shape: tuple[int, int, int], pictures: Iterable[Pixels]
) -> npt.NDArray[np.float32]:
    """Return the values (N, D) called `name` for some pictures."""
    document = graph.document(pixels=(INPUT_NAME, input_shape), results=[(name, ("D",))])
    session = onnxruntime.InferenceSession(
        document, session_options(usable_cores()), providers=["CPUExecutionProvider"]
    )
    parts = [session.run(None, {INPUT_NAME: pixels})[0] for pixels in pictures]
    return np.concatenate(parts or [np.empty((0, 1), np.float32)])
