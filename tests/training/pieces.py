"""Pieces of networks that the graph joins to fewer passes, for `test_twins.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from saccade.models.backend import load_keras
from saccade.training.twins import (
    BatchNormalization,
    Convolution,
    MaxPooling,
    Merging,
    Pointwise,
    PooledConvolution,
    Rescaling,
    ResidualNormalization,
)
from saccade.training.twins.convolutions import Dense, DepthwiseConvolution
from saccade.training.twins.merging import Arithmetic
from saccade.training.twins.pooling import GlobalPooling
from saccade.training.twins.shapes import Reshape

keras = load_keras()
L = keras.layers


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A piece of a network, and the twins that the graph makes of it."""

    make: Callable[[Any], Any]  # from Keras's symbolic input to its output
    becomes: tuple[type, ...]  # in the order in which they run
    shape: tuple[int, ...] = (9, 7, 16)
    is_first: bool = False  # it sees pixels, of which nobody asks the gradient
    is_one_node: bool = False  # with narrow products, while training: our kernels do all of it


def conv(channels: int = 16, size: int = 3, **options: Any) -> Any:
    return L.Conv2D(channels, size, **({"padding": "same"} | options))


def bare(channels: int) -> Any:
    """A convolution before a normalisation, which takes any bias away: its gradient is 0."""
    return conv(channels, use_bias=False)


def branch(maps: Any) -> Any:
    return L.BatchNormalization()(bare(maps.shape[-1])(maps))


def head(maps: Any) -> Any:
    maps = L.MaxPooling2D()(conv(32, activation="relu")(maps))
    return L.Dense(5)(L.Flatten()(L.Dense(24, activation="relu")(maps)))


POOLED, RESIDUAL = (PooledConvolution,), (Convolution, ResidualNormalization)
PIECES: dict[str, Piece] = {
    "conv-pool": Piece(
        make=lambda x: L.MaxPooling2D()(conv(32, activation="relu")(x)),
        becomes=POOLED,
        is_one_node=True,
    ),
    "conv-pool-linear": Piece(
        make=lambda x: L.MaxPooling2D()(conv(padding="valid", use_bias=False)(x)),
        becomes=POOLED,
        shape=(11, 10, 32),  # maps of 9 × 8
        is_one_node=True,
    ),
    "conv-pool-tanh": Piece(
        make=lambda x: L.MaxPooling2D()(conv(activation="tanh")(x)), becomes=POOLED
    ),
    "conv-pool-overlap": Piece(
        make=lambda x: L.MaxPooling2D(3, strides=2, padding="same")(conv(activation="relu")(x)),
        becomes=POOLED,
    ),
    "conv-pool-even": Piece(
        make=lambda x: L.MaxPooling2D()(conv(16, (4, 2), activation="relu")(x)),
        becomes=POOLED,
        shape=(11, 9, 16),
        is_one_node=True,
    ),
    "conv-pool-strides": Piece(
        make=lambda x: L.MaxPooling2D()(conv(strides=2, activation="relu")(x)),
        becomes=POOLED,
        shape=(19, 15, 16),
    ),
    "conv-pool-pixels": Piece(
        make=lambda x: L.MaxPooling2D()(conv(activation="relu")(x)),
        becomes=POOLED,
        shape=(13, 11, 3),
        is_first=True,
        is_one_node=True,
    ),
    "rescaling-conv-pool": Piece(
        make=lambda x: L.MaxPooling2D()(conv(activation="relu")(L.Rescaling(0.3, offset=-0.1)(x))),
        becomes=(Rescaling, PooledConvolution),
        shape=(13, 11, 1),
        is_first=True,
        is_one_node=True,
    ),
    "conv-relu": Piece(make=lambda x: L.ReLU()(conv()(x)), becomes=(Convolution,)),
    "conv-relu-pool": Piece(
        make=lambda x: L.MaxPooling2D()(L.ReLU()(conv()(x))),
        becomes=POOLED,
        is_one_node=True,
    ),
    "conv-batch-relu": Piece(
        make=lambda x: L.ReLU()(L.BatchNormalization()(bare(48)(x))),
        becomes=(Convolution, BatchNormalization),
        shape=(9, 7, 32),
        is_one_node=True,
    ),
    "conv-batch-relu-pool": Piece(
        make=lambda x: L.MaxPooling2D()(L.ReLU()(L.BatchNormalization()(bare(48)(x)))),
        becomes=(Convolution, BatchNormalization, MaxPooling),
        shape=(9, 7, 32),
        is_one_node=True,
    ),
    "depthwise-batch-relu": Piece(
        make=lambda x: L.ReLU()(L.BatchNormalization()(L.DepthwiseConv2D(5, use_bias=False)(x))),
        becomes=(DepthwiseConvolution, BatchNormalization),
    ),
    "batch-relu": Piece(
        make=lambda x: L.ReLU()(L.BatchNormalization()(x)),
        becomes=(BatchNormalization,),
    ),
    "add-relu": Piece(
        make=lambda x: L.ReLU()(L.Add()([conv()(x), x])), becomes=(Convolution, Merging)
    ),
    "concatenate-relu": Piece(
        make=lambda x: L.ReLU()(L.Concatenate()([conv(3)(x), x])), becomes=(Convolution, Merging)
    ),
    "residual": Piece(make=lambda x: L.Add()([branch(x), x]), becomes=RESIDUAL),
    "residual-relu": Piece(make=lambda x: L.ReLU()(L.Add()([branch(x), x])), becomes=RESIDUAL),
    "residual-gelu": Piece(
        make=lambda x: L.Activation("gelu")(L.Add()([branch(x), x])),
        becomes=(*RESIDUAL, Pointwise),
    ),
    "residual-shortcut-first": Piece(
        make=lambda x: L.ReLU()(L.Add()([x, branch(x)])), becomes=RESIDUAL
    ),
    "residual-stretched": Piece(
        make=lambda x: L.Add()([branch(x), L.GlobalAveragePooling2D(keepdims=True)(x)]),
        becomes=(Convolution, GlobalPooling, ResidualNormalization),
    ),
    "row": Piece(
        make=head,
        becomes=(PooledConvolution, Dense, Reshape, Dense),
        shape=(15, 13, 16),
        is_one_node=True,
    ),
    "arithmetic": Piece(make=lambda x: x * 0.5 + 1.0, becomes=(Arithmetic, Arithmetic)),
}
