from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import beta

from saccade.evaluation import Leak, measure_leak


def test_accuracies_with_and_without_copies_are_hand_solved():
    """Ten pictures, of which four have a copy and are right, and three of the others are."""
    right = np.array([1, 1, 1, 1, 1, 1, 1, 0, 0, 0], bool)
    leaked = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0], bool)
    leak = measure_leak(right, leaked, copies=[("t", "o", 0.98765)])
    assert leak is not None
    assert (leak.num_images, leak.num_test) == (4, 10)
    assert leak.accuracy.value == 7 / 10
    assert leak.accuracy_without is not None
    assert leak.accuracy_without.value == 3 / 6
    assert leak.accuracy_without.low == pytest.approx(beta.ppf(0.025, 3, 4), abs=1e-6)
    assert leak.sentence().startswith("4 of 10 test pictures have a near copy in training or")
    assert "on all 70.0 % (95 % interval 34.8 to 93.3 %), without them 50.0 %" in leak.sentence()
    assert leak.copies == ({"path": "t", "other": "o", "score": 0.9877},)
    assert Leak.from_json(json.loads(json.dumps(leak.to_json()))) == leak


def test_no_copy_is_no_leak():
    assert measure_leak(np.ones(3, bool), np.zeros(3, bool), copies=[]) is None


def test_nothing_left_without_copies_is_said():
    leak = measure_leak(np.ones(1, bool), np.ones(1, bool), copies=[])
    assert leak is not None
    assert leak.accuracy_without is None
    assert leak.sentence().startswith("1 of 1 test picture has a near copy")
    assert leak.sentence().endswith("none is without one")
    assert Leak.from_json(leak.to_json()) == leak
