import numpy as np
import pytest

from saccade.evaluation.scores import score, top_of


def test_score_by_hand():
    scores = score(np.array([[0.5, 0.3, 0.2], [0.1, 0.45, 0.45]]), np.array([0, 2]))
    assert scores.predicted.tolist() == [0, 1]  # the first wins a tie
    assert scores.top.tolist() == [0.5, 0.45]
    assert scores.second.tolist() == [0.3, 0.45]
    assert scores.true.tolist() == [0.5, 0.45]
    assert scores.squares == pytest.approx([0.38, 0.415])
    assert scores.right.tolist() == [True, False]


def test_score_of_more_rows_than_one_block():
    random = np.random.default_rng(0)
    first = random.random(1_100_000, dtype=np.float32)
    probabilities = np.stack([first, 1 - first], axis=1)  # 2.2 million numbers, blocks of 2^21
    labels = random.integers(2, size=len(first))
    scores = score(probabilities, labels)
    np.testing.assert_array_equal(scores.predicted, probabilities.argmax(axis=1))
    np.testing.assert_array_equal(scores.top, probabilities.max(axis=1))
    np.testing.assert_array_equal(scores.second, probabilities.min(axis=1))
    np.testing.assert_array_equal(scores.true, probabilities[np.arange(len(first)), labels])
    np.testing.assert_array_equal(scores.top, top_of(probabilities))
    probabilities[-1] = np.nan
    with pytest.raises(ValueError, match="row 1099999"):
        score(probabilities, labels)


GOOD = np.array([[0.5, 0.5], [0.9, 0.1]])


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (GOOD, [0, -1], "labels from 0 to 1, got -1 in row 1"),
        (GOOD, [0, 2], "labels from 0 to 1, got 2 in row 1"),
        (GOOD, [0], "one label a row"),
        (GOOD, [[0, 1]], "one label a row"),
        (GOOD, [0.0, 1.0], "whole numbers"),
        (GOOD[:0], np.zeros(0, int), "at least one scored picture"),
        (GOOD[:, :1], [0, 0], "at least two classes"),
        (GOOD[0], [0, 0], "at least two classes"),
        (GOOD.astype(int), [0, 0], "floating-point"),
        (GOOD * [[1, 1], [np.nan, 1]], [0, 0], "sum nan.*in row 1"),
        (GOOD * [[1, 1], [np.inf, 1]], [0, 0], "sum inf.*in row 1"),
        (GOOD * 2, [0, 0], "sum 2.0.*in row 0"),
        (np.array([[1.5, -0.5]]), [0], "minimum -0.5 in row 0"),
    ],
)
def test_score_refuses(probabilities, labels, message: str):
    with pytest.raises(ValueError, match=message):
        score(probabilities, np.asarray(labels))


def test_score_takes_half_precision():
    probabilities = np.random.default_rng(0).dirichlet(np.ones(1000), 5).astype(np.float16)
    assert len(score(probabilities, np.arange(5))) == 5
