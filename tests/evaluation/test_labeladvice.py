"""For which labels to collect pictures: planted cases, figures by scikit-learn and by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from saccade.evaluation import (
    Advice,
    LabelEvaluation,
    evaluate_labels,
    ranked_labels,
    scarce,
    weakness,
)
from saccade.types import Interval

TIME = Advice(action="budget", sentence="More time may help.", command="longer")
DONE = Advice(action="budget", sentence="More time would not be used.", measured=True)


def scored(said: np.ndarray, targets: np.ndarray) -> LabelEvaluation:
    names = tuple("abcdefgh"[: targets.shape[1]])
    return evaluate_labels(
        np.where(said, 0.9, 0.1),
        targets,
        labels=names,
        thresholds=(0.5,) * len(names),
        baseline=np.zeros(len(names), np.bool_),
        baseline_class="",
    )


def planted(*, missed: int, total: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Return what is said, and the truth: of three labels, c is missed so many times.

    On the first ten of these another label is wrong, too.
    """
    targets = np.random.default_rng(0).random((total, 3)) < 0.4
    said = targets.copy()
    places = np.flatnonzero(targets[:, 2])[:missed]
    said[places, 2] = False
    said[places[:10], 0] ^= True
    return said, targets


def test_weakest_label_is_worth_the_pictures_on_which_it_alone_is_wrong():
    said, targets = planted(missed=30)
    found = weakness(scored(said, targets), said, targets)
    assert found.sure
    f1 = metrics.f1_score(targets, said, average=None)
    assert f"“c”: its F1 is {100 * f1[2]:.1f} % (95 % interval " in found.advice.sentence
    assert f"other labels {50 * (f1[0] + f1[1]):.1f} % on average" in found.advice.sentence
    assert "On 20 of 200 it alone is wrong" in found.advice.sentence
    worth = found.advice.worth
    # Clopper and Pearson's, at 2.5 % over the three labels that it is chosen among.
    exact = stats.binomtest(20, 200).proportion_ci(1 - 0.05 / 3, method="exact")
    assert (worth.value, worth.low, worth.high) == pytest.approx(
        (10, 100 * exact.low, 100 * exact.high), abs=1e-6
    )


def test_label_that_may_be_weakest_by_chance_is_not_sure():
    said, targets = planted(missed=12)
    found = weakness(scored(said, targets), said, targets)
    assert not found.sure
    assert "do not show that it is weaker" in found.advice.sentence


def test_equally_good_labels_are_seldom_called_surely_weaker():
    """Meant is 2.5 % at most; 200 draws of 200 pictures, both labels found alike."""
    random, draws, surely = np.random.default_rng(7), 200, 0
    figures = scored(*(random.random((2, 200, 2)) < 0.4))
    for _ in range(draws):
        targets = random.random((200, 2)) < 0.4
        said = targets ^ (random.random(targets.shape) < 0.2)
        f1 = 2 * (said & targets).sum(axis=0) / (said.sum(axis=0) + targets.sum(axis=0))
        per_label = tuple(
            replace(one, f1=Interval(value=float(value), low=0.0, high=1.0))
            for one, value in zip(figures.per_class, f1, strict=True)
        )
        found = weakness(replace(figures, per_class=per_label), said, targets)
        surely += found is not None and found.sure
    assert surely <= stats.binom.ppf(0.999, draws, 0.025)


def test_no_label_is_weakest_where_all_are_right():
    _, targets = planted(missed=0)
    assert weakness(scored(targets, targets), targets, targets) is None


def test_label_with_few_pictures_is_no_weakest_and_is_named():
    said, targets = planted(missed=0)
    targets[:, 1] = False
    targets[:4, 1] = True
    said[:, 1] = False  # its F1 is 0, that of the others nearly 1
    said[:5, 2] ^= True
    assert "“c”" in weakness(scored(said, targets), said, targets).advice.sentence
    validation = np.random.default_rng(1).random((80, 3)) < 0.5
    found = scarce(scored(said, targets), targets, validation)
    assert found.sentence.startswith(
        "Collect pictures that have “b” (4 of 200 test pictures). A label takes 10 pictures"
    )
    assert found.sentence.endswith("fewer test pictures cannot show how well it is found.")
    assert (found.worth, found.measured, found.command) == (None, False, "")
    many = targets[:, [0, 2, 2]]
    assert scarce(scored(said, many), many, validation) is None
    found = scarce(scored(said, many), many, validation & [False, True, True])
    assert "have “a” (0 of 80 validation pictures). A" in found.sentence
    assert "from which probability on to say it" in found.sentence


def test_label_that_all_pictures_have_asks_for_pictures_without_it():
    random = np.random.default_rng(0)
    targets, validation = random.random((200, 3)) < 0.5, random.random((80, 3)) < 0.5
    targets[:, 0] = validation[:, 0] = True
    validation[:, 2] = np.arange(80) < 9
    found = scarce(scored(targets, targets), targets, validation)
    assert found.sentence.startswith(
        "Collect pictures that have “c” (9 of 80 validation pictures) and that lack “a” (0 of 80 "
        "validation pictures, 0 of 200 test pictures). "
    )
    every = scarce(scored(targets, targets), targets, ~np.zeros((80, 3), np.bool_))
    assert every.sentence.startswith("Collect pictures that lack “a” (")


def test_sure_weakness_and_few_pictures_come_first_and_nothing_stops():
    said, targets = planted(missed=30)
    test = scored(said, targets)
    weak = weakness(test, said, targets)
    few = Advice(action="class", sentence="Collect pictures for “d”.")
    assert ranked_labels(weak, few, [TIME], test) == (weak.advice, few, TIME)
    good = scored(targets, targets)
    assert ranked_labels(None, few, [DONE], good) == (few, DONE)
    first, *rest = ranked_labels(None, None, [TIME], good)
    assert (first.action, rest) == ("stop", [TIME])
    assert "0 of 200 test pictures are wrong" in first.sentence


def test_weakness_by_chance_does_not_keep_from_stopping():
    """Twelve misses of 200, two on which it alone is wrong: the accuracy shows 3.5 points."""
    said, targets = planted(missed=12)
    test = scored(said, targets)
    weak = weakness(test, said, targets)
    assert weak.advice.worth.value == pytest.approx(1.0)
    actions = [one.action for one in ranked_labels(weak, None, [DONE], test)]
    assert actions == ["stop", "class", "budget"]
