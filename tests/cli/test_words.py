from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from saccade.cli import words
from saccade.evaluation import evaluate
from saccade.recipe import Scored

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
        seconds={},
        notes=(),
    )
    return words.scored(scored).splitlines()


@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_target_and_error_rate_are_stated(threshold):
    lines = told(4, threshold=threshold)
    assert CHOSEN in lines
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


def test_baseline_has_its_interval():
    assert told(4, threshold=0.5)[0].endswith(
        'always "b" would get 4.0 % (95 % interval 1.1 to 9.9 %)'
    )
