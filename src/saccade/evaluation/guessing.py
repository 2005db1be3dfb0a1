"""Whether a classifier is shown to be better than always saying the most frequent class.

    against_guessing(test).verdict      # "better", "worse" or "not shown"

Both answer the same pictures, so only those count that one of the two has right and the other has
wrong: were they as good, each such picture would go to either as a coin falls. That is McNemar's
test (Psychometrika 12, 1947), exact, at 5 %: Clopper and Pearson's interval of the share that the
classifier wins has to leave one half out. That two intervals overlap would say nothing.

Over folds the interval of the accuracy also holds what differs between trainings, and of several
labels a picture the answers are not at hand: there it has to leave the other's share out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from saccade.evaluation.evaluation import Evaluation
from saccade.evaluation.intervals import proportion
from saccade.evaluation.labels import LabelEvaluation

Verdict = Literal["better", "worse", "not shown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guessing:
    """What the comparison says; `won` and `lost` are None where it is not by pictures."""

    verdict: Verdict
    won: int | None = None  # pictures that the classifier alone has right
    lost: int | None = None  # pictures that always saying the most frequent class alone has right


def against_guessing(test: Evaluation | LabelEvaluation, *, folded: bool = False) -> Guessing:
    """Return how a classifier compares with the class that `test` names as its baseline.

    `folded` is whether several trainings judged, each a fold.
    """
    if folded or isinstance(test, LabelEvaluation):
        share = test.baseline_accuracy.value
        return Guessing(verdict=_verdict(test.accuracy.low, test.accuracy.high, share))
    confusion = np.array(test.confusion, np.int64)
    guess = test.classes.index(test.baseline_class)
    won = int(np.delete(np.diagonal(confusion), guess).sum())
    lost = int(np.delete(confusion[guess], guess).sum())
    if not won + lost:
        return Guessing(verdict="not shown", won=won, lost=lost)
    share_won = proportion(won, won + lost)
    return Guessing(verdict=_verdict(share_won.low, share_won.high, 0.5), won=won, lost=lost)


def _verdict(low: float, high: float, share: float) -> Verdict:
    if low > share:
        return "better"
    return "worse" if high < share else "not shown"
