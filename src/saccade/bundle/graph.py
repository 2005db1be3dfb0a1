"""A Keras model as ONNX: uint8 pixels in, calibrated probabilities out.

The graph is made by walking the Keras layers (`saccade.bundle.layers`): that takes milliseconds,
and gives the same graph whether Keras runs on PyTorch or on TensorFlow. A model with a layer that
is not known there goes through PyTorch's own exporter instead (some three seconds); on another
backend it is refused by the layer's name. Either way `saccade.bundle.write` compares the result
with the model before it is kept, so that a wrong conversion costs an error, never a wrong answer.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from saccade.bundle.builder import OPSET, GraphBuilder
from saccade.bundle.folding import fold
from saccade.bundle.layers import UnknownLayerError, emit_model
from saccade.bundle.runtime import INPUT_NAME, OUTPUT_NAME, UNUSUALNESS_NAME
from saccade.bundle.unusualness import Known, add_features, add_unusualness
from saccade.errors import BundleError
from saccade.models.backend import engine_name
from saccade.models.outputs import SMALLEST, OutputKind, output_kind

FEATURES_NAME: Final = "features"
_FLOAT32: Final = 1  # onnx.TensorProto.FLOAT


class Converted(NamedTuple):
    """A Keras model as ONNX."""

    document: bytes
    scores_unusualness: bool  # whether it has a second output, how unlike the known pictures one is


def to_onnx(
    model: Any,
    *,
    input_shape: tuple[int, int, int],
    num_classes: int,
    temperature: float,
    several_labels: bool = False,
    known: Known | None = None,
) -> Converted:
    """Return the ONNX document of a Keras model that takes (N, H, W, C) pixels from 0 to 255.

    Its input is ``pixels``, uint8 (N, H, W, C); its output ``probabilities``, float32
    (N, `num_classes`): softmax(logits / `temperature`), or the sigmoid of it for several labels a
    picture. With `known`, and feature maps or a Dense layer at the model's end, there is a second
    output ``unusualness``, float32 (N,). Raises BundleError for a model that cannot be converted.
    """
    kind = output_kind(model)
    num_columns = _check_shapes(model, input_shape, num_classes, kind)
    if several_labels and (kind == "softmax" or num_columns != num_classes):
        raise BundleError("a model for several labels a picture has a sigmoid or logits a label")
    graph, outputs = _emit_outputs(model, input_shape)
    logits = _emit_logits(graph, outputs, kind, num_columns)
    scaled = graph.add("Div", logits, graph.weight(temperature))
    if several_labels:
        probabilities = graph.add("Sigmoid", scaled)
    else:
        probabilities = graph.add("Softmax", scaled, axis=-1)
    graph.rename_output(probabilities, OUTPUT_NAME)
    results: list[tuple[str, tuple[int, ...]]] = [(OUTPUT_NAME, (num_classes,))]
    if known is not None and (features := add_features(graph, outputs, input_shape)):
        score = add_unusualness(graph, features, known, input_shape)
        graph.rename_output(score, UNUSUALNESS_NAME)
        results.append((UNUSUALNESS_NAME, ()))
    document = graph.document(pixels=(INPUT_NAME, input_shape), results=results)
    return Converted(document=document, scores_unusualness=len(results) > 1)


def features_to_onnx(model: Any, input_shape: tuple[int, int, int]) -> bytes:
    """Return the ONNX document of frozen Keras layers, folded for speed.

    Its input is ``pixels``, uint8 (N, H, W, C); its output ``features``, float32 of the model's
    own shape, (N, D) or (N, h, w, D). Raises UnknownLayerError for a layer that has no translation
    here; the caller then runs the model itself.
    """
    graph = GraphBuilder()
    pixels = graph.add("Cast", INPUT_NAME, to=_FLOAT32)
    tensor = emit_model(graph, model, graph.from_keras_order(pixels, 4))
    graph.rename_output(graph.in_keras_order(tensor), FEATURES_NAME)
    fold(graph)
    shape = tuple(int(side) for side in model.output_shape[1:])
    return graph.document(pixels=(INPUT_NAME, input_shape), results=[(FEATURES_NAME, shape)])


def _check_shapes(
    model: Any, input_shape: tuple[int, int, int], num_classes: int, kind: OutputKind
) -> int:
    """Return the model's number of output columns, once inputs and outputs fit."""
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    if not inputs or not outputs or len(inputs) != 1 or len(outputs) != 1:
        raise BundleError("a model for a bundle is built, with one input and one output")
    wanted = tuple(inputs[0].shape)[1:]
    fits = len(wanted) == 3 and all(
        side in (None, got) for side, got in zip(wanted, input_shape, strict=True)
    )
    if not fits:
        raise BundleError(f"the model takes pictures of {wanted}, the bundle gives {input_shape}")
    columns = tuple(outputs[0].shape)[1:]
    allowed = [(num_classes,)] + ([(1,)] if num_classes == 2 and kind != "softmax" else [])
    if columns not in allowed:
        raise BundleError(f"the model gives {columns} numbers a picture for {num_classes} classes")
    return int(columns[0])


def _emit_outputs(model: Any, input_shape: tuple[int, int, int]) -> tuple[GraphBuilder, str]:
    """Return a graph from the pixels to the model's own outputs, and their name."""
    graph = GraphBuilder()
    pixels = graph.add("Cast", INPUT_NAME, to=_FLOAT32)
    try:
        return graph, emit_model(graph, model, graph.from_keras_order(pixels, 4)).name
    except UnknownLayerError as unknown:
        if engine_name() != "torch":
            raise BundleError(
                f"{unknown}, and Keras on {engine_name()} has no other way to ONNX here: "
                "use standard layers, or train with KERAS_BACKEND=torch"
            ) from unknown
    graph = GraphBuilder()
    pixels = graph.add("Cast", INPUT_NAME, to=_FLOAT32)
    return graph, graph.include(_export_with_pytorch(model, input_shape), pixels)


def _emit_logits(graph: GraphBuilder, outputs: str, kind: OutputKind, num_columns: int) -> str:
    """Add what `saccade.models.outputs.to_logits` does, step for step, in float32."""
    logits = outputs
    if kind == "softmax":
        logits = graph.add("Log", graph.clip(outputs, SMALLEST, 1.0))
    elif kind == "sigmoid":
        inside = graph.clip(outputs, SMALLEST, 1 - SMALLEST)
        outside = graph.add("Sub", graph.weight(1.0), inside)
        logits = graph.add("Sub", graph.add("Log", inside), graph.add("Log", outside))
    if num_columns > 1:
        return logits
    zero = graph.add("Sub", logits, logits)
    return graph.add("Concat", zero, logits, axis=1)  # one number z a picture becomes (0, z)


def _export_with_pytorch(model: Any, input_shape: tuple[int, int, int]) -> Any:
    """Return the ONNX document that PyTorch writes of the model, float32 pixels to outputs."""
    import torch

    class Inference(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, pixels: Any) -> Any:
            return self.model(pixels, training=False)

    with _silence():
        exported = torch.onnx.export(
            Inference().eval(),
            (torch.zeros((2, *input_shape)),),
            dynamo=True,
            dynamic_shapes={"pixels": {0: torch.export.Dim("N")}},
            opset_version=OPSET,
            verbose=False,
        )
    return exported.model_proto


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the exporter's warnings about its own insides from the user for as long as it runs."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
