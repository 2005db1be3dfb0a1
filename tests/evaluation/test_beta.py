import numpy as np
import pytest
from scipy import stats

from saccade.evaluation.beta import beta_quantile, normal_tail, student_quantile_975


@pytest.mark.parametrize("probability", [0.025, 0.5, 0.975])
def test_beta_quantile_is_scipys(probability: float):
    random = np.random.default_rng(0)
    a, b = (np.exp(random.uniform(0, np.log(1e6), 300)) for _ in range(2))
    # 1e-7: rounding in lgamma of 1e6 alone is about 1e-9 of the logarithm.
    np.testing.assert_allclose(
        beta_quantile(a, b, probability), stats.beta.ppf(probability, a, b), rtol=1e-7
    )


def test_beta_quantile_of_straight_line():
    # Beta(1, b): I_x = 1 - (1 - x)^b, solved by hand.
    solved = 1 - 0.975 ** (1 / np.array([1, 2, 50, 1e6]))
    np.testing.assert_allclose(beta_quantile(np.ones(4), [1, 2, 50, 1e6], 0.025), solved, rtol=1e-7)


@pytest.mark.parametrize("degrees", [1, 2, 3, 8, 100, 9999])
def test_student_quantile_is_scipys(degrees: int):
    assert student_quantile_975(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-7)


def test_normal_tail_is_scipys():
    assert normal_tail(1.5) == pytest.approx(stats.norm.sf(1.5), rel=1e-12)
