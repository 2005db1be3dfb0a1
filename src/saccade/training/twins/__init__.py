"""Fast twins of Keras layers: the same mathematics as a few PyTorch calls on the same weights.

A twin holds the layer's own variables, so nothing is copied: training a twin trains the layer. What
it leaves out is Keras's work around every call (scopes, dtype and mask handling), which costs more
than the mathematics in small networks and which `torch.compile` cannot follow.

Where a twin would not be exact (another dtype policy, channels first, an unusual option), `twin_of`
answers None and the layer itself is called.
"""

from saccade.training.twins.activations import IDENTITY, Pointwise
from saccade.training.twins.chain import Chain
from saccade.training.twins.convolutions import Convolution, PooledConvolution
from saccade.training.twins.merging import Merging, arithmetic_of, total
from saccade.training.twins.normalization import (
    BatchNormalization,
    Rescaling,
    ResidualNormalization,
)
from saccade.training.twins.pooling import MaxPooling
from saccade.training.twins.registry import twin_of

__all__ = [
    "IDENTITY",
    "BatchNormalization",
    "Chain",
    "Convolution",
    "MaxPooling",
    "Merging",
    "Pointwise",
    "PooledConvolution",
    "Rescaling",
    "ResidualNormalization",
    "arithmetic_of",
    "total",
    "twin_of",
]
