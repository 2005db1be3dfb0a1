"""Our own family of small convolutional networks, which `auto` trains from scratch.

>>> design = CompactDesign(stem_stride=1, widths=(32, 64, 128), depth=1)
>>> model = build_compact(design, input_shape=(28, 28, 1), num_classes=10)  # doctest: +SKIP

A stage is a 3×3 convolution, a 2×2 max pooling, batch normalisation and ReLU, in this order:
pooling first leaves a quarter of the numbers to normalise. `depth` adds pairs of convolutions with
a shortcut around each pair, which is what lets more layers learn in few epochs (He et al.,
"Deep residual learning", 2016). Photographs first pass a strided convolution, since full
resolution costs most and says least. The head sees the mean and the maximum of each feature map:
the mean is smooth, the maximum finds a small thing in a large picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from saccade.models.backend import load_keras

Shape = tuple[int, ...]


class View(NamedTuple):
    """How a picture is looked at."""

    shift_px: int = 0  # down and to the right; the edge is repeated
    mirrored: bool = False  # left to right

    def places(self, height_px: int, width_px: int) -> tuple[list[int], list[int]]:
        """Return the rows and the columns of the picture that are seen, in their order."""
        rows, columns = (
            [min(max(place - self.shift_px, 0), side - 1) for place in range(side)]
            for side in (height_px, width_px)
        )
        return rows, columns[::-1] if self.mirrored else columns

    def of(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return pictures (N, H, W, C) as they are seen."""
        if self == AS_IT_IS:
            return pixels
        rows, columns = self.places(*pixels.shape[1:3])
        return pixels[:, rows][:, :, columns]


AS_IT_IS: Final = View()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactDesign:
    """The size of one member of the family."""

    stem_stride: int  # 1: no stem; 2: a convolution of this stride before the stages
    widths: tuple[int, ...]  # feature maps of each stage; every stage halves the side
    depth: int  # residual pairs in each stage but the first; 0 is one convolution a stage
    head: Literal["pooled", "whole"] = "pooled"  # mean and maximum of the last maps, or all of them

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1 or self.depth < 0 or self.stem_stride < 1:
            raise ValueError(f"a design has stages, each with a width, got {self!r}")

    def to_json(self) -> dict[str, Any]:
        """Return the design as a JSON document."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> CompactDesign:
        """Read what `to_json` wrote."""
        return cls(**{**document, "widths": tuple(document["widths"])})


def multiply_adds(design: CompactDesign, input_shape: Shape) -> int:
    """Return the multiplications of one picture's forward pass in the convolutions, nearly all."""
    height, width, channels = input_shape
    total = 0
    if design.stem_stride > 1:
        height, width = -(-height // design.stem_stride), -(-width // design.stem_stride)
        stem_width = _stem_width(design)
        total += height * width * 9 * channels * stem_width
        channels = stem_width
    for stage, maps in enumerate(design.widths):
        total += height * width * 9 * channels * maps
        channels = maps
        if min(height, width) > 1:
            height, width = height // 2, width // 2
        total += 2 * _pairs(design, stage) * height * width * 9 * maps * maps
    return total


def num_entries(design: CompactDesign, input_shape: Shape) -> tuple[int, int]:
    """Return how many entries of feature maps the convolutions write for one picture.

    First those of stages' own convolutions, which are pooled at once, then all others.
    """
    height, width = input_shape[:2]
    pooled = others = 0
    if design.stem_stride > 1:
        height, width = -(-height // design.stem_stride), -(-width // design.stem_stride)
        others += height * width * _stem_width(design)
    for stage, maps in enumerate(design.widths):
        pooled += height * width * maps
        if min(height, width) > 1:
            height, width = height // 2, width // 2
        others += 2 * _pairs(design, stage) * height * width * maps
    return pooled, others


def num_weights(design: CompactDesign, channels: int) -> int:
    """Return the number of weights of the convolutions, which is nearly all there are."""
    total = 0
    if design.stem_stride > 1:
        total, channels = 9 * channels * _stem_width(design), _stem_width(design)
    for stage, maps in enumerate(design.widths):
        total += 9 * channels * maps + 2 * _pairs(design, stage) * 9 * maps * maps
        channels = maps
    return total


def build_compact(
    design: CompactDesign,
    *,
    input_shape: Shape,
    num_classes: int,
    views: tuple[View, ...] = (AS_IT_IS,),
) -> Any:
    """Return the network as a Keras model from pixels (0 to 255) to logits, not compiled.

    With several `views` of each picture it gives the mean of their logits. It has the same weights
    in the same order, and takes as many times the work.
    """
    keras = load_keras()
    layers = keras.layers
    inputs = keras.Input(input_shape)
    maps = layers.Rescaling(1 / 64, offset=-2.0)(inputs)  # about mean 0, deviation 1
    if len(views) > 1:
        maps = keras.ops.concatenate([_seen(maps, view) for view in views], axis=0)
    if design.stem_stride > 1:
        stride = design.stem_stride
        maps = _convolution(_stem_width(design), strides=stride, name="stem")(maps)
        maps = layers.ReLU()(_normalise(maps))
    for stage, width in enumerate(design.widths):
        maps = _convolution(width, name=f"stage{stage + 1}")(maps)
        if min(maps.shape[1:3]) > 1:
            maps = layers.MaxPooling2D(2)(maps)
        maps = layers.ReLU()(_normalise(maps))
        for pair in range(_pairs(design, stage)):
            maps = _residual_pair(maps, width, name=f"stage{stage + 1}_pair{pair + 1}")
    if design.head == "whole":
        features = layers.Flatten()(maps)
    else:
        mean, largest = layers.GlobalAveragePooling2D()(maps), layers.GlobalMaxPooling2D()(maps)
        features = layers.Concatenate()([mean, largest])
    if len(views) > 1:  # the last layer is linear: the mean of features gives the mean of logits
        apart = keras.ops.reshape(features, (len(views), -1, features.shape[-1]))
        features = keras.ops.mean(apart, axis=0)
    outputs = layers.Dense(num_classes, name="logits")(features)
    return keras.Model(inputs, outputs, name="compact")


def _seen(pixels: Any, view: View) -> Any:
    """Return `view.of` of a tensor (N, H, W, C)."""
    ops = load_keras().ops
    for axis, places in enumerate(view.places(*pixels.shape[1:3]), start=1):
        if places != list(range(len(places))):
            pixels = ops.take(pixels, places, axis=axis)
    return pixels


def _stem_width(design: CompactDesign) -> int:
    return max(8, design.widths[0] // 2)


def _pairs(design: CompactDesign, stage: int) -> int:
    """The first stage works at the highest resolution, so pairs there would cost the most."""
    return design.depth if stage else 0


def _convolution(width: int, *, name: str, strides: int = 1) -> Any:
    return load_keras().layers.Conv2D(
        width,
        3,
        strides=strides,
        padding="same",
        use_bias=False,  # batch normalisation follows, and has its own
        kernel_initializer="he_normal",
        name=name,
    )


def _normalise(maps: Any) -> Any:
    """Statistics that follow within tens of steps, since a short run has only hundreds."""
    return load_keras().layers.BatchNormalization(momentum=0.9)(maps)


def _residual_pair(maps: Any, width: int, *, name: str) -> Any:
    layers = load_keras().layers
    change = _convolution(width, name=f"{name}a")(maps)
    change = layers.ReLU()(_normalise(change))
    change = _normalise(_convolution(width, name=f"{name}b")(change))
    return layers.ReLU()(layers.Add()([maps, change]))
