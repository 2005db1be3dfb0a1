"""Which layer has which twin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from saccade.models.backend import load_keras
from saccade.training.twins import convolutions, dropping, merging, normalization, pooling, shapes
from saccade.training.twins.activations import ACTIVATION_LAYERS

keras = load_keras()
layers = keras.layers
applications = keras.src.applications  # layers of their own, which Keras exports nowhere


def twin_of(layer: Any) -> torch.nn.Module | None:
    """Return the twin of a built Keras layer, or None where the layer itself must be called."""
    build = _TWINS.get(type(layer))
    if build is None or not _is_plain(layer):
        return None
    return build(layer)


def _is_plain(layer: Any) -> bool:
    """Whether the layer is float32 throughout, channels last, and asks for nothing unusual."""
    return (
        layer.dtype_policy.name == "float32"
        and layer.activity_regularizer is None
        and getattr(layer, "data_format", "channels_last") == "channels_last"
        and not getattr(layer, "lora_enabled", False)
        and getattr(layer, "quantization_mode", None) is None
    )


_TWINS: dict[type, Callable[[Any], torch.nn.Module | None]] = {
    **ACTIVATION_LAYERS,
    applications.convnext.LayerScale: merging.LayerScale,
    applications.convnext.StochasticDepth: dropping.StochasticDepth,
    applications.inception_resnet_v2.CustomScaleLayer: merging.ScaledSum,
    layers.Add: merging.elementwise(merging.total),
    layers.Average: merging.elementwise(merging.mean),
    layers.AveragePooling2D: pooling.AveragePooling,
    layers.BatchNormalization: normalization.batch_normalization,
    layers.Concatenate: merging.concatenation,
    layers.Conv2D: convolutions.Convolution,
    layers.Cropping2D: shapes.cropping,
    layers.Dense: convolutions.Dense,
    layers.DepthwiseConv2D: convolutions.DepthwiseConvolution,
    layers.Dropout: dropping.Dropout,
    layers.Flatten: lambda layer: shapes.Reshape((-1,)),
    layers.GlobalAveragePooling2D: pooling.GlobalPooling,
    layers.GlobalMaxPooling2D: pooling.GlobalPooling,
    layers.GroupNormalization: normalization.group_normalization,
    layers.LayerNormalization: normalization.layer_normalization,
    layers.Maximum: merging.elementwise(merging.largest),
    layers.MaxPooling2D: pooling.MaxPooling,
    layers.Minimum: merging.elementwise(merging.smallest),
    layers.Multiply: merging.elementwise(merging.product),
    layers.Normalization: normalization.Normalization,
    layers.Permute: shapes.Permutation,
    layers.Rescaling: normalization.Rescaling,
    layers.Reshape: lambda layer: shapes.Reshape(tuple(layer.target_shape)),
    layers.SeparableConv2D: convolutions.SeparableConvolution,
    layers.SpatialDropout2D: dropping.SpatialDropout,
    layers.Subtract: merging.elementwise(merging.difference),
    layers.UpSampling2D: shapes.repetition,
    layers.ZeroPadding2D: lambda layer: shapes.Padding(layer.padding),
}
