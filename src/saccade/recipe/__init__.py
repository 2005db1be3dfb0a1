"""The journeys: from pictures to a classifier, and from a classifier to its score."""

from typing import TYPE_CHECKING

from saccade.lazy import lazy_names

if TYPE_CHECKING:
    from saccade.recipe.evaluating import Scored, evaluate
    from saccade.recipe.training import train

_HOME = {
    "Scored": "evaluating",
    "evaluate": "evaluating",
    "train": "training",
}

__all__ = ["Scored", "evaluate", "train"]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
