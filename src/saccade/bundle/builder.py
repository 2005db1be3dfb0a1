"""An ONNX graph as it grows, node by node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET: Final = 20
_IR_VERSION: Final = 9  # what goes with opset 20; ONNX Runtime 1.17 and newer read both

TO_CHANNELS_FIRST: Final = (0, 3, 1, 2)
TO_CHANNELS_LAST: Final = (0, 2, 3, 1)


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value in the graph; `rank` counts the axes, the pictures' axis included.

    One of rank 4 is held as (N, C, H, W), the order that ONNX convolves in; every other one as
    Keras has it. So a chain of convolutions holds no transpositions.
    """

    name: str
    rank: int


class GraphBuilder:
    """Collects nodes and weights; every name it gives is new."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output, whose name is returned."""
        name = f"saccade_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def weight(self, values: npt.ArrayLike, dtype: Any = np.float32) -> str:
        """Add a constant, float32 unless said otherwise, whose name is returned."""
        name = f"saccade_w{len(self.weights)}"
        array = np.ascontiguousarray(np.asarray(values, dtype=dtype))
        self.weights.append(numpy_helper.from_array(array.reshape(np.shape(values)), name))
        return name

    def from_keras_order(self, name: str, rank: int) -> Tensor:
        """Return the value `name`, held as Keras has it, as a `Tensor`."""
        if rank == 4:
            name = self.add("Transpose", name, perm=TO_CHANNELS_FIRST)
        return Tensor(name, rank)

    def in_keras_order(self, tensor: Tensor) -> str:
        """Return the name of `tensor` with its channels last."""
        if tensor.rank == 4:
            return self.add("Transpose", tensor.name, perm=TO_CHANNELS_LAST)
        return tensor.name

    def clip(self, name: str, low: float, high: float) -> str:
        """Add a limit on both sides, and return the result's name."""
        return self.add("Clip", name, self.weight(low), self.weight(high))

    def rename_output(self, old: str, new: str) -> None:
        """Give the last node's output, `old`, another name."""
        if list(self.nodes[-1].output) != [old]:
            raise ValueError(f"{old!r} is not the last node's output")
        self.nodes[-1].output[:] = [new]

    def include(self, document: onnx.ModelProto, source: str) -> str:
        """Add a whole document of one input, fed from `source`, and return its output's name."""
        inner = document.graph
        entry, exit_ = inner.input[0].name, inner.output[0].name
        for node in inner.node:
            node.input[:] = [source if name == entry else name for name in node.input]
        self.nodes.extend(inner.node)
        self.weights.extend(inner.initializer)
        return source if exit_ == entry else str(exit_)

    def document(
        self,
        *,
        pixels: tuple[str, tuple[int, int, int]],
        results: Sequence[tuple[str, tuple[int | str, ...]]],
    ) -> bytes:
        """Return the graph as an ONNX document.

        `pixels` is the input's name and its (H, W, C); `results` holds each output's name and its
        shape for one picture.
        """
        graph = helper.make_graph(
            self.nodes,
            "saccade",
            [helper.make_tensor_value_info(pixels[0], TensorProto.UINT8, ["N", *pixels[1]])],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])
                for name, shape in results
            ],
            self.weights,
        )
        model = helper.make_model(
            graph,
            producer_name="saccade",
            ir_version=_IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )
        content: bytes = model.SerializeToString()
        return content
