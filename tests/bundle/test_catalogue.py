"""Every model that Saccade offers by name becomes a bundle's graph without PyTorch's exporter."""

from __future__ import annotations

import numpy as np
import pytest

from saccade.bundle.builder import GraphBuilder
from saccade.bundle.graph import to_onnx
from saccade.bundle.layers import emit_model
from saccade.bundle.runtime import Runtime
from saccade.models import (
    AUTO,
    MODEL_NAMES,
    CompactDesign,
    build_model,
    load_keras,
    output_kind,
    to_logits,
)

DESIGN = CompactDesign(stem_stride=2, widths=(8, 12), depth=1)
SHAPE = (72, 72, 3)  # Xception and three blocks of valid convolutions need this much


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_model_is_walked_layer_by_layer(name: str) -> None:
    num_classes = 2 if name in ("t7", "t8") else 3  # these tell two apart, with one sigmoid
    design = DESIGN if name == AUTO else None
    model = build_model(name, input_shape=SHAPE, num_classes=num_classes, design=design)
    graph = GraphBuilder()
    emit_model(graph, model, graph.from_keras_order("pixels", 4))
    content = to_onnx(model, input_shape=SHAPE, num_classes=num_classes, temperature=1.0).document
    pixels = np.random.default_rng(0).integers(0, 256, (2, *SHAPE), dtype=np.uint8)
    given = Runtime(content, input_shape=SHAPE, num_classes=num_classes).probabilities(pixels)
    outputs = model(pixels.astype(np.float32), training=False)
    keras = load_keras()
    logits = to_logits(keras.ops.convert_to_numpy(outputs), output_kind(model))
    wanted = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    np.testing.assert_allclose(given, wanted, atol=1e-4)  # untrained logits can be large
