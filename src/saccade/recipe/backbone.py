"""Which network a run trains: the one that was asked for, or, for `auto`, what is at hand.

Photographs, grey ones too, are looked at by a network that has seen a million of them, where its
weights lie on this machine; small pictures, and all others, by one of our own that begins from
nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from saccade.config import TrainSettings
from saccade.errors import SettingsError
from saccade.models import (
    AUTO,
    IMAGENET,
    BackboneDesign,
    backbone_of_file,
    check_name,
    is_backbone,
    weights_at_hand,
)
from saccade.training import Facts

_PHOTOGRAPH_PX: Final = 64  # smaller pictures are drawings, digits, thumbnails


def asked_backbone(settings: TrainSettings) -> BackboneDesign | None:
    """Return the backbone that the settings name, or None where they name none.

    Raises SettingsError for a model that there is not, weights that do not say whose they are, and
    settings of a backbone without one.
    """
    check_name(settings.model)
    name = settings.model
    if settings.weights is not None:
        name = _name_for(Path(settings.weights), name)
    if is_backbone(name):
        if settings.augment not in (AUTO, "none") and not settings.fine_tune:
            raise SettingsError(
                f"--augment changes pictures in training, and {name} is frozen: its features are "
                "computed once; add --fine-tune, or leave --augment out"
            )
        return _design(name, settings, settings.weights or IMAGENET)
    given = {"weights": settings.weights, "cut": settings.cut, "fine-tune": settings.fine_tune}
    for flag, value in given.items():
        if value:
            raise SettingsError(
                f"--{flag} goes with a network of keras.applications, and the model is {name!r}; "
                "name one, such as --model InceptionV3"
            )
    return None


def choose_backbone(settings: TrainSettings, facts: Facts) -> tuple[BackboneDesign | None, str]:
    """Return the backbone, or None for a network without one, and why where the choice was ours."""
    asked = asked_backbone(settings)
    if settings.model != AUTO:
        return asked, ""
    longest = max(facts.width_px, facts.height_px)
    small = f"pictures of {longest} px" if longest < _PHOTOGRAPH_PX else ""
    if asked is not None:
        why = f"a head on {asked.name}, since its weights were given"
        hint = f"; {small} may be told better from scratch: try without --weights" if small else ""
        return asked, why + hint
    if small:
        return None, f"trained from scratch: {small} gain little from weights of photographs"
    for name, path in weights_at_hand():
        why = f"a head on {name}, since Keras has its weights at hand: {path.name}"
        return _design(name, settings, str(path)), why
    return None, (
        "trained from scratch: no pretrained weights are at hand; --weights FILE or, where there "
        "is a network, --model MobileNetV2 would begin from ImageNet's"
    )


def _name_for(path: Path, model: str) -> str:
    if not path.is_file():
        raise SettingsError(f"no weights file {path}; give the path of an .h5 file")
    if model != AUTO:
        return model
    name = backbone_of_file(path)
    if name is None:
        raise SettingsError(
            f"{path.name} does not tell which network's weights it holds; say so with --model, "
            "such as --model InceptionV3"
        )
    return name


def _design(name: str, settings: TrainSettings, weights: str) -> BackboneDesign:
    return BackboneDesign(
        name=name, weights=weights, cut=settings.cut, fine_tune=settings.fine_tune
    )
