import numpy as np
import pytest

from saccade.evaluation import confident_mistakes, least_sure

PROBABILITIES = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.4, 0.6], [0.8, 0.2]])
LABELS = np.array([0, 1, 0, 0, 1])


def test_confident_mistakes_by_hand():
    # Rows 1, 2 and 4 are equally sure and keep their order.
    assert confident_mistakes(PROBABILITIES, LABELS, limit=9).tolist() == [1, 2, 4, 3]
    assert confident_mistakes(PROBABILITIES, LABELS, limit=2).tolist() == [1, 2]


def test_confident_mistakes_where_there_are_none():
    assert confident_mistakes(PROBABILITIES[:1], LABELS[:1], limit=5).tolist() == []


def test_least_sure_by_hand():
    assert least_sure(PROBABILITIES, limit=9).tolist() == [3, 1, 2, 4, 0]
    assert least_sure(PROBABILITIES, limit=0).tolist() == []


def test_orders_are_those_of_a_slow_sort():
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(3), 200).round(1) + 0.0
    probabilities[:, 2] = 1 - probabilities[:, 0] - probabilities[:, 1]
    probabilities = probabilities.clip(0, 1)
    labels = random.integers(3, size=200)
    rows = [r for r in range(200) if probabilities[r].argmax() != labels[r]]
    slow = sorted(rows, key=lambda row: (-probabilities[row].max(), row))
    assert confident_mistakes(probabilities, labels, limit=200).tolist() == slow
    slow = sorted(range(200), key=lambda row: (probabilities[row].max(), row))
    assert least_sure(probabilities, limit=200).tolist() == slow


def test_limits_below_zero_are_refused():
    with pytest.raises(ValueError, match="limit of 0 or more"):
        least_sure(PROBABILITIES, limit=-1)
    with pytest.raises(ValueError, match="limit of 0 or more"):
        confident_mistakes(PROBABILITIES, LABELS, limit=-1)
