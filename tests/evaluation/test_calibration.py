import math

import numpy as np
import pytest
from scipy import optimize, special, stats
from sklearn.metrics import log_loss

from saccade.evaluation import (
    NEVER,
    apply_temperature,
    choose_threshold,
    fit_temperature,
    reliability,
)
from saccade.evaluation.calibration import calibration_error, sureness
from saccade.evaluation.scores import score


def drawn_logits(count, *, classes=5, overconfident=1.0, seed=0):
    """Return logits and labels for which temperature `overconfident` is the true one."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(count, classes)) * 2
    chances = special.softmax(logits, axis=1)
    labels = (chances.cumsum(axis=1) < random.random((count, 1))).sum(axis=1)
    return logits * overconfident, labels.clip(0, classes - 1)


def loss(logits, labels, temperature):
    chances = special.softmax(logits / temperature, axis=1)
    return log_loss(labels, chances, labels=range(logits.shape[1]))


@pytest.mark.parametrize("true", [0.3, 1.0, 3.0])
def test_fit_temperature_finds_the_true_one(true: float):
    logits, labels = drawn_logits(20_000, overconfident=true)
    assert fit_temperature(logits, labels) == pytest.approx(true, rel=0.05)


@pytest.mark.parametrize("count", [9, 100, 3000])
def test_fit_temperature_is_scipys_minimum(count: int):
    # The same objective, slowly: the pictures, and one imagined as half right and half wrong.
    logits, labels = drawn_logits(count, overconfident=2.0)

    def objective(log_temperature):
        log_p = special.log_softmax(logits / math.exp(log_temperature), axis=1)
        ordered = np.sort(log_p, axis=1)
        imagined = (ordered[:, -1] + ordered[:, -2]).mean() / 2
        return -log_p[np.arange(count), labels].sum() - imagined

    found = optimize.minimize_scalar(objective, bounds=(-3, 3), options={"xatol": 1e-9})
    assert fit_temperature(logits, labels) == pytest.approx(math.exp(found.x), rel=1e-4)


def test_fit_temperature_never_worsens_the_validation_loss():
    for seed in range(40):
        logits, labels = drawn_logits(3 + seed, overconfident=0.1 + seed / 5, seed=seed)
        temperature = fit_temperature(logits, labels)
        assert 0.05 <= temperature <= 20
        before, after = loss(logits, labels, 1.0), loss(logits, labels, temperature)
        assert after <= before + 1e-12


def test_fit_temperature_of_few_flawless_pictures_stays_sane():
    # Nine right answers, margin 10: the plain optimum is infinite confidence, temperature 0.
    labels = np.arange(9) % 3
    assert fit_temperature(10.0 * np.eye(3)[labels], labels) == 1.0
    # Margin 0.1: sharper, but not sharper than nine right of ten: 0.1 / T = log(19).
    temperature = fit_temperature(0.1 * np.eye(2)[labels % 2], labels % 2)
    assert temperature == pytest.approx(max(0.05, 0.1 / math.log(19)), rel=1e-3)


def test_fit_temperature_of_degenerate_logits():
    labels = np.zeros(6, int)
    assert fit_temperature(np.zeros((6, 3)), labels) == 1.0  # says nothing, either way
    assert fit_temperature(np.full((6, 3), 1e4), labels) == 1.0
    always_wrong = fit_temperature(np.tile([0.0, 50.0], (6, 1)), labels)
    assert always_wrong == pytest.approx(20, rel=1e-3)
    assert 0.05 <= fit_temperature(np.array([[1e6, 0.0]]), np.array([0])) <= 20


def test_fit_temperature_refuses():
    with pytest.raises(ValueError, match="finite logits"):
        fit_temperature(np.array([[0.0, -np.inf]]), np.array([0]))
    with pytest.raises(ValueError, match="labels from 0 to 1"):
        fit_temperature(np.zeros((1, 2)), np.array([-1]))


def test_apply_temperature_is_scipys_softmax_in_its_own_precision():
    logits = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32) * 300
    ours = apply_temperature(logits, 2.5)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(
        ours, special.softmax(logits.astype(float) / 2.5, axis=1), rtol=1e-6, atol=1e-37
    )
    for temperature in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="temperature above 0"):
            apply_temperature(logits, temperature)


def confident(tops, right):
    """Return two-class probabilities and labels with these tops, right or not."""
    tops = np.asarray(tops, float)
    return np.stack([tops, 1 - tops], axis=1), np.where(right, 0, 1)


def test_choose_threshold_by_hand():
    # 19 right at 0.9, then one wrong at 0.7 and one at 0.6. Mean and standard deviation:
    # 2.5 + 3.4 %; with the wrong one at 0.7: 7.1 + 5.5 %; with both 11.4 + 6.6 %.
    probabilities, labels = confident([0.9] * 19 + [0.7, 0.6], [True] * 19 + [False] * 2)
    assert choose_threshold(probabilities, labels, target_error_rate=0.06) == pytest.approx(0.8)
    assert choose_threshold(probabilities, labels, target_error_rate=0.13) == pytest.approx(0.65)
    assert choose_threshold(probabilities, labels, target_error_rate=0.19) == 0.0


def test_choose_threshold_keeps_equal_confidences_together():
    probabilities, labels = confident([0.9] * 20, [True] * 15 + [False] * 5)
    assert choose_threshold(probabilities, labels, target_error_rate=0.1) == NEVER


def test_choose_threshold_of_few_pictures():
    # Nine pictures cannot show 1 %, so the observed rate is what there is.
    probabilities, labels = confident([0.9] * 8 + [0.6], [True] * 9)
    assert choose_threshold(probabilities, labels, target_error_rate=0.01) == 0.0
    probabilities, labels = confident([0.9] * 8 + [0.6], [True] * 8 + [False])
    threshold = choose_threshold(probabilities, labels, target_error_rate=0.01)
    assert threshold == pytest.approx(0.75)


def test_choose_threshold_answers_nothing_where_nothing_serves():
    probabilities, labels = confident(np.linspace(0.5, 1, 200), [False] * 200)
    threshold = choose_threshold(probabilities, labels)
    assert threshold == NEVER > 1
    unsure = sureness(score(probabilities, labels), threshold=threshold, target_error_rate=0.05)
    assert (unsure.answered.value, unsure.error_rate) == (0.0, None)


def test_choose_threshold_is_a_slow_search():
    random = np.random.default_rng(0)
    for _ in range(12):
        tops = random.uniform(0.5, 1, 60).round(2)
        probabilities, labels = confident(tops, random.random(60) < tops)
        wrong = labels == 1
        target = random.uniform(0.025, 0.4)
        serving = []
        for top in tops:
            count, mistakes = (tops >= top).sum(), wrong[tops >= top].sum()
            posterior = stats.beta(mistakes + 0.5, count - mistakes + 0.5)
            if posterior.mean() + posterior.std() <= target:
                serving.append(top)
        threshold = choose_threshold(probabilities, labels, target_error_rate=target)
        chosen = tops >= (min(serving) if serving else NEVER)
        np.testing.assert_array_equal(tops >= threshold, chosen)


@pytest.mark.parametrize("target", [0.0, 1.0, -0.1, math.nan])
def test_choose_threshold_refuses(target: float):
    probabilities, labels = confident([0.9], [True])
    with pytest.raises(ValueError, match="target error rate between 0 and 1"):
        choose_threshold(probabilities, labels, target_error_rate=target)


def test_chosen_threshold_keeps_its_word_on_new_pictures():
    # 40 models with 1,000 validation pictures each, and the true error rate at their thresholds.
    logits, labels = drawn_logits(100_000, seed=1)
    fresh = score(apply_temperature(logits, 1.0), labels)
    rates = []
    for seed in range(40):
        logits, labels = drawn_logits(1000, seed=100 + seed)
        threshold = choose_threshold(apply_temperature(logits, 1.0), labels)
        figures = sureness(fresh, threshold=threshold, target_error_rate=0.05)
        rates.append(figures.error_rate.value if figures.error_rate else 0.0)
    assert 0.035 < np.mean(rates) < 0.055


def test_sureness_by_hand():
    probabilities, labels = confident([0.9, 0.8, 0.7, 0.6], [True, False, True, False])
    figures = sureness(score(probabilities, labels), threshold=0.7, target_error_rate=0.1)
    assert (figures.answered.value, figures.error_rate.value) == (0.75, pytest.approx(1 / 3))
    assert (figures.threshold, figures.target_error_rate) == (0.7, 0.1)


def test_reliability_by_hand():
    probabilities, labels = confident([0.95, 1.0, 0.6, 0.6], [True, False, True, True])
    bins = reliability(probabilities, labels)
    assert [one.num_images for one in bins] == [0] * 8 + [2] + [0] * 5 + [2]  # 0.6 is 9 / 15
    assert (bins[8].confidence, bins[8].accuracy.value) == (pytest.approx(0.6), 1.0)
    assert (bins[14].confidence, bins[14].accuracy.value) == (pytest.approx(0.975), 0.5)
    assert (bins[0].low, bins[14].high, bins[3].confidence, bins[3].accuracy) == (0, 1, None, None)


def slow_calibration_error(probabilities, labels):
    top, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    error = 0.0
    for k in range(15):
        inside = (top > k / 15) & (top <= (k + 1) / 15)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - top[inside].mean())
    return error


def test_calibration_error_is_the_slow_one():
    for seed in range(10):
        logits, labels = drawn_logits(4 + 30 * seed, overconfident=2.0, seed=seed)
        probabilities = apply_temperature(logits, 1.0)
        interval = calibration_error(score(probabilities, labels))
        assert interval.value == pytest.approx(slow_calibration_error(probabilities, labels))
        assert 0 <= interval.low <= interval.value <= interval.high <= 1


@pytest.mark.parametrize("overconfident", [1.0, 3.0])
@pytest.mark.parametrize("count", [3, 30, 300])
def test_calibration_error_coverage(overconfident: float, count: int):
    # The truth is that of 200,000 pictures. Documented: 0.95 or more; 0.92 leaves two standard
    # errors of 200 repetitions. A calibrated model's value is far above its true error.
    logits, labels = drawn_logits(200_000, overconfident=overconfident)
    probabilities = apply_temperature(logits, 1.0)
    truth = slow_calibration_error(probabilities, labels)
    random = np.random.default_rng(count)
    held = 0
    for _ in range(200):
        rows = random.integers(len(labels), size=count)
        interval = calibration_error(score(probabilities[rows], labels[rows]))
        held += interval.low <= truth <= interval.high
    assert held / 200 > 0.92
