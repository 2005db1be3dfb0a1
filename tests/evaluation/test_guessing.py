"""Better than guessing, or not: SciPy's exact test of the same pictures agrees."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest

from saccade.evaluation import against_guessing, evaluate


def figures(confusion):
    """Return the figures of pictures with this confusion; the first class is the guess."""
    confusion = np.array(confusion)
    cells = np.indices(confusion.shape).reshape(2, -1)
    labels, said = (np.repeat(places, confusion.ravel()) for places in cells)
    return evaluate(
        np.eye(len(confusion))[said],
        labels,
        classes=tuple("abcdef"[: len(confusion)]),
        baseline_class="a",
        threshold=0.0,
        target_error_rate=0.05,
    )


def test_verdict_is_that_of_the_exact_test_of_either_sign():
    for won, lost in itertools.product(range(0, 30, 2), range(0, 30, 3)):
        found = against_guessing(figures([[20, lost], [5, won]]))
        assert (found.won, found.lost) == (won, lost)
        shown = won + lost > 0 and binomtest(won, won + lost).pvalue <= 0.05
        sign = "better" if won > lost else "worse"
        assert found.verdict == (sign if shown else "not shown"), (won, lost)


def test_pictures_that_both_have_wrong_count_for_neither():
    """By hand: of three classes, b and c right are won, a called otherwise is lost."""
    found = against_guessing(figures([[5, 1, 2], [3, 6, 50], [40, 2, 7]]))
    assert (found.won, found.lost, found.verdict) == (13, 3, "better")


def test_ranges_that_overlap_do_not_keep_from_being_better():
    test = figures([[9, 3], [0, 12]])
    assert test.accuracy.low < test.baseline_accuracy.high
    assert against_guessing(test).verdict == "better"
    assert binomtest(12, 15).pvalue == pytest.approx(2 * (1 + 15 + 105 + 455) / 2**15)


def test_over_folds_the_range_has_to_leave_the_other_share_out():
    test = figures([[9, 3], [1, 11]])
    assert against_guessing(test, folded=True).verdict == "better"
    assert against_guessing(figures([[9, 3], [5, 7]]), folded=True).verdict == "not shown"
