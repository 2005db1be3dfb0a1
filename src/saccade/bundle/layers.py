"""How each standard Keras layer is said in ONNX, as it behaves when it predicts.

A layer counts as known when it is Keras's own class, in a form handled here; anything else raises
`UnknownLayerError` and leaves the choice to the caller. Numbers are float32 whatever precision the
layer trained in. All families of `keras.applications` but NASNet are made of known layers.

Over 400 lines, because it is one table: a short function for each layer, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from saccade.bundle.builder import GraphBuilder, Tensor

Emit = Callable[[GraphBuilder, Any, Tensor], Tensor]


class UnknownLayerError(Exception):
    """A layer, or a form of one, that has no translation here."""

    def __init__(self, layer: Any, form: str = "") -> None:
        name = getattr(layer, "name", "?")
        super().__init__(f"the layer {name!r} ({type(layer).__name__}{form}) is not a known one")


def emit_model(graph: GraphBuilder, model: Any, pixels: Tensor) -> Tensor:
    """Add a Functional or Sequential Keras model to `graph`, and return its output."""
    import keras

    if isinstance(model, keras.Sequential) and model.built:
        model = keras.Model(model.inputs[0], model.outputs[0])
    if not hasattr(model, "_run_through_graph"):
        raise UnknownLayerError(model)
    # Keras's own walk over its graph, which knows shared layers and nested arguments.
    result = model._run_through_graph(
        pixels, operation_fn=lambda layer: partial(_emit, graph, layer)
    )
    if not isinstance(result, Tensor):
        raise UnknownLayerError(model)
    return result


def _emit(graph: GraphBuilder, layer: Any, *inputs: Any, **keywords: Any) -> Tensor:
    import keras

    kind = type(layer).__name__
    given = {name for name, value in keywords.items() if value is not None} - {"training"}
    if given or not type(layer).__module__.startswith("keras."):
        raise UnknownLayerError(layer)
    if not isinstance(layer, keras.layers.Layer):
        return _operation(graph, layer, inputs)
    if kind in _MERGES and len(inputs) == 1 and isinstance(inputs[0], list | tuple):
        return _merge(graph, layer, tuple(inputs[0]))
    if len(inputs) != 1 or not isinstance(inputs[0], Tensor):
        raise UnknownLayerError(layer)
    if kind in ("Functional", "Sequential"):
        return emit_model(graph, layer, inputs[0])
    if kind in _UNCHANGED:
        return inputs[0]
    if kind not in _EMITTERS or getattr(layer, "data_format", "channels_last") != "channels_last":
        raise UnknownLayerError(layer)
    return _EMITTERS[kind](graph, layer, inputs[0])


# What does nothing when a model predicts.
_UNCHANGED: Final = frozenset(
    """ActivityRegularization AlphaDropout Dropout GaussianDropout GaussianNoise Identity
    SpatialDropout2D RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast
    RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHue RandomInvert
    RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness
    RandomShear RandomTranslation RandomZoom StochasticDepth""".split()
)

_MERGES: Final = {
    "Add": "Sum",
    "Average": "Mean",
    "Concatenate": "Concat",
    "CustomScaleLayer": "Sum",  # of keras.applications.InceptionResNetV2: a + scale * b
    "Maximum": "Max",
    "Minimum": "Min",
    "Multiply": "Mul",
    "Subtract": "Sub",
}


def _merge(graph: GraphBuilder, layer: Any, inputs: tuple[Tensor, ...]) -> Tensor:
    ranks = {tensor.rank for tensor in inputs}
    if len(ranks) != 1:
        raise UnknownLayerError(layer, " of unlike shapes")
    rank = ranks.pop()
    names = [tensor.name for tensor in inputs]
    operator = _MERGES[type(layer).__name__]
    if operator == "Concat":
        return Tensor(graph.add(operator, *names, axis=_axis(layer.axis, rank)), rank)
    if type(layer).__name__ == "CustomScaleLayer":
        names[1] = graph.add("Mul", names[1], graph.weight(layer.scale))
    if operator in ("Mul", "Sub"):  # of two in ONNX, of any number in Keras
        result = names[0]
        for name in names[1:]:
            result = graph.add(operator, result, name)
        return Tensor(result, rank)
    return Tensor(graph.add(operator, *names), rank)


def _operation(graph: GraphBuilder, operation: Any, inputs: tuple[Any, ...]) -> Tensor:
    """Add one of `keras.ops`, of the few that networks here are made of."""
    kind = type(operation).__name__
    if kind == "Concatenate" and len(inputs) == 1:
        return _merge(graph, operation, tuple(inputs[0]))
    if kind == "Take" and len(inputs) == 2 and isinstance(inputs[0], Tensor):
        return _take(graph, operation, *inputs)
    if kind in _OPERATIONS and len(inputs) == 1 and isinstance(inputs[0], Tensor):
        return _OPERATIONS[kind](graph, operation, inputs[0])
    return _arithmetic(graph, operation, inputs)


def _flip(graph: GraphBuilder, operation: Any, tensor: Tensor) -> Tensor:
    if not isinstance(operation.axis, int):
        raise UnknownLayerError(operation, " over several axes")
    # Backwards, from the last entry to the one before the first.
    numbers = (-1, np.iinfo(np.int64).min, _axis(operation.axis, tensor.rank), -1)
    slices = [graph.weight([number], np.int64) for number in numbers]
    return Tensor(graph.add("Slice", tensor.name, *slices), tensor.rank)


def _take(graph: GraphBuilder, operation: Any, tensor: Tensor, places: Any) -> Tensor:
    if not isinstance(operation.axis, int) or isinstance(places, Tensor) or np.ndim(places) != 1:
        raise UnknownLayerError(operation, " in this form")
    numbers = graph.weight(places, np.int64)
    axis = _axis(operation.axis, tensor.rank)
    return Tensor(graph.add("Gather", tensor.name, numbers, axis=axis), tensor.rank)


def _mean(graph: GraphBuilder, operation: Any, tensor: Tensor) -> Tensor:
    axes = operation.axis if isinstance(operation.axis, list) else [operation.axis]
    if not isinstance(axes[0], int) or operation.keepdims or tensor.rank > 3:
        raise UnknownLayerError(operation, " in this form")
    name = graph.add("ReduceMean", tensor.name, graph.weight(axes, np.int64), keepdims=0)
    return Tensor(name, tensor.rank - len(axes))


def _reshape_all(graph: GraphBuilder, operation: Any, tensor: Tensor) -> Tensor:
    """Add `keras.ops.reshape`, whose shape has the pictures' axis in it."""
    name = graph.in_keras_order(tensor)
    shape = graph.weight(operation.newshape, np.int64)
    return graph.from_keras_order(graph.add("Reshape", name, shape), len(operation.newshape))


_OPERATIONS: Final[dict[str, Emit]] = {"Flip": _flip, "Mean": _mean, "Reshape": _reshape_all}


def _arithmetic(graph: GraphBuilder, operation: Any, inputs: tuple[Any, ...]) -> Tensor:
    """Add ``+ - * /`` between tensors of one rank, or a tensor and a number."""
    operators = {"Add": "Add", "Subtract": "Sub", "Multiply": "Mul", "TrueDivide": "Div"}
    ranks = {value.rank for value in inputs if isinstance(value, Tensor)}
    fit = all(isinstance(value, Tensor | int | float) for value in inputs)
    operator = operators.get(type(operation).__name__)
    if operator is None or len(inputs) != 2 or len(ranks) != 1 or not fit:
        raise UnknownLayerError(operation)
    names = [
        value.name if isinstance(value, Tensor) else graph.weight(float(value)) for value in inputs
    ]
    return Tensor(graph.add(operator, *names), ranks.pop())


def _array(variable: Any) -> npt.NDArray[np.float32]:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(variable), dtype=np.float32)


def _axis(axis: int, rank: int) -> int:
    """Return where Keras's `axis` lies in the graph, where rank 4 has its channels first."""
    axis %= rank
    return (0, 2, 3, 1)[axis] if rank == 4 else axis


def _channelwise(values: npt.NDArray[np.float32], rank: int) -> npt.NDArray[np.float32]:
    """Return an array that broadcasts over the last axis in Keras, shaped to do so in the graph."""
    if rank == 4 and values.ndim > 0:
        values = values.reshape((1,) * (4 - values.ndim) + values.shape)
        return values.transpose(0, 3, 1, 2)
    return values


def _activate(graph: GraphBuilder, layer: Any, tensor: Tensor) -> Tensor:
    """Add the layer's activation function, where it has one."""
    import keras

    function = getattr(layer, "activation", None)
    name = getattr(function, "__name__", "linear")
    if function is None or name == "linear":
        return tensor
    known = getattr(keras.activations, name, None) is function
    if known and name in ("softmax", "log_softmax"):
        operator = "Softmax" if name == "softmax" else "LogSoftmax"
        return Tensor(graph.add(operator, tensor.name, axis=_axis(-1, tensor.rank)), tensor.rank)
    if known and name in ("silu", "swish"):
        gate = graph.add("Sigmoid", tensor.name)
        return Tensor(graph.add("Mul", tensor.name, gate), tensor.rank)
    if known and name == "relu6":
        return _clip(graph, tensor, 0.0, 6.0)
    if not known or name not in _ACTIVATIONS:
        raise UnknownLayerError(layer, f" with activation {name!r}")
    operator, attributes = _ACTIVATIONS[name]
    return Tensor(graph.add(operator, tensor.name, **attributes), tensor.rank)


# Keras's constants, written out where ONNX has others.
_ACTIVATIONS: Final[dict[str, tuple[str, dict[str, float]]]] = {
    "elu": ("Elu", {"alpha": 1.0}),
    "gelu": ("Gelu", {}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "hard_silu": ("HardSwish", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": 0.2}),
    "mish": ("Mish", {}),
    "relu": ("Relu", {}),
    "selu": ("Selu", {}),
    "sigmoid": ("Sigmoid", {}),
    "softplus": ("Softplus", {}),
    "softsign": ("Softsign", {}),
    "tanh": ("Tanh", {}),
}


def _clip(graph: GraphBuilder, tensor: Tensor, low: float, high: float) -> Tensor:
    bounds = [graph.weight(bound) for bound in (low, high)]
    return Tensor(graph.add("Clip", tensor.name, *bounds), tensor.rank)


def _relu(graph: GraphBuilder, layer: Any, tensor: Tensor) -> Tensor:
    if layer.threshold:
        raise UnknownLayerError(layer, " with a threshold")
    slope = float(layer.negative_slope or 0)
    if slope:
        tensor = Tensor(graph.add("LeakyRelu", tensor.name, alpha=slope), tensor.rank)
    else:
        tensor = Tensor(graph.add("Relu", tensor.name), tensor.rank)
    if layer.max_value is None:
        return tensor
    ceiling = graph.weight(float(layer.max_value))
    return Tensor(graph.add("Min", tensor.name, ceiling), tensor.rank)


def _leaky_relu(graph: GraphBuilder, layer: Any, tensor: Tensor) -> Tensor:
    name = graph.add("LeakyRelu", tensor.name, alpha=float(layer.negative_slope))
    return Tensor(name, tensor.rank)


def _elu(graph: GraphBuilder, layer: Any, tensor: Tensor) -> Tensor:
    return Tensor(graph.add("Elu", tensor.name, alpha=float(layer.alpha)), tensor.rank)


def _softmax(graph: GraphBuilder, layer: Any, tensor: Tensor) -> Tensor:
    if not isinstance(layer.axis, int):
        raise UnknownLayerError(layer, " over several axes")
    axis = _axis(layer.axis, tensor.rank)
    return Tensor(graph.add("Softmax", tensor.name, axis=axis), tensor.rank)


def _rescaling(graph: GraphBuilder, layer: Any, tensor: Tensor) -> Tensor:
    scale = _channelwise(np.asarray(layer.scale, dtype=np.float32), tensor.rank)
    offset = _channelwise(np.asarray(layer.offset, dtype=np.float32), tensor.rank)
    scaled = graph.add("Mul", tensor.name, graph.weight(scale))
    if not offset.any():
        return Tensor(scaled, tensor.rank)
    return Tensor(graph.add("Add", scaled, graph.weight(offset)), tensor.rank)


def _normalization(graph: GraphBuilder, layer: Any, tensor: Tensor) -> Tensor:
    if layer.invert:
        raise UnknownLayerError(layer, " inverted")
    mean = _channelwise(_array(layer.mean), tensor.rank)
    # Keras never divides by less than its epsilon, 1e-7.
    deviation = np.maximum(np.sqrt(_channelwise(_array(layer.variance), tensor.rank)), 1e-7)
    centred = graph.add("Sub", tensor.name, graph.weight(mean))
    return Tensor(graph.add("Div", centred, graph.weight(deviation)), tensor.rank)


def _convolve(
    graph: GraphBuilder, layer: Any, tensor: Tensor, *, kernel: Any, groups: int, bias: Any = None
) -> Tensor:
    """Add one convolution; `kernel` is (out, in / groups, height, width)."""
    inputs = [tensor.name, graph.weight(kernel)]
    if bias is not None:
        inputs.append(graph.weight(_array(bias)))
    name = graph.add(
        "Conv",
        *inputs,
        kernel_shape=kernel.shape[2:],
        strides=layer.strides,
        dilations=layer.dilation_rate,
        group=groups,
        **_padding(layer, kernel.shape[2:], layer.dilation_rate),
    )
    return Tensor(name, 4)


def _padding(layer: Any, window: tuple[int, int], dilations: tuple[int, int]) -> dict[str, Any]:
    """Return ONNX's attributes; "same" puts the odd row and column at the end in both."""
    if layer.padding == "valid":
        return {"auto_pad": "VALID"}
    if tuple(dilations) == (1, 1):
        return {"auto_pad": "SAME_UPPER"}
    if layer.padding != "same" or tuple(layer.strides) != (1, 1):
        raise UnknownLayerError(layer, ", dilated with strides")
    # ONNX Runtime dilates with explicit padding only.
    totals = [(side - 1) * dilation for side, dilation in zip(window, dilations, strict=True)]
    return {"pads": [*(total // 2 for total in totals), *(total - total // 2 for total in totals)]}


def _conv2d(graph: GraphBuilder, layer: Any, tensor: Tensor) -> Tensor:
    if layer.quantization_mode is not None:
        raise UnknownLayerError(layer, ", quantized")
    kernel = _array(layer.kernel).transpose(3, 2, 0, 1)
    bias = layer.bias if layer.use_bias else None
    result = _convolve(graph, layer, tensor, kernel=kernel, groups=layer.groups, bias=bias)
    return _activate(graph, layer, result)


def _depthwise_kernel(kernel: Any) -> npt.NDArray[np.float32]:
    """Return Keras's (height, width, in, multiplier) as (in x multiplier, 1, height, width)."""
    array = _array(kernel)
    return array.transpose(2, 3, 0, 1).reshape(-1, 1, *array.shape[:2])


def _depthwise_conv2d(graph: GraphBuilder, layer: Any, tensor: Tensor) -> Tensor:
    kernel = _depthwise_kernel(layer.kernel)
    bias = layer.bias if layer.use_bias else None
    groups = layer.kernel.shape[2]
    result = _convolve(graph, layer, tensor, kernel=kernel, groups=groups, bias=bias)
    return _activate(graph, layer, result)


def _separable_conv2d(graph: GraphBuilder, layer: Any, tensor: Tensor) -> Tensor:
    groups = layer.depthwise_kernel.shape[2]
    kernel = _depthwise_kernel(layer.depthwise_kernel)
    depthwise = _convolve(graph, layer, tensor, kernel=kernel, groups=groups)
    pointwise = [graph.weight(_array(layer.pointwise_kernel).transpose(3, 2, 0, 1))]
    if layer.use_bias:
        pointwise.append(graph.weight(_array(layer.bias)))
    result = graph.add("Conv", depthwise.name, *pointwise, kernel_shape=(1, 1))
    return _activate(graph, layer, Tensor(result, 4))


def _dense(graph: GraphBuilder, layer: Any, tensor: Tensor) -> Tensor:
    if layer.quantization_mode is not None:
        raise UnknownLayerError(layer, ", quantized")
    inputs = graph.in_keras_order(tensor)
    result = graph.add("MatMul", inputs, graph.weight(_array(layer.kernel)))
    if layer.use_bias:
        result = graph.add("Add", result, graph.weight(_array(layer.bias)))
    return _activate(graph, layer, graph.from_keras_order(result, tensor.rank))


def _batch_normalization(graph: GraphBuilder, layer: Any, tensor: Tensor) -> Tensor:
    if layer.axis % tensor.rank != tensor.rank - 1 or tensor.rank not in (2, 4):
        raise UnknownLayerError(layer, f" over axis {layer.axis}")
    mean, variance = _array(layer.moving_mean), _array(layer.moving_variance)
    scale = _array(layer.gamma) if layer.scale else np.ones_like(mean)
    shift = _array(layer.beta) if layer.center else np.zeros_like(mean)
    weights = [graph.weight(values) for values in (scale, shift, mean, variance)]
    epsilon = float(layer.epsilon)
    name = graph.add("BatchNormalization", tensor.name, *weights, epsilon=epsilon)
    return Tensor(name, tensor.rank)


def _layer_normalization(graph: GraphBuilder, layer: Any, tensor: Tensor) -> Tensor:
    axes = layer.axis if isinstance(layer.axis, list) else [layer.axis]
    if [axis % tensor.rank for axis in axes] != [tensor.rank - 1]:
        raise UnknownLayerError(layer, f" over axis {layer.axis}")
    if layer.rms_scaling or not layer.scale:  # ONNX's scale is not optional
        raise UnknownLayerError(layer, " without a scale")
    weights = [graph.weight(_array(layer.gamma))]
    if layer.center:
        weights.append(graph.weight(_array(layer.beta)))
    name = graph.add(
        "LayerNormalization",
        graph.in_keras_order(tensor),
        *weights,
        axis=-1,
        epsilon=float(layer.epsilon),
    )
    return graph.from_keras_order(name, tensor.rank)


def _layer_scale(graph: GraphBuilder, layer: Any, tensor: Tensor) -> Tensor:
    """Add ConvNeXt's LayerScale: each channel times a number that was learnt."""
    gamma = graph.weight(_channelwise(_array(layer.gamma), tensor.rank))
    return Tensor(graph.add("Mul", tensor.name, gamma), tensor.rank)


def _max_pool(graph: GraphBuilder, layer: Any, tensor: Tensor) -> Tensor:
    return _pool(graph, "MaxPool", layer, tensor)


def _average_pool(graph: GraphBuilder, layer: Any, tensor: Tensor) -> Tensor:
    # Over a padded edge ONNX averages real pixels only, and so does Keras; but on PyTorch it
    # repeats the edge where the two sides' padding is unlike, as it may be for these windows.
    import keras

    lopsided = tuple(layer.strides) != (1, 1) or any(side % 2 == 0 for side in layer.pool_size)
    if layer.padding == "same" and lopsided and keras.backend.backend() == "torch":
        raise UnknownLayerError(layer, " with uneven padding")
    return _pool(graph, "AveragePool", layer, tensor)


def _pool(graph: GraphBuilder, operator: str, layer: Any, tensor: Tensor) -> Tensor:
    name = graph.add(
        operator,
        tensor.name,
        kernel_shape=layer.pool_size,
        strides=layer.strides,
        **_padding(layer, layer.pool_size, (1, 1)),
    )
    return Tensor(name, 4)


def _global_pool(operator: str, graph: GraphBuilder, layer: Any, tensor: Tensor) -> Tensor:
    name = graph.add(operator, tensor.name)
    if layer.keepdims:
        return Tensor(name, 4)
    return Tensor(graph.add("Flatten", name, axis=1), 2)


def _flatten(graph: GraphBuilder, layer: Any, tensor: Tensor) -> Tensor:
    return Tensor(graph.add("Flatten", graph.in_keras_order(tensor), axis=1), 2)


def _reshape(graph: GraphBuilder, layer: Any, tensor: Tensor) -> Tensor:
    shape = (0, *layer.target_shape)  # 0 keeps the number of pictures
    name = graph.add("Reshape", graph.in_keras_order(tensor), graph.weight(shape, np.int64))
    return graph.from_keras_order(name, len(shape))


def _zero_padding2d(graph: GraphBuilder, layer: Any, tensor: Tensor) -> Tensor:
    (top, bottom), (left, right) = layer.padding
    pads = graph.weight((0, 0, top, left, 0, 0, bottom, right), np.int64)
    return Tensor(graph.add("Pad", tensor.name, pads), 4)


_EMITTERS: Final[dict[str, Emit]] = {
    "Activation": _activate,
    "AveragePooling2D": _average_pool,
    "BatchNormalization": _batch_normalization,
    "Conv2D": _conv2d,
    "Dense": _dense,
    "DepthwiseConv2D": _depthwise_conv2d,
    "ELU": _elu,
    "Flatten": _flatten,
    "GlobalAveragePooling2D": partial(_global_pool, "GlobalAveragePool"),
    "GlobalMaxPooling2D": partial(_global_pool, "GlobalMaxPool"),
    "LayerNormalization": _layer_normalization,
    "LayerScale": _layer_scale,
    "LeakyReLU": _leaky_relu,
    "MaxPooling2D": _max_pool,
    "Normalization": _normalization,
    "ReLU": _relu,
    "Rescaling": _rescaling,
    "Reshape": _reshape,
    "SeparableConv2D": _separable_conv2d,
    "Softmax": _softmax,
    "ZeroPadding2D": _zero_padding2d,
}
