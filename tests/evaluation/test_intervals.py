import numpy as np
import pytest
from scipy import stats

from saccade.evaluation.intervals import MAX_DRAWN, means, proportion, proportion_bounds


def test_proportion_is_scipys_exact_interval():
    for n in (1, 3, 9, 30, 1000):
        for k in {0, 1, n // 2, n - 1, n}:
            ours, theirs = proportion(k, n), stats.binomtest(k, n).proportion_ci(0.95, "exact")
            assert ours.value == k / n
            assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-7)


def test_proportion_without_a_mistake_by_hand():
    # All of 30 right: the lower bound p solves p^30 = 0.025.
    flawless = proportion(30, 30)
    assert (flawless.low, flawless.high) == (pytest.approx(0.025 ** (1 / 30)), 1.0)


def test_proportion_covers_95_of_100_always():
    # Exact, not simulated: add up the binomial chances of the outcomes whose interval holds p.
    for n in (3, 9, 30, 300):
        k = np.arange(n + 1)
        low, high = proportion_bounds(k, np.full(n + 1, n))
        for p in (0.01, 0.1, 0.5, 0.9, 0.99, 0.995, 0.999):
            held = (low <= p) & (p <= high)
            assert stats.binom.pmf(k[held], n, p).sum() >= 0.95


def test_proportion_of_a_million_is_near_normal():
    interval = proportion(900_000, 1_000_000)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * 0.0003, rel=2e-3)


def test_proportion_refuses_what_is_none():
    for successes, total in ((0, 0), (2, 1), (-1, 3)):
        with pytest.raises(ValueError, match="0 <= successes <= total"):
            proportion(successes, total)


def mean_of(scores, seed=0):
    column = np.asarray(scores, float)[:, None]
    (interval,) = means(
        column, if_right=np.array([0.0]), if_wrong=np.array([1.0]), seed=seed, most=np.array([1.0])
    )
    return interval


def test_mean_of_zeros_and_ones_is_jeffreys():
    # On right-or-wrong scores the method is Jeffreys' interval by its own theory; 400 rows, where
    # the widening to Student's t is 0.4 %, and 2,000 draws, whose quantiles stray by about 5 %.
    ours = mean_of([1] * 40 + [0] * 360)
    low, high = stats.beta.ppf([0.025, 0.975], 40.5, 360.5)
    assert ours.value == 0.1
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=0.1 * (high - low))


def test_mean_above_the_drawn_size_joins_on():
    scores = np.random.default_rng(1).exponential(0.05, MAX_DRAWN + 1).clip(0, 1)
    drawn, normal = mean_of(scores[:-1]), mean_of(scores)
    width = drawn.high - drawn.low
    assert normal.high - normal.low == pytest.approx(width, rel=0.1)
    assert normal.low == pytest.approx(drawn.low, abs=0.1 * width)
    error = 1.96 * scores.std() / np.sqrt(len(scores))
    assert normal.high == pytest.approx(scores.mean() + error, abs=0.1 * error)


def test_mean_of_one_row_and_of_equal_rows():
    for scores in ([0.3], [0.3, 0.3], [0.0] * 9):
        interval = mean_of(scores)
        assert 0 <= interval.low <= scores[0] <= interval.high <= 1
        assert interval.high > interval.low + 0.05


def test_mean_repeats_with_its_seed():
    scores = np.linspace(0, 1, 20)
    assert mean_of(scores, 3) == mean_of(scores, 3) != mean_of(scores, 4)
