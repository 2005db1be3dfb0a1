"""Backbones by name: the networks of `keras.applications`, and the files of weights of each.

A MobileNet's name holds its width where that is not 1: ``"MobileNet-0.25"``. Nothing here needs
Keras, so that a wrong name is refused before anything is read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

IMAGENET: Final = "imagenet"  # Keras's own weights, downloaded once

# The likely better for its time first, by the table of https://keras.io/api/applications.
FAMILIES: Final = tuple(
    """EfficientNetV2B0 EfficientNetV2B1 EfficientNetV2B2 EfficientNetV2B3 EfficientNetV2S
    ConvNeXtTiny InceptionV3 Xception ResNet50V2 DenseNet121 MobileNetV2 MobileNetV3Large
    MobileNet MobileNetV3Small ResNet50 DenseNet169 DenseNet201 InceptionResNetV2 ResNet101V2
    ResNet152V2 ResNet101 ResNet152 ConvNeXtSmall EfficientNetV2M ConvNeXtBase EfficientNetV2L
    ConvNeXtLarge ConvNeXtXLarge VGG16 VGG19 EfficientNetB0 EfficientNetB1 EfficientNetB2
    EfficientNetB3 EfficientNetB4 EfficientNetB5 EfficientNetB6 EfficientNetB7 NASNetMobile
    NASNetLarge""".split()
)
_WIDTHS: Final = {"1_0": "1.0", "7_5": "0.75", "5_0": "0.5", "2_5": "0.25"}
_WIDTH: Final = re.compile(r"_(\d\.\d+|1_0|7_5|5_0|2_5)_")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneDesign:
    """Which network pictures go through before the head, and what becomes of its weights."""

    name: str
    weights: str  # "imagenet", or the path of a file
    cut: str | None  # the layer whose output is the features; None for the last
    fine_tune: bool  # train its weights too, after the head
    digest: str = ""  # of its structure and weights, 64 hexadecimal digits; empty until it is built

    def to_json(self) -> dict[str, Any]:
        """Return the design as a JSON document."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> BackboneDesign:
        """Read what `to_json` wrote."""
        return cls(**document)

    def summary(self) -> str:
        """Return the design in a few words."""
        cut = f", cut at {self.cut}" if self.cut else ""
        weights = "ImageNet's weights" if self.weights == IMAGENET else Path(self.weights).name
        return f"{self.name}{cut}, {weights}, {'fine-tuned' if self.fine_tune else 'frozen'}"


def is_backbone(name: str) -> bool:
    """Return whether a model's name is that of a backbone, with or without a width."""
    return name.partition("-")[0] in FAMILIES


def backbone_of_file(path: Path) -> str | None:
    """Return the backbone whose weights a file holds, by Keras's names for such files, or None.

    >>> backbone_of_file(Path("mobilenet_2_5_224_tf_no_top.h5"))
    'MobileNet-0.25'
    """
    plain = _plain(path.name).removeprefix("weights")
    fitting = [name for name in FAMILIES if plain.startswith(name.lower())]
    if not fitting:
        return None
    name = max(fitting, key=len)
    found = _WIDTH.search(path.name)
    if not name.startswith("MobileNet") or found is None:
        return name
    width = _WIDTHS.get(found[1], found[1])
    return name if float(width) == 1 else f"{name}-{width}"


def weights_at_hand() -> list[tuple[str, Path]]:
    """Return the backbones whose weights Keras has downloaded before, the likely best first."""
    folder = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"
    found = []
    for path in sorted(folder.glob("*.h5")):
        name = backbone_of_file(path)
        # Of an EfficientNet of the first version only Keras itself can load the file.
        if name and "notop" in _plain(path.name) and not name.startswith("EfficientNetB"):
            found.append((name, path))
    return sorted(found, key=lambda entry: FAMILIES.index(entry[0].partition("-")[0]))


def _plain(name: str) -> str:
    return re.sub(r"[-_]", "", name.lower())
