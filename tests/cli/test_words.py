from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from saccade.cli import words
from saccade.evaluation import (
    Advice,
    NextSteps,
    OperatingPoint,
    Operation,
    evaluate,
    measure_unknown,
)
from saccade.recipe import Scored
from saccade.types import Interval

CHOSEN = "Target    chosen on validation so that at most 5 % of answers are wrong"


def told(mistakes: int, *, threshold: float) -> list[str]:
    """Return what is printed of 100 pictures, all named "a" at 90 %, some of them wrongly."""
    figures = evaluate(
        np.tile([0.9, 0.1], (100, 1)),
        (np.arange(100) < mistakes).astype(int),
        classes=("a", "b"),
        baseline_class="b",
        threshold=threshold,
        target_error_rate=0.05,
    )
    scored = Scored(
        model=Path("model.saccade"),
        run=None,
        classes=figures.classes,
        test=figures,
        images_used=100,
        images_left_out=0,
        images_seen=0,
        unknown=measure_unknown(np.arange(100) < 3, target=0.05),
        seconds={},
        notes=(),
    )
    return words.scored(scored).splitlines()


@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_target_and_error_rate_are_stated(threshold):
    lines = told(4, threshold=threshold)
    assert CHOSEN in lines
    rate = "3.0 % (95 % interval 0.6 to 8.5 %)"  # 3 of 100, Clopper and Pearson
    assert f"Unknown   {rate} of the test pictures are called so" in "\n".join(lines)
    (sure,) = (line for line in lines if line.startswith("Sure"))
    assert sure.endswith("of these 4.0 % (95 % interval 1.1 to 9.9 %) are wrong")
    assert ("of every picture" in sure) is (threshold == 0)


@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_missed_target_is_said_only_where_the_interval_excludes_it(threshold):
    assert CHOSEN in told(9, threshold=threshold)  # 9 %, but it may be 4.2 %
    missed = f"{CHOSEN}; missed on the test pictures by 15.0 points (7.7 to 24.2)"
    assert missed in told(20, threshold=threshold)


def test_nothing_answered_is_said_with_its_reason():
    nothing = 'Sure      of nothing: every picture is answered with "unsure"'
    never = told(4, threshold=1.0000001)
    assert nothing in never
    assert "Target    no confidence kept to at most 5 % of answers wrong on validation" in never
    unreached = told(4, threshold=0.95)
    assert nothing in unreached
    assert CHOSEN in unreached


def test_first_thing_to_do_next_is_said_with_its_worth_and_command():
    worth = Interval(value=3.14, low=1.0, high=6.5)
    first = Advice(action="labels", sentence="Look.", worth=worth, measured=True, command="do it")
    assert words.next_lines(NextSteps(advice=(first,))) == [
        "Next      +3.1 points (95 % interval 1.0 to 6.5): Look.",
        "          do it",
    ]
    unknown = Advice(action="data", sentence="Not\nmeasured.")
    assert words.next_lines(NextSteps(advice=(unknown, first))) == ["Next      Not\\nmeasured."]
    assert words.next_lines(None) == []


def test_baseline_has_its_interval():
    assert told(4, threshold=0.5)[0].endswith(
        'always "b" would get 4.0 % (95 % interval 1.1 to 9.9 %)'
    )


def test_balanced_accuracy_and_weakest_class_stand_beside_accuracy():
    """Of 4 "b" none is found, of 96 "a" all: 96 % right, and no better than guessing."""
    (line,) = (line for line in told(4, threshold=0.5) if line.startswith("By class"))
    assert line.startswith("By class  50.0 % (95 % interval ")
    assert line.endswith('the weakest, "b": 0.0 % (95 % interval 0.0 to 66.6 %)')


def test_operating_point_takes_the_place_of_unsure():
    figures = evaluate(
        np.tile([0.6, 0.4], (100, 1)),
        np.zeros(100, int),
        classes=("a", "b"),
        baseline_class="a",
        threshold=0.0,
        target_error_rate=0.05,
    )
    point = OperatingPoint(
        measure="recall", class_name="b", target=0.9, threshold=0.5, promised=0.8
    )
    operation = Operation(point=point, precision=None, recall=figures.accuracy)
    (first,) = words._operation(operation)
    (second,) = words._wish(replace(figures, operation=operation))
    assert words._wish(figures) == []
    assert first == (
        'Point     "b" from 50 % on: recall 100.0 % (95 % interval 96.4 to 100.0 %), precision none'
    )
    assert "too few validation pictures" in second
    assert "90 % that is wanted; with 95 % confidence it is 80.0 % or more" in second
