"""Saying the same with less work: three rewrites of a graph of frozen weights.

What convolutional networks spend on anything but convolutions can often be spent once, on the
weights. Each rewrite holds for real numbers and moves float32 results by its rounding only:

1. batch normalisation goes into the convolution before it;
2. a 1x1 convolution after an average pooling goes before it, where it leaves fewer channels to
   pool: both are linear, one over channels, the other over places (InceptionV3's towers);
3. scaling of the pixels goes into the first convolution, where that has no padding: a padded zero
   would have to be scaled too.

What each gains, and what was tried beside them, stands in docs/performance.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from saccade.bundle.builder import GraphBuilder

_Array = npt.NDArray[Any]


def fold(graph: GraphBuilder) -> None:
    """Rewrite the graph in place."""
    folding = _Folding(graph)
    for node in list(graph.nodes):
        if node.op_type == "BatchNormalization":
            folding.normalization(node)
    for node in list(graph.nodes):
        if node.op_type == "AveragePool":
            folding.pooling(node)
    for node in reversed(list(graph.nodes)):  # an offset comes after its scale, and goes first
        if node.op_type in ("Add", "Mul"):
            folding.scaling(node)
    folding.write_weights()


class _Folding:
    """The graph's nodes with their weights as arrays; rewrites leave unused weights behind."""

    def __init__(self, graph: GraphBuilder) -> None:
        self._graph = graph
        self._weights: dict[str, _Array] = {
            weight.name: numpy_helper.to_array(weight) for weight in graph.weights
        }

    def normalization(self, node: onnx.NodeProto) -> None:
        """Fold y = (x - mean) / sqrt(variance + epsilon) * scale + shift into the `Conv` of x."""
        convolution = self._only_source(node)
        if convolution is None or convolution.op_type != "Conv":
            return
        scale, shift, mean, variance = (self._weights[name] for name in node.input[1:])
        factor = scale / np.sqrt(variance + _attributes(node)["epsilon"])
        kernel, bias = self._kernel_and_bias(convolution)
        self._set(convolution, kernel * _by_row(factor), (bias - mean) * factor + shift)
        convolution.output[0] = node.output[0]
        self._graph.nodes.remove(node)

    def pooling(self, node: onnx.NodeProto) -> None:
        """Swap an average pooling and the 1x1 convolution of it, where that leaves less to pool."""
        users = self._users(node.output[0])
        if len(users) != 1 or set(_attributes(node)["strides"]) != {1} or not _is_1x1(users[0]):
            return
        (convolution,) = users
        kernel = self._weights[convolution.input[1]]
        if kernel.shape[0] >= kernel.shape[1]:
            return
        between = node.output[0]
        convolution.input[0], node.output[0] = node.input[0], convolution.output[0]
        convolution.output[0], node.input[0] = between, between
        self._graph.nodes.remove(convolution)
        self._graph.nodes.insert(self._graph.nodes.index(node), convolution)

    def scaling(self, node: onnx.NodeProto) -> None:
        """Fold a number, or one a channel, into the unpadded `Conv` of the result."""
        users, number = self._users(node.output[0]), self._weights.get(node.input[1])
        if number is None or len(users) != 1 or not _is_unpadded(users[0]):
            return
        (convolution,) = users
        kernel, bias = self._kernel_and_bias(convolution)
        if number.ndim not in (0, 4) or number.size not in (1, kernel.shape[1]):
            return
        by_channel = np.broadcast_to(number.reshape(-1), kernel.shape[1:2])[None, :, None, None]
        if node.op_type == "Mul":
            self._set(convolution, kernel * by_channel, bias)
        else:
            self._set(convolution, kernel, bias + (kernel * by_channel).sum(axis=(1, 2, 3)))
        convolution.input[0] = node.input[0]
        self._graph.nodes.remove(node)

    def write_weights(self) -> None:
        """Give the graph the weights that its nodes still read."""
        used = {name for node in self._graph.nodes for name in node.input}
        self._graph.weights[:] = [
            numpy_helper.from_array(np.ascontiguousarray(values), name)
            for name, values in self._weights.items()
            if name in used
        ]

    def _users(self, name: str) -> list[onnx.NodeProto]:
        return [node for node in self._graph.nodes if name in node.input]

    def _only_source(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        """Return the node that makes a node's input, where nothing else reads that."""
        name = node.input[0]
        if len(self._users(name)) != 1:
            return None
        return next((other for other in self._graph.nodes if name in other.output), None)

    def _kernel_and_bias(self, convolution: onnx.NodeProto) -> tuple[_Array, _Array]:
        kernel = self._weights[convolution.input[1]]
        if len(convolution.input) == 3:
            return kernel, self._weights[convolution.input[2]]
        return kernel, np.zeros(kernel.shape[0], np.float32)

    def _set(self, convolution: onnx.NodeProto, kernel: _Array, bias: _Array) -> None:
        """Give a convolution weights of its own: the old ones may be another's too."""
        names = [f"{convolution.output[0]}_{part}" for part in ("kernel", "bias")]
        for name, values in zip(names, (kernel, bias), strict=True):
            self._weights[name] = values.astype(np.float32)
        convolution.input[1:] = names


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}


def _by_row(values: _Array) -> _Array:
    return values[:, None, None, None]


def _is_1x1(node: onnx.NodeProto) -> bool:
    if node.op_type != "Conv":
        return False
    found = _attributes(node)
    sides = {*found["kernel_shape"], *found.get("strides", (1, 1))}
    return sides == {1} and found.get("group", 1) == 1


def _is_unpadded(node: onnx.NodeProto) -> bool:
    if node.op_type != "Conv":
        return False
    found = _attributes(node)
    return found.get("auto_pad") == b"VALID" and found.get("group", 1) == 1
