"""Models: the tutorials' networks, our compact family, the user's own; nothing heavy on import."""

from saccade.models.backbones import (
    IMAGENET,
    BackboneDesign,
    backbone_of_file,
    is_backbone,
    weights_at_hand,
)
from saccade.models.backend import check_installed, engine_name, load_keras, set_seed
from saccade.models.catalogue import (
    AUTO,
    MODEL_NAMES,
    build_model,
    check_name,
    names_model,
    read_model,
    wanted_input_shape,
)
from saccade.models.compact import (
    AS_IT_IS,
    CompactDesign,
    View,
    build_compact,
    multiply_adds,
    num_weights,
)
from saccade.models.layers import describe_layers
from saccade.models.networks import NETWORKS, build_network
from saccade.models.outputs import OutputKind, output_kind, to_logits

__all__ = [
    "AS_IT_IS",
    "AUTO",
    "IMAGENET",
    "MODEL_NAMES",
    "NETWORKS",
    "BackboneDesign",
    "CompactDesign",
    "OutputKind",
    "View",
    "backbone_of_file",
    "build_compact",
    "build_model",
    "build_network",
    "check_installed",
    "check_name",
    "describe_layers",
    "engine_name",
    "is_backbone",
    "load_keras",
    "multiply_adds",
    "names_model",
    "num_weights",
    "output_kind",
    "read_model",
    "set_seed",
    "to_logits",
    "weights_at_hand",
    "wanted_input_shape",
]
