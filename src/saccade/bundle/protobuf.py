"""Looking through an ONNX document without the onnx package, before anything runs it.

A document may point to files outside itself, call operators that are not in the ONNX standard, or
hold loops. No bundle needs these, so `check_document` refuses them. ONNX documents are protocol
buffers: fields of (number, wire type, value), nested. Only the fields named in `_CHILDREN` are
entered; weights are stepped over without being copied. Source: onnx.proto, protobuf.dev/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from saccade.errors import BundleError

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5

# message -> field number -> the message that the field holds
_CHILDREN: Final[dict[str, dict[int, str]]] = {
    "Model": {7: "Graph", 8: "Opset"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 10: "Tensor", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
}
# message -> field number -> why a document with that field is refused
_REFUSED: Final[dict[str, dict[int, str]]] = {
    "Model": {20: "holds training steps", 25: "holds functions of its own"},
    "Attribute": {6: "holds a loop or a branch", 11: "holds a loop or a branch"},
    "Tensor": {13: "points to a file outside itself"},
}
_DOMAIN: Final = {"Node": 7, "Opset": 1}  # field number of the operators' domain
_DATA_LOCATION: Final = 14  # of Tensor: 0 inside, 1 outside
_STANDARD: Final = (b"", b"ai.onnx")


def check_document(document: bytes) -> None:
    """Raise BundleError unless an ONNX document is self-contained, standard and loop-free."""
    try:
        _check(memoryview(document), "Model")
    except (IndexError, ValueError) as error:
        raise BundleError(f"model.onnx is not an ONNX document: {error}") from error


def _check(content: memoryview, message: str) -> None:
    children, refused = _CHILDREN.get(message, {}), _REFUSED.get(message, {})
    for number, value in _fields(content):
        if number in refused:
            raise BundleError(f"model.onnx {refused[number]}, which no bundle needs")
        if message == "Tensor" and number == _DATA_LOCATION and value != 0:
            raise BundleError("model.onnx points to a file outside itself")
        if not isinstance(value, memoryview):
            continue
        if number == _DOMAIN.get(message) and bytes(value) not in _STANDARD:
            domain = bytes(value[:80]).decode(errors="replace")
            raise BundleError(f"model.onnx uses operators of {domain!r}, not of the ONNX standard")
        if number in children:
            _check(value, children[number])


def _fields(content: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield a message's fields: numbers as int, everything with a length as a view."""
    position = 0
    while position < len(content):
        tag, position = _varint(content, position)
        kind = tag & 7
        if kind == _VARINT:
            value, position = _varint(content, position)
            yield tag >> 3, value
            continue
        if kind == _LENGTH:
            size, position = _varint(content, position)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"a field of unknown kind {kind}")
        if position + size > len(content):
            raise ValueError("it ends early")
        yield tag >> 3, content[position : position + size]
        position += size


def _varint(content: memoryview, position: int) -> tuple[int, int]:
    """Return the number at `position` and the position after it; seven bits a byte."""
    value = 0
    for shift in range(0, 70, 7):
        byte = content[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    raise ValueError("a number of more than ten bytes")
