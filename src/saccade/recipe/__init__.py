"""The journeys: from pictures to a classifier, and from a classifier to its score."""

from saccade.recipe.evaluate import Scored, evaluate
from saccade.recipe.train import train

__all__ = ["Scored", "evaluate", "train"]
