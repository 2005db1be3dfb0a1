"""Advice, each by a planted case: which comes first, and what it is worth by hand."""

from __future__ import annotations

import re

import numpy as np
import pytest

from saccade.evaluation import (
    Advice,
    LearningPoint,
    NextSteps,
    Suspect,
    budget_advice,
    class_advice,
    data_advice,
    evaluate,
    fit_learning_curve,
    labels_advice,
    learn_advice,
    proportion,
    ranked,
)
from saccade.types import Interval


def scored(confusion):
    """Return the figures of pictures with this confusion."""
    confusion = np.array(confusion)
    cells = np.indices(confusion.shape).reshape(2, -1)
    true, said = (np.repeat(places, confusion.ravel()) for places in cells)
    probabilities = np.full((len(true), len(confusion)), 0.1 / (len(confusion) - 1))
    probabilities[np.arange(len(true)), said] = 0.9
    names = tuple("abcdefgh"[: len(confusion)])
    return evaluate(
        probabilities,
        true,
        classes=names,
        baseline_class="a",
        threshold=0.0,
        target_error_rate=0.05,
    )


WEAK = scored([[95, 3, 2], [2, 97, 1], [30, 5, 65]])


def advice(
    action: str, value: float | None, command: str = "", *, measured: bool = False
) -> Advice:
    worth = None if value is None else Interval(value=value, low=0.0, high=2 * value)
    return Advice(action=action, sentence=action, worth=worth, command=command, measured=measured)


def test_class_that_costs_most_is_named_with_what_it_is_taken_for():
    """By hand: c is right for 65 %, the others for 192 of 200; a third of the pictures are c."""
    found = class_advice(WEAK, [200, 200, 40])
    assert found.worth.value == pytest.approx(100 * (0.96 - 0.65) / 3)
    assert found.worth.low > 0
    for part in (
        "“c”",
        "65.0 % (95 % interval ",
        "the others 96.0 %",
        "30 of its 35 mistakes",
        "taken for “a”",
        "40 training pictures",
        "147 on average",
    ):
        assert part in found.sentence


def test_interval_of_a_class_widens_with_few_pictures_and_many_classes():
    few = class_advice(scored([[10, 0, 0], [0, 10, 0], [3, 0, 7]]), [9, 9, 9])
    assert few.worth.low == 0  # 3 of 10 may be chance
    two, eight = np.diag([100, 70]), np.diag([100] * 7 + [70])
    two[1, 0] = eight[7, 0] = 30
    gaps = [
        class_advice(scored(one), [9] * len(one)).worth.low * len(one) for one in (two, eight)
    ]  # a class's share of the pictures is one by their number
    assert 0 < gaps[1] < gaps[0]


def test_no_class_where_all_are_found_alike():
    assert class_advice(scored([[90, 10], [10, 90]]), [5, 5]) is None
    assert class_advice(scored([[10, 0], [0, 0]]), [5, 5]) is None


@pytest.mark.parametrize(
    ("confusion", "num_train"),
    [
        ([[40, 0], [40, 0]], [140, 140]),
        ([[0, 40], [0, 40]], [140, 140]),
        ([[0, 41], [0, 39]], [139, 141]),
        ([[12, 0], [12, 0]], [42, 42]),
        ([[0, 3, 19], [0, 5, 16], [0, 0, 1]], [59, 59, 2]),
    ],
)
def test_no_class_is_collected_for_a_classifier_that_learnt_nothing(confusion, num_train):
    test = scored(confusion)
    assert class_advice(test, num_train) is None
    learn = learn_advice(test, longer="longer", own=True)
    assert learn.measured
    assert learn.command == "longer"
    first = ranked([advice("labels", 30.0), advice("data", None, "measure"), learn], test)[0]
    assert first == learn


def test_what_was_learnt_instead_is_said():
    (alone, worse, unclear) = (
        learn_advice(scored(one)).sentence
        for one in ([[0, 40], [0, 40]], [[0, 3, 19], [0, 5, 16], [0, 0, 1]], [[6, 6], [5, 7]])
    )
    assert "it names “b” alone, whatever" in alone
    assert "it is worse than guessing" in worse
    assert "it is not shown to be better than guessing" in unclear
    assert learn_advice(WEAK) is None


def test_class_with_more_pictures_than_the_average_is_not_collected():
    assert class_advice(WEAK, [20, 20, 300]) is None
    assert "“c”" in class_advice(WEAK, [100, 100, 100]).sentence


def test_more_pictures_are_worth_what_the_curve_foretells():
    points = [
        LearningPoint(num_train=n, num_wrong=w, num_scored=1000)
        for n, w in ((100, 400), (200, 320), (400, 256), (800, 205))
    ]
    curve = fit_learning_curve(points)
    found = data_advice(curve, basis="Measured so.", why_not="", command="")
    assert found.measured
    assert found.worth.value == pytest.approx(100 * curve.foretold[0].gain.value)
    assert found.worth.value == pytest.approx(4.1, abs=0.5)  # each doubling leaves four fifths
    assert "with twice as many, 1,600 to train on" in found.sentence
    assert found.sentence.endswith("Measured so.")
    unknown = data_advice(None, basis="", why_not="was not measured", command="do")
    assert (unknown.worth, unknown.measured, unknown.command) == (None, False, "do")


def test_more_pictures_never_promise_more_mistakes_than_now():
    """None of the last 24 is wrong, which the curve through all does not believe."""
    random = np.random.default_rng(4)
    drawn = [[4, 1, 0], *random.integers(0, 24, (20, 3)).tolist()]
    for wrong in drawn:
        points = [
            LearningPoint(num_train=n, num_wrong=w, num_scored=24)
            for n, w in zip((21, 42, 84), wrong, strict=True)
        ]
        found = data_advice(fit_learning_curve(points), basis="", why_not="", command="")
        told = r"about ([0-9.]+) % .* in place of ([0-9.]+) %, .* as many ([0-9.]+) %"
        twice, now, four = map(float, re.search(told, found.sentence).groups())
        assert now >= twice >= four
        assert found.worth.value == pytest.approx(now - twice, abs=0.11)  # two rounded figures


def test_more_time_is_worth_at_most_what_the_last_doubling_gained():
    def point(wrong):
        return LearningPoint(num_train=500, num_wrong=wrong, num_scored=1000)

    found = budget_advice(point(200), point(100), command="longer")
    assert found.worth.value == pytest.approx(10.0)
    # Newcombe's interval with Wilson's bounds, as statsmodels has it, is 6.9 to 13.1; exact bounds
    # are a little wider.
    assert 6.4 < found.worth.low < 6.9
    assert 13.1 < found.worth.high < 13.6
    lost = budget_advice(point(100), point(200), command="longer")
    assert (lost.worth.value, lost.worth.low, lost.worth.high) == (0, 0, 0)


def test_labels_are_worth_the_share_of_sure_answers_against_them():
    found = labels_advice(proportion(20, 200), num_suspects=20, num_sure=200, least=20, command="c")
    assert found.worth.value == pytest.approx(10.0)
    assert "of the 200 surest answers" in found.sentence
    weak = labels_advice(proportion(61, 200), num_suspects=61, num_sure=200, least=20, command="c")
    assert (weak.worth, weak.measured, weak.command) == (None, False, "c")
    assert "61 contradict the label, 30.5 %" in weak.sentence
    clean = labels_advice(proportion(0, 200), num_sure=200, least=20, command="c")
    assert clean.worth.value == 0
    assert "The labels look right" in clean.sentence
    unknown = labels_advice(None, least=20, command="c")
    assert (unknown.worth, unknown.measured) == (None, False)


def test_best_comes_first_then_the_unmeasured_then_what_cannot_be_seen():
    """299 pictures and 43 mistakes: the accuracy's interval is some 8 points wide."""
    given = [
        advice("budget", 0.5),
        None,
        advice("data", None, "measure"),
        advice("labels", 6.0),
        advice("class", 9.0),
    ]
    order = [one.action for one in ranked(given, WEAK)]
    assert order == ["class", "labels", "data", "budget"]


def test_stop_where_nothing_shows():
    first, *rest = ranked([advice("labels", 1.0), advice("data", 0.5)], WEAK)
    assert first.action == "stop"
    assert [one.action for one in rest] == ["labels", "data"]
    unmeasured = ranked([advice("labels", 1.0), advice("data", None, "measure")], WEAK)
    assert [one.action for one in unmeasured] == ["data", "labels"]


def test_what_is_unknown_keeps_from_stopping_whether_a_command_measures_it_or_not():
    """Arrays have no name for a terminal, so their advice has no command."""
    first, *rest = ranked([advice("labels", 1.0), advice("data", None)], WEAK)
    assert [first.action, *(one.action for one in rest)] == ["data", "labels"]
    first, *rest = ranked([advice("labels", 1.0), advice("data", None, measured=True)], WEAK)
    assert [first.action, *(one.action for one in rest)] == ["stop", "labels", "data"]


def test_solved_set_says_stop_whatever_was_not_measured():
    solved = scored([[150, 0], [1, 149]])
    first = ranked([advice("data", None, "measure")], solved)[0]
    assert first.action == "stop"
    assert "1 of 300 test pictures are wrong" in first.sentence


@pytest.mark.parametrize("confusion", [[[9, 3], [0, 12]], [[12, 0], [0, 12]], [[7, 0], [2, 7]]])
def test_few_pictures_do_not_stop_anyone(confusion):
    """Of 24 the interval is over 10 points wide even where all are right (85.8 to 100 %)."""
    test = scored(confusion)
    first = ranked([advice("budget", 0.5), advice("data", 1.0)], test, command="folds")[0]
    assert (first.action, first.command, first.worth) == ("test", "folds", None)
    low, high = (f"{100 * end:.0f}" for end in (test.accuracy.low, test.accuracy.high))
    assert f"of others {low} to {high} % may be right" in first.sentence


def test_few_pictures_come_before_what_they_do_not_show():
    """Six of eight right is not shown to be better than guessing, nor worse."""
    test = scored([[3, 1], [1, 3]])
    learn = learn_advice(test)
    assert not learn.measured
    steps = ranked([advice("data", None, "measure"), learn], test)
    assert [one.action for one in steps] == ["test", "learn", "data"]


def test_steps_go_through_json():
    steps = NextSteps(
        advice=(advice("data", None, "measure"), advice("class", 2.0)),
        curve=None,
        suspects=(Suspect(path="a/1.png", label="a", looks_like="b", probability=0.99),),
    )
    assert NextSteps.from_json(steps.to_json()) == steps
