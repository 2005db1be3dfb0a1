"""Documents made with the onnx package, looked through without it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from saccade.bundle.protobuf import check_document
from saccade.errors import BundleError


def document(*nodes: onnx.NodeProto, weights=(), **model) -> onnx.ModelProto:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])
    return helper.make_model(helper.make_graph(nodes, "g", [value], [result], weights), **model)


def refused(model: onnx.ModelProto, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        check_document(model.SerializeToString())


def test_plain_document_passes() -> None:
    weight = numpy_helper.from_array(np.ones(2, dtype=np.float32), "w")
    constant = helper.make_node("Constant", [], ["c"], value=weight)
    node = helper.make_node("Add", ["x", "w"], ["y"])
    check_document(document(constant, node, weights=[weight]).SerializeToString())


def outside(name: str) -> onnx.TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[2])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return tensor


def test_weights_in_another_file() -> None:
    node = helper.make_node("Add", ["x", "w"], ["y"])
    refused(document(node, weights=[outside("w")]), "points to a file outside itself")


def test_constant_in_another_file() -> None:
    node = helper.make_node("Constant", [], ["y"], value=outside("w"))
    refused(document(node), "points to a file outside itself")


def test_sparse_weights_in_another_file() -> None:
    model = document(helper.make_node("Identity", ["x"], ["y"]))
    model.graph.sparse_initializer.add().values.CopyFrom(outside("w"))
    refused(model, "points to a file outside itself")


def test_data_location_alone() -> None:
    tensor = TensorProto(name="w", data_location=TensorProto.EXTERNAL)
    node = helper.make_node("Add", ["x", "w"], ["y"])
    refused(document(node, weights=[tensor]), "points to a file outside itself")


def test_operator_outside_the_standard() -> None:
    node = helper.make_node("Evil", ["x"], ["y"], domain="com.example")
    refused(document(node), "operators of 'com.example'")


def test_operator_set_outside_the_standard() -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    model = document(node, opset_imports=[helper.make_opsetid("com.microsoft", 1)])
    refused(model, "operators of 'com.microsoft'")


@pytest.mark.parametrize("attribute", ["body", "branches"])
def test_loop(attribute: str) -> None:
    inner = document(helper.make_node("Identity", ["x"], ["y"])).graph
    value = inner if attribute == "body" else [inner]
    refused(document(helper.make_node("Loop", ["x"], ["y"], **{attribute: value})), "a loop")


def test_function() -> None:
    model = document(helper.make_node("Identity", ["x"], ["y"]))
    model.functions.add(name="f")
    refused(model, "holds functions of its own")


@pytest.mark.parametrize("content", [b"\xff", b"\x3a\x7f", b"\x0b", b"PK\x03\x04", b"\x80" * 12])
def test_bytes_that_are_no_document(content: bytes) -> None:
    with pytest.raises(BundleError, match="not an ONNX document"):
        check_document(content)
