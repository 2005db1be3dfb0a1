"""Labels that are likely wrong, and classes that no one can tell apart, by what folds say.

Which labels are wrong, and which first, is cleanlab's answer: confident learning (Northcutt, Jiang
and Chuang, "Confident learning: estimating uncertainty in dataset labels", 2021) counts the labels
that a confident classifier contradicts, and so many labels are named, those of the least
probability; a picture's score is 1 less that. (Of 10,000 training pictures of Fashion-MNIST with
500 flipped labels, 910 are named and 479 of the flipped are among them; cleanlab's own choice,
pruning by noise rates, names 1,203 and has 448.) Beyond as many as may be wrong, by sure answers,
most are only hard, and a note has them, since mistakes are among them as well. (Of 10,000
of CIFAR-10 with 500 flipped, in one training, 822 look wrong, 390 of them flipped, and 694 follow
with 49. Ranked by the margin below the best class, not by the label's probability, the 822 would
hold 327.)

A classifier that knows too little of the classes contradicts right labels by its own mistakes; one
that reaches less than half of what there is to gain over guessing is not asked. (With 5 % flipped,
of what a network named that gained 0.38 on 1,000 cats and dogs 13 % were flipped, of what features
named that gained 0.77 on 2,000 of them 89 %; with a fifth flipped these gain 0.51, and of what they
name 91 % are. Of networks that gained a quarter on 120 and 400 pictures, all labels right, 29 and
27 % of the labels were named. Both kinds are training pictures.)

Two classes count as one where the classifier ranks a picture of the one above a picture of the
other hardly more often than a coin (the area under the ROC curve, with the interval of Hanley and
McNeil, Radiology 143, 1982).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from saccade.check import folds
from saccade.check.folds import Guesses, LabelSettings
from saccade.check.thumbnails import Looks
from saccade.data import Index, Kin, Source
from saccade.evaluation import proportion
from saccade.evaluation.beta import Z_975
from saccade.finding import Finding, Row
from saccade.progress import Progress
from saccade.types import Interval

LIKELY_WRONG: Final = "labels-likely-wrong"
PERHAPS_WRONG: Final = "labels-perhaps-wrong"
NOT_JUDGED: Final = "labels-not-judged"
NOT_TOLD: Final = "labels-not-told"
_KNOWS: Final = 0.5  # of the way from guessing to certainty; see above
# Of 5 % and 20 % flipped, in Fashion-MNIST, digits, cats and dogs, and CIFAR-10, the sure answers
# said 4 to 7.5 %, and 18 to 25 %; of none flipped 0 to 5 %, the most where accuracy was least.
_SURE: Final = 0.9
_FEW_SURE: Final = 50
_TOLD_APART: Final = 0.6  # of pairs of pictures; 0.5 is a coin
_NEIGHBOURS: Final = 3  # classes that each class is held against: those it is most taken for

_Floats = npt.NDArray[np.float64]
_Labels = npt.NDArray[np.intp]
_Probabilities = npt.NDArray[np.float32]


def judged(
    source: Source,
    index: Index,
    looks: Looks,
    settings: LabelSettings,
    *,
    kin: Kin,
    progress: Progress,
) -> tuple[Finding, ...]:
    """Return what folds say of the labels, or a note on why they do not say it.

    That is for want of pictures, or of a classifier that knows the classes. Pictures that belong
    together by `kin` are judged together; a note names classes that are left out.
    """
    codes = folds.large_classes(index, looks, kin)
    if len(codes) < 2:
        return (_not_judged(len(codes)),)
    small = np.setdiff1d(folds.present(index, looks), codes)
    left_out = (_left_out([index.classes[code] for code in small]),) if len(small) else ()
    guesses = folds.guess(source, index, looks, settings, kin=kin, progress=progress)
    told = likely_wrong(index, guesses) if knows(guesses) else (_not_known(guesses, settings),)
    return (*told, *inseparable(guesses), *left_out)


def _not_judged(found: int) -> Finding:
    return Finding(
        name=NOT_JUDGED,
        severity="note",
        where="all parts but the test part",
        message=f"Labels were not looked at: {folds.TOO_FEW}, and there "
        f"{'is one such class' if found else 'is none'}.",
        cure=f"Add pictures until two classes have {folds.LEAST}, or name smaller groups, then ask "
        "for the labels again.",
    )


def knows(guesses: Guesses) -> bool:
    """Whether the guesses are good enough to doubt a label by."""
    return gained(guesses) >= _KNOWS


def gained(guesses: Guesses) -> float:
    """Return how far the guesses get from always one answer, 0, to all labels, 1; may be below 0.

    This is balanced accuracy, adjusted for chance, against the labels as they stand.
    """
    chance = 1 / len(guesses.classes)
    return (_balanced(guesses) - chance) / (1 - chance)


def _balanced(guesses: Guesses) -> float:
    """Return the mean share of each class that is named as it is labelled."""
    right = guesses.probabilities.argmax(axis=1) == guesses.label
    return float((np.bincount(guesses.label, weights=right) / np.bincount(guesses.label)).mean())


def _not_known(guesses: Guesses, settings: LabelSettings) -> Finding:
    if settings.weights is None:
        judge, cure = "the network", "Give a larger --budget, or --weights FILE, which is best for"
        cure += " few photographs; or add pictures. Then ask again."
    else:
        judge, cure = "the regression on these features", "Add pictures, or give other --weights."
    return Finding(
        name=NOT_TOLD,
        severity="note",
        where="all parts but the test part",
        message=f"Whether labels are wrong cannot be told: {judge} names "
        f"{100 * _balanced(guesses):.0f} % of pictures that it was not trained on as they are "
        f"labelled, where guessing gets {100 / len(guesses.classes):.0f} % (each class counts the "
        "same). Labels that it contradicts are more likely its own mistakes.",
        cure=cure,
    )


def _left_out(names: Sequence[str]) -> Finding:
    return Finding(
        name="classes-not-judged",
        severity="note",
        where=", ".join(names),
        message="Labels of these classes were not looked at, nor the others' pictures held against "
        f"them: outside the test part each has fewer than {folds.LEAST} different pictures, or "
        f"fewer than {folds.NUM_FOLDS} groups that hold no copies of each other.",
        cure="Add pictures of them, or name smaller groups, then ask for the labels again.",
    )


def likely_wrong(index: Index, guesses: Guesses) -> tuple[Finding, ...]:
    """Return findings on the labels that the classifier contradicts, the surest first.

    One, a warning, on as many as may be wrong, and a note on those beyond.
    """
    rows = _contradicted_rows(index, guesses)
    if not rows:
        return ()
    wrong = wrong_at_most(guesses)
    most = len(rows) if wrong is None else math.ceil(wrong.high * len(guesses.label))
    likely, beyond = rows[:most], rows[most:]
    count = f"{len(likely):,} {'label looks' if len(likely) == 1 else 'labels look'}"
    finding = Finding(
        name=LIKELY_WRONG,
        severity="warning",
        where="all parts but the test part",
        message=f"{count} wrong to a classifier that was trained on the other pictures: wrong "
        f"labels teach mistakes, and count right answers as wrong.{_in_all(guesses, wrong)}",
        cure="Look at them from the first on, and correct the label where it is wrong; some are "
        "only hard. exclude.csv leaves them in.",
        rows=likely,
    )
    return (finding, *_perhaps_wrong(beyond))


def _contradicted_rows(index: Index, guesses: Guesses) -> tuple[Row, ...]:
    score, best = suspicion(guesses), guesses.probabilities.argmax(axis=1)
    return tuple(
        Row(
            path=index.path[guesses.rows[place]],
            score=float(score[place]),
            detail=f"labelled {guesses.classes[guesses.label[place]]}, looks like "
            f"{guesses.classes[best[place]]}, {100 * guesses.probabilities[place].max():.0f} %",
        )
        for place in contradicted(guesses.label, guesses.probabilities)
    )


def wrong_at_most(guesses: Guesses) -> Interval | None:
    """Return the share of sure answers that contradict the label; None where they are few.

    Sure answers are nearly always right, so that hardly a greater share of all labels is wrong.
    """
    sure = _sure(guesses)
    if sure.sum() < _FEW_SURE:
        return None
    wrong = guesses.probabilities.argmax(axis=1) != guesses.label
    return proportion(int(wrong[sure].sum()), int(sure.sum()))


def _sure(guesses: Guesses) -> npt.NDArray[np.bool_]:
    mask: npt.NDArray[np.bool_] = guesses.probabilities.max(axis=1) >= _SURE
    return mask


def _in_all(guesses: Guesses, wrong: Interval | None) -> str:
    """Say how many of all labels may be wrong."""
    if wrong is None:
        return ""
    number = len(guesses.label)
    return (
        f" Of its {_sure(guesses).sum():,} surest answers {100 * wrong.value:.1f} % contradict the "
        f"label: about {wrong.value * number:,.0f} of all {number:,} labels may be wrong, hardly "
        f"more than {math.ceil(wrong.high * number):,}."
    )


def _perhaps_wrong(rows: tuple[Row, ...]) -> tuple[Finding, ...]:
    """Return a note on the contradicted labels beyond as many as may be wrong, if there are any."""
    if not rows:
        return ()
    are = "more label is" if len(rows) == 1 else "more labels are"
    finding = Finding(
        name=PERHAPS_WRONG,
        severity="note",
        where="all parts but the test part",
        message=f"{len(rows):,} {are} contradicted, though less surely, and hardly so many can be "
        "wrong: most of these are right, and the pictures only hard.",
        cure=f"Look at them after those of {LIKELY_WRONG}, from the first on, while wrong ones "
        "turn up. exclude.csv leaves them in.",
        rows=rows,
    )
    return (finding,)


def contradicted(label: _Labels, probabilities: _Probabilities) -> _Labels:
    """Return the places of labels (n,) that probabilities (n, C) contradict, the surest first."""
    from cleanlab.filter import find_label_issues

    places: _Labels = find_label_issues(
        label,
        probabilities,
        filter_by="low_self_confidence",
        return_indices_ranked_by="self_confidence",
        n_jobs=1,
    )
    return places


def suspicion(guesses: Guesses) -> _Floats:
    """Return how unlikely each picture's label is, (n,) in [0, 1]; 1 is surely wrong."""
    from cleanlab.rank import get_label_quality_scores

    quality: _Floats = get_label_quality_scores(
        guesses.label, guesses.probabilities, method="self_confidence"
    )
    return np.clip(1 - quality.astype(np.float64), 0, 1)


def inseparable(guesses: Guesses) -> tuple[Finding, ...]:
    """Return a finding for each pair of classes told apart in fewer than 60 % of pairs, surely."""
    found = []
    for one, other in _pairs(guesses):
        apart = told_apart(guesses, one, other)
        if apart.high < _TOLD_APART:
            found.append(_inseparable(guesses.classes[one], guesses.classes[other], apart))
    return tuple(found)


def told_apart(guesses: Guesses, one: int, other: int) -> Interval:
    """Return how often a picture of class `one` is ranked above one of `other`, with its interval.

    Ranked by the probability of `one` beside that of `other`, so that neither a third class nor
    uneven numbers play a part; 0.5 is chance, and the least.
    """
    from sklearn.metrics import roc_auc_score

    mask = (guesses.label == one) | (guesses.label == other)
    is_one = guesses.label[mask] == one
    both = guesses.probabilities[mask][:, [one, other]].astype(np.float64)
    area = float(roc_auc_score(is_one, both[:, 0] / np.maximum(both.sum(axis=1), 1e-12)))
    first, second = int(is_one.sum()), int((~is_one).sum())
    # Hanley and McNeil's equation 2: of an area, by the numbers of both. Below chance lies only
    # chance: folds of few pictures, each off in its own way, push the area below one half.
    area = max(area, 0.5)
    q1, q2, square = area / (2 - area), 2 * area**2 / (1 + area), area**2
    spread = area * (1 - area) + (first - 1) * (q1 - square) + (second - 1) * (q2 - square)
    half = Z_975 * math.sqrt(max(spread, 0.0) / (first * second))
    return Interval(value=area, low=max(0.0, area - half), high=min(1.0, area + half))


def _pairs(guesses: Guesses) -> Iterator[tuple[int, int]]:
    """Yield each class with the few that its pictures are most taken for, each pair once."""
    num_classes = len(guesses.classes)
    taken = np.zeros((num_classes, num_classes))
    np.add.at(taken, guesses.label, guesses.probabilities)
    taken /= np.bincount(guesses.label, minlength=num_classes)[:, None]
    np.fill_diagonal(taken, -1)
    nearest = np.argsort(-taken, axis=1, kind="stable")[:, : min(_NEIGHBOURS, num_classes - 1)]
    pairs = {(min(a, b), max(a, b)) for a, row in enumerate(nearest.tolist()) for b in row}
    yield from sorted(pairs)


def _inseparable(one: str, other: str, apart: Interval) -> Finding:
    return Finding(
        name="inseparable-classes",
        severity="warning",
        where=f"{one}, {other}",
        message=f"Of two pictures, one {one!r} and one {other!r}, a classifier tells which is "
        f"which in {100 * apart.value:.0f} % (95 % interval {100 * apart.low:.0f} to "
        f"{100 * apart.high:.0f} %); a coin does in 50 %. No accuracy can be had between the two.",
        cure="Look at pictures of both: join the classes if they show the same; else give --labels "
        "a larger --budget, or training pictures that show the difference.",
    )
