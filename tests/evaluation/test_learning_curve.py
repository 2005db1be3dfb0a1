from __future__ import annotations

import numpy as np
import pytest

from saccade.evaluation import LearningCurve, LearningPoint, fit_learning_curve

SIZES = np.array([125, 250, 500, 1000])


def points(wrong, scored: int) -> list[LearningPoint]:
    return [
        LearningPoint(num_train=int(size), num_wrong=int(count), num_scored=scored)
        for size, count in zip(SIZES, wrong, strict=True)
    ]


def law(floor: float, scale: float, exponent: float, sizes=SIZES):
    return floor + scale * np.asarray(sizes, float) ** -exponent


@pytest.mark.parametrize(
    ("floor", "scale", "exponent"), [(0.05, 2.0, 0.5), (0.0, 1.6, 0.35), (0.1, 30.0, 1.1)]
)
def test_known_law_is_found_again_and_foretold(floor, scale, exponent):
    many = 10**7  # rounding to whole mistakes is then nothing
    curve = fit_learning_curve(points(np.round(many * law(floor, scale, exponent)), many))
    assert curve.floor == pytest.approx(floor, abs=1e-4)
    assert curve.scale == pytest.approx(scale, rel=1e-3)
    assert curve.exponent == pytest.approx(exponent)
    for times, foretold in zip((2, 4), curve.foretold, strict=True):
        assert foretold.num_train == 1000 * times
        truth = law(floor, scale, exponent, [1000 * times])[0]
        assert foretold.error.value == pytest.approx(truth, abs=1e-4)
        gain = law(floor, scale, exponent)[-1] - truth
        assert foretold.gain.value == pytest.approx(gain, abs=1e-4)


def test_fit_is_scipys():
    """The witness: SciPy's bounded least squares with the same weights, of noisy counts."""
    from scipy.optimize import curve_fit

    wrong, scored = np.array([130, 92, 75, 60]), 400
    curve = fit_learning_curve(points(wrong, scored))
    share = (wrong + 0.5) / (scored + 1)
    found, _ = curve_fit(
        lambda x, floor, fall, exponent: floor + fall * x**-exponent,
        SIZES / 1000,
        wrong / scored,
        p0=(0.05, 0.1, 0.5),
        sigma=np.sqrt(share * (1 - share) / scored),
        bounds=([0, 0, 0.1], [1, 1, 1.5]),
    )
    fitted = np.array([curve.error_at(size) for size in (*SIZES, 2000)])
    x = np.array([*SIZES, 2000]) / 1000
    assert fitted == pytest.approx(found[0] + found[1] * x ** -found[2], abs=1e-3)  # a grid


@pytest.mark.parametrize(
    ("floor", "fall", "exponent", "scored"),
    [
        (0.02, 0.2, 0.5, 200),
        (0.0, 0.3, 0.3, 400),
        (0.15, 0.0, 0.5, 400),
        (0.0, 0.05, 0.6, 100),  # one mistake or two at the last point
    ],
)
def test_truth_lies_within_the_interval(floor, fall, exponent, scored):
    """At least 90 of 100 repetitions; the chance that 95 in truth show under 34 of 40 is 1 %."""
    shares = law(floor, fall * 125**exponent, exponent)
    truth = law(floor, fall * 125**exponent, exponent, [2000, 4000])
    gain = np.maximum(shares[-1] - truth, 0)
    random = np.random.default_rng(0)
    held = np.zeros(4)
    for _ in range(40):
        curve = fit_learning_curve(points(random.binomial(scored, shares), scored))
        for k, one in enumerate(curve.foretold):
            held[k] += one.error.low <= truth[k] <= one.error.high
            held[2 + k] += one.gain.low - 1e-12 <= gain[k] <= one.gain.high + 1e-12
    assert (held >= 34).all(), held


def test_errors_that_do_not_fall_foretell_no_gain():
    curve = fit_learning_curve(points([20, 22, 24, 26], 200))
    assert curve.foretold[0].gain.value == 0
    assert curve.foretold[0].gain.low == 0
    assert curve.foretold[1].error.value == pytest.approx(23 / 200, abs=0.01)


def test_no_mistake_at_all_is_no_proof_of_none():
    curve = fit_learning_curve(points([0, 0, 0, 0], 50))
    assert curve.foretold[0].error.value == 0
    assert curve.foretold[0].error.high > 0.005


def test_more_scored_pictures_narrow_the_range():
    widths = []
    for scored in (200, 5000):
        wrong = np.round(scored * law(0.05, 2.0, 0.5))
        gain = fit_learning_curve(points(wrong, scored)).foretold[0].gain
        widths.append(gain.high - gain.low)
    assert widths[1] < widths[0]


def test_curve_goes_through_json_in_any_order_of_points():
    given = points([40, 30, 22, 15], 100)
    curve = fit_learning_curve(given[::-1])
    assert curve == fit_learning_curve(given)
    assert LearningCurve.from_json(curve.to_json()) == curve


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (points([3, 2, 1, 1], 10)[:2], "3 or more different numbers"),
        ([*points([3, 2, 1, 1], 10), points([3, 2, 1, 1], 10)[0]], "different numbers"),
        (points([11, 2, 1, 1], 10), "mistakes <= pictures scored"),
    ],
)
def test_points_that_cannot_be_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        fit_learning_curve(given)
