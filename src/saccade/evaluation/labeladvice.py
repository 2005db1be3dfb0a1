"""What to do next where a picture has several labels: for which labels to collect pictures.

    weak, few = weakness(test, said, targets), scarce(test, targets, validation)
    steps = ranked_labels(weak, few, [budget, ...], test)

Accuracy is the share of pictures with every label right. In its points a label is worth at most
the pictures on which it alone is wrong: were it never wrong, these would be right. A rare label can
be worth next to nothing so, and be missed each time; therefore one that is surely weaker than the
others, or that too few pictures speak of, is named before anything is said of stopping.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from saccade.evaluation.advice import TAIL, Advice, points, ranked
from saccade.evaluation.confusion import f1_of
from saccade.evaluation.intervals import percent, proportion, proportion_bounds, within
from saccade.evaluation.labelmetrics import mean_of_labels
from saccade.evaluation.labels import LabelEvaluation, LabelFigures
from saccade.evaluation.thresholds import LEAST_OF_A_LABEL, Targets, has_too_few
from saccade.types import Interval

_NAMED: Final = 5  # labels in one sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Weakness:
    """The label with the lowest F1, and what it would bring."""

    advice: Advice
    sure: bool  # whether it is shown to be weaker than the others


def weakness(test: LabelEvaluation, said: Targets, targets: Targets) -> Weakness | None:
    """Return the weakest of the labels that enough test pictures have; None where none is weaker.

    `said` and `targets` (N, L) are of the test pictures that `test` has the figures of. The label
    is chosen among K, so its bounds are taken at 2.5 % over K. It is surely weaker where the lower
    bound of the others' mean F1 less its own is above 0.
    """
    few = has_too_few(targets)
    f1 = {
        place: one.f1
        for place, one in enumerate(test.per_class)
        if one.f1 is not None and not few[place]
    }
    if len(f1) < 2:
        return None
    weakest = min(f1, key=lambda place: f1[place].value)
    tail = TAIL / len(f1)
    places = [weakest, *(place for place in f1 if place != weakest)]
    mine, others = _against_the_others(said[:, places], targets[:, places], tail=tail)
    if others is None or mine.value >= others.value:
        return None
    # MOVER (Newcombe, Statistics in Medicine 17, 1998), as if the two hung on other pictures.
    doubt = math.hypot(mine.high - mine.value, others.value - others.low)
    sure = others.value - mine.value > doubt
    wrong = said != targets
    alone = int((wrong[:, weakest] & (wrong.sum(axis=1) == 1)).sum())
    advice = Advice(
        action="class",
        sentence=_sentence(
            test.per_class[weakest], others.value, alone, test.num_images, sure=sure
        ),
        worth=points(proportion(alone, test.num_images, tail=tail)),
        measured=True,
    )
    return Weakness(advice=advice, sure=sure)


def _against_the_others(
    said: Targets, targets: Targets, *, tail: float
) -> tuple[Interval, Interval | None]:
    """Return F1 of the first label of (N, L), and the mean of the others', bounds at `tail`.

    F1 = 2 J / (1 + J), J = hits / (had or said), with Clopper and Pearson's bounds.
    """
    hits, either = (said & targets).sum(axis=0), said | targets
    total = either.sum(axis=0)
    overlap = np.stack([hits / total, *proportion_bounds(hits, total, tail=tail)], axis=1)
    found = [f1_of(within(*ends)) for ends in overlap.tolist()]
    return found[0], mean_of_labels(found[1:], either[:, 1:])


def _sentence(label: LabelFigures, others: float, alone: int, total: int, *, sure: bool) -> str:
    f1 = "" if label.f1 is None else percent(label.f1)
    doubt = "" if sure else " These test pictures do not show that it is weaker than they are."
    return (
        f"Collect pictures with “{label.name}”: its F1 is {f1}, the lowest, and that of the other "
        f"labels {100 * others:.1f} % on average.{doubt} {label.num_images:,} test pictures have "
        f"it. On {alone:,} of {total:,} it alone is wrong: were it always right, these would have "
        "every label right, and that is what there is to gain, at most."
    )


def scarce(test: LabelEvaluation, targets: Targets, validation: Targets) -> Advice | None:
    """Return which labels too few pictures have, or lack, to say how well they are found.

    `targets` (N, L) are of the test pictures, `validation` (M, L) of the validation pictures.
    """
    parts = {"validation": validation, "test": targets}
    wanted = {
        "have": _short(test.classes, parts),
        "lack": _short(test.classes, {name: ~part for name, part in parts.items()}),
    }
    asked = [f"that {verb} {_listed(names)}" for verb, names in wanted.items() if names]
    if not asked:
        return None
    return Advice(
        action="class",
        sentence=f"Collect pictures {' and '.join(asked)}. A label takes {LEAST_OF_A_LABEL} "
        f"pictures of each part that have it, and as many that lack it: fewer {_unknown(parts)}.",
    )


def _short(classes: tuple[str, ...], parts: Mapping[str, Targets]) -> list[str]:
    """Return the labels of which a part, (N, L) by its name, has too few, and how many it has."""
    found = []
    for place, label in enumerate(classes):
        had = {name: int(part[:, place].sum()) for name, part in parts.items()}
        few = [
            f"{count:,} of {len(parts[name]):,} {name} pictures"
            for name, count in had.items()
            if count < LEAST_OF_A_LABEL
        ]
        if few:
            found.append(f"“{label}” ({', '.join(few)})")
    return found


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _unknown(parts: Mapping[str, Targets]) -> str:
    """Return what the parts that are short leave open."""
    left = {
        "test": "cannot show how well it is found",
        "validation": "cannot show from which probability on to say it",
    }
    return ", and ".join(
        f"{name} pictures {why}" for name, why in left.items() if has_too_few(parts[name]).any()
    )


def ranked_labels(
    weak: Weakness | None,
    few: Advice | None,
    found: Iterable[Advice],
    test: LabelEvaluation,
) -> tuple[Advice, ...]:
    """Return the advice, the best first; a label that is surely weak, or too rare, before all."""
    surely = [weak.advice] if weak is not None and weak.sure else []
    perhaps = [weak.advice] if weak is not None and not weak.sure else []
    first = [*surely, *([] if few is None else [few])]
    rest = ranked([*perhaps, *found], test)
    if first:
        rest = tuple(one for one in rest if one.action not in ("stop", "test"))
    return (*first, *rest)
