import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from saccade.evaluation.confusion import class_figures, confusion_matrix, macro_f1


def names(count):
    return tuple(f"class {k}" for k in range(count))


def slow_macro_f1(matrix):
    figures = []
    for k in range(len(matrix)):
        hits, support, predicted = matrix[k][k], sum(matrix[k]), sum(row[k] for row in matrix)
        if support + predicted:
            figures.append(2 * hits / (support + predicted))
    return sum(figures) / len(figures)


def test_confusion_matrix_is_sklearns():
    random = np.random.default_rng(0)
    labels, predicted = random.integers(5, size=(2, 300))
    ours = confusion_matrix(labels, predicted, 6)
    theirs = metrics.confusion_matrix(labels, predicted, labels=range(6))
    np.testing.assert_array_equal(ours, theirs)


def test_class_figures_by_hand():
    # Truth a: 3 right, 1 taken for b. Truth b: 2 right. c appears nowhere; d is only predicted.
    matrix = np.array([[3, 1, 0, 0], [0, 2, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]])
    a, b, c, d = class_figures(matrix, tuple("abcd"))
    assert (a.name, a.num_images, a.num_predicted) == ("a", 4, 3)
    assert (a.precision.value, a.recall.value, a.f1.value) == (1.0, 0.75, pytest.approx(6 / 7))
    assert (b.precision.value, b.recall.value, b.f1.value) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert (c.precision, c.recall, c.f1) == (None, None, None)
    assert (d.precision.value, d.recall, d.f1.value) == (0.0, None, 0.0)
    exact = stats.binomtest(3, 4).proportion_ci(0.95, "exact")
    assert (a.recall.low, a.recall.high) == pytest.approx((exact.low, exact.high), abs=1e-7)
    # F1's bounds by way of hits among the 4 pictures that are a or taken for a.
    assert a.f1.low == pytest.approx(2 * exact.low / (1 + exact.low), abs=1e-7)


def test_class_figures_are_sklearns():
    random = np.random.default_rng(1)
    labels, predicted = random.integers(4, size=(2, 200))
    figures = class_figures(confusion_matrix(labels, predicted, 4), names(4))
    theirs = metrics.precision_recall_fscore_support(labels, predicted)
    for name, values in zip(("precision", "recall", "f1"), theirs, strict=False):
        assert [getattr(one, name).value for one in figures] == pytest.approx(list(values))


def test_class_f1_coverage():
    # True F1 of each block's first class: 2 * 0.4 / (0.5 + 0.45). 500 repetitions are the blocks of
    # one matrix. Clopper-Pearson holds it in 0.95 or more; 0.92 allows for three standard errors.
    chances, truth = [0.4, 0.1, 0.05, 0.45], 0.8 / 0.95
    for n in (9, 30, 300):
        draws = np.random.default_rng(n).multinomial(n, chances, size=500).reshape(-1, 2, 2)
        matrix = np.zeros((500, 2, 500, 2), np.int64)
        matrix[np.arange(500), :, np.arange(500), :] = draws
        f1 = [one.f1 for one in class_figures(matrix.reshape(1000, 1000), names(1000))[::2]]
        assert np.mean([one is None or one.low <= truth <= one.high for one in f1]) > 0.92


def test_macro_f1_is_slow_and_sklearns_over_random_matrices():
    random = np.random.default_rng(2)
    for size in (2, 3, 10):
        for count in (1, 5, 40):
            labels, predicted = random.integers(size, size=(2, count))
            interval = macro_f1(confusion_matrix(labels, predicted, size + 1))
            theirs = metrics.f1_score(labels, predicted, average="macro", zero_division=0)
            matrix = confusion_matrix(labels, predicted, size).tolist()
            assert interval.value == pytest.approx(theirs) == pytest.approx(slow_macro_f1(matrix))
            assert 0 <= interval.low <= interval.value <= interval.high <= 1


def test_macro_f1_does_not_depend_on_the_order_of_classes():
    matrix = np.random.default_rng(3).integers(0, 9, (5, 5))
    order = [3, 1, 4, 0, 2]
    shuffled = macro_f1(matrix[np.ix_(order, order)])
    assert shuffled.low == pytest.approx(macro_f1(matrix).low)


def test_macro_f1_of_flawless_few_stays_doubtful():
    interval = macro_f1(np.eye(3, dtype=np.int64) * 3)
    assert interval.value == interval.high == 1
    assert interval.low < 0.75


def test_macro_f1_of_one_class_present():
    interval = macro_f1(np.array([[9, 0], [0, 0]]))
    assert (interval.value, interval.high) == (1, 1)


@pytest.mark.parametrize(
    ("sizes", "accuracy"),
    [
        ([3, 3, 3], 0.6),
        ([3, 3, 3], 0.99),
        ([15, 15], 0.99),
        ([25, 5], 0.9),
        ([10] * 10, 0.9),
        ([3] * 100, 0.8),
        ([100, 60, 20], 0.8),
    ],
)
def test_macro_f1_coverage(sizes, accuracy):
    # Pictures drawn class by class; mistakes fall unevenly. Documented: 0.90 or more; 0.87 leaves
    # two standard errors of 300 repetitions.
    random = np.random.default_rng(4)
    chances = random.gamma(0.3, size=(len(sizes), len(sizes)))
    np.fill_diagonal(chances, 0)
    chances *= (1 - accuracy) / chances.sum(axis=1, keepdims=True)
    np.fill_diagonal(chances, accuracy)
    truth = slow_macro_f1((chances * np.array(sizes)[:, None]).tolist())
    held = 0
    for _ in range(300):
        drawn = [random.multinomial(n, p) for n, p in zip(sizes, chances, strict=True)]
        interval = macro_f1(np.stack(drawn).astype(np.int64))
        held += interval.low <= truth <= interval.high
    assert held / 300 > 0.87


def test_macro_f1_of_a_thousand_classes_three_pictures_each():
    matrix = np.eye(1000, dtype=np.int64) * 2
    matrix[np.arange(1000), np.arange(1000) - 1] += 1
    interval = macro_f1(matrix)
    assert interval.value == pytest.approx(2 / 3)
    assert interval.high - interval.low < 0.06
