"""The cross-entropy that a model was compiled with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from saccade.models.backend import load_keras

Family = Literal["sparse", "categorical", "binary"]

_FAMILIES: Final[dict[str, Family]] = {
    "sparse_categorical_crossentropy": "sparse",
    "categorical_crossentropy": "categorical",
    "categorical_focal_crossentropy": "categorical",
    "binary_crossentropy": "binary",
    "binary_focal_crossentropy": "binary",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledLoss:
    """One cross-entropy, and what it believes that it is given."""

    family: Family
    from_logits: bool
    name: str  # as Keras knows the function, such as "binary_crossentropy"
    ignores_a_class: bool = False  # labels that are no class, such as -1, are left out

    def cure(self, *, from_logits: bool | None = None, family: Family | None = None) -> str:
        """Return the line that compiles the model with this loss, changed."""
        name = self.name
        if family is not None and family != self.family:
            name = next(known for known, of in _FAMILIES.items() if of == family)
        logits = self.from_logits if from_logits is None else from_logits
        words = "".join(word.capitalize() for word in name.split("_"))
        loss = f"keras.losses.{words}(from_logits={logits})"
        return f'model.compile(model.optimizer, loss={loss}, metrics=["accuracy"])'


def loss_of(model: Any) -> CompiledLoss | None:
    """Return a compiled model's cross-entropy; None where it has another loss, several or none."""
    given = getattr(model, "loss", None) if model.compiled else None
    if isinstance(given, dict):
        given = list(given.values())
    if isinstance(given, list | tuple) and len(given) == 1:
        given = given[0]
    if not isinstance(given, str) and not callable(given):
        return None
    try:
        loss = load_keras().losses.get(given)
    except ValueError:  # unknown, or "crossentropy", of which Keras asks the labels which it is
        return None
    name = getattr(getattr(loss, "fn", loss), "__name__", "")
    if name not in _FAMILIES:
        return None
    config = loss.get_config() if hasattr(loss, "get_config") else {}
    return CompiledLoss(
        family=_FAMILIES[name],
        from_logits=bool(config.get("from_logits", False)),
        name=name,
        ignores_a_class=config.get("ignore_class") is not None,
    )
