from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from saccade.config import Wish, parse_wish
from saccade.errors import SettingsError
from saccade.evaluation import (
    OperatingPoint,
    choose_operating_point,
    evaluate,
    operate,
    precision_recall,
)

CLASSES = ("cats", "dogs")


def columns(dogs):
    """Return (N, 2) probabilities for the probability of a dog."""
    dogs = np.asarray(dogs, np.float64)
    return np.stack([1 - dogs, dogs], axis=1)


def drawn(count, random, *, share=0.4):
    """Dogs with probabilities of Beta(3, 2) and cats with those of Beta(2, 3)."""
    labels = (random.random(count) < share).astype(int)
    return columns(random.beta(2 + labels, 3 - labels)), labels


def chosen(probabilities, labels, wish):
    return choose_operating_point(
        probabilities, np.asarray(labels), classes=CLASSES, wish=parse_wish(wish)
    )


def test_recall_by_hand():
    """Of 59 dogs none may be missed for 95 %: 0.95 ** 59 is just below 0.05."""
    dogs = np.linspace(0.4, 0.9, 59)
    cats = np.linspace(0.0, 0.5, 60)
    point = chosen(columns([*dogs, *cats]), [1] * 59 + [0] * 60, "recall:dogs=0.95")
    assert point.is_promised
    assert point.promised == pytest.approx(0.05 ** (1 / 59), rel=1e-6)
    below = cats[cats < 0.4].max()
    assert point.threshold == pytest.approx((0.4 + below) / 2)
    one_less = chosen(columns([*dogs[1:], *cats]), [1] * 58 + [0] * 60, "recall:dogs=0.95")
    assert not one_less.is_promised
    assert one_less.promised == pytest.approx(0.05 ** (1 / 58), rel=1e-6)
    assert "too few validation pictures" in one_less.sentence()


@pytest.mark.parametrize("target", [0.5, 0.8, 0.95])
def test_recall_is_the_highest_threshold_that_is_promised(target):
    """The witness tries every threshold, with SciPy's beta distribution for the bound."""
    probabilities, labels = drawn(500, np.random.default_rng(1))
    point = chosen(probabilities, labels, f"recall:dogs={target}")
    dogs = np.sort(probabilities[labels == 1, 1])
    bounds = [stats.beta.ppf(0.05, np.sum(dogs >= t), np.sum(dogs < t) + 1) for t in dogs]
    highest = dogs[np.array(bounds) >= target].max()
    assert point.threshold <= highest
    assert not np.any((probabilities[:, 1] >= point.threshold) & (probabilities[:, 1] < highest))
    assert point.promised == pytest.approx(bounds[int(np.searchsorted(dogs, highest))], rel=1e-6)


@pytest.mark.parametrize(("measure", "target"), [("recall", 0.9), ("precision", 0.6)])
def test_promise_holds_in_at_least_95_of_100_draws(measure, target):
    """The truth at each chosen threshold comes from the distributions, not from a sample."""
    random, num_draws, kept, promised = np.random.default_rng(2), 200, 0, 0
    for _ in range(num_draws):
        point = chosen(*drawn(600, random), f"{measure}:dogs={target}")
        found = stats.beta.sf(point.threshold, 3, 2)
        alarms = stats.beta.sf(point.threshold, 2, 3)
        truth = {"recall": found, "precision": 0.4 * found / (0.4 * found + 0.6 * alarms)}
        promised += point.is_promised
        kept += truth[measure] >= target
    assert promised > 0.8 * num_draws
    # 95 % less what 200 draws may miss it by, two deviations.
    assert kept >= (0.95 - 2 * np.sqrt(0.95 * 0.05 / num_draws)) * num_draws


def test_precision_is_not_promised_by_picking_the_luckiest_threshold():
    """Probabilities that say nothing: the precision is 60 % at each, so 60.1 % is never true."""
    random, num_draws = np.random.default_rng(6), 150
    broken = 0
    for _ in range(num_draws):
        labels = (random.random(400) < 0.6).astype(int)
        broken += chosen(columns(random.random(400)), labels, "precision:dogs=0.601").is_promised
    assert broken / num_draws <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / num_draws)


def test_precision_names_the_surest_pictures_only():
    """The 200 surest are dogs, the rest cats: a flawless 200 promises 95 %, more does not."""
    labels = [1] * 200 + [0] * 800
    point = chosen(columns(np.linspace(1, 0, 1000)), labels, "precision:dogs=0.95")
    predicted = point.predicted(columns(np.linspace(1, 0, 1000)), CLASSES)
    assert point.is_promised
    assert 0.8 * 200 <= predicted.sum() <= 200 / 0.95


def test_precision_out_of_reach_promises_less():
    random = np.random.default_rng(0)
    point = chosen(columns(random.random(300)), random.integers(0, 2, 300), "precision:dogs=0.99")
    assert not point.is_promised
    assert 0 < point.promised < 0.99


@pytest.mark.parametrize("measure", ["recall", "precision"])
def test_equal_probabilities_get_one_name(measure):
    point = chosen(columns([0.7] * 100), [1] * 90 + [0] * 10, f"{measure}:dogs=0.5")
    assert point.predicted(columns([0.7]), CLASSES).tolist() == [1]
    assert 0 < point.threshold < 0.7


def test_point_of_the_first_class_names_it():
    point = chosen(columns([0.1, 0.2, 0.3, 0.9] * 30), [0, 0, 0, 1] * 30, "recall:cats=0.9")
    assert point.class_name == "cats"
    assert point.predicted(columns([0.1, 0.3, 0.9]), CLASSES).tolist() == [0, 0, 1]


def test_curve_is_scikit_learns():
    probabilities, labels = drawn(150, np.random.default_rng(3))
    probabilities = np.round(probabilities, 2)  # some are equal
    curve = precision_recall(probabilities, labels, classes=CLASSES, class_name="dogs")
    precision, recall, thresholds = metrics.precision_recall_curve(
        labels, probabilities[:, 1], drop_intermediate=False
    )
    expected = list(zip(thresholds, precision, recall, strict=False))[::-1]
    assert np.allclose([tuple(point) for point in curve], expected)


def test_long_curve_is_thinned_to_true_points():
    probabilities, labels = drawn(5_000, np.random.default_rng(4))
    curve = precision_recall(probabilities, labels, classes=CLASSES, class_name="dogs")
    assert len(curve) <= 200
    for threshold, precision, recall in curve[:: len(curve) // 7]:
        predicted = probabilities[:, 1] >= threshold
        assert precision == pytest.approx(metrics.precision_score(labels, predicted))
        assert recall == pytest.approx(metrics.recall_score(labels, predicted))
    assert curve[-1].recall == 1


def test_figures_of_names_follow_the_point_and_those_of_probabilities_do_not():
    probabilities, labels = drawn(300, np.random.default_rng(5))
    settings = {"classes": CLASSES, "baseline_class": "cats", "threshold": 0.0}
    point = OperatingPoint(
        measure="recall", class_name="dogs", target=0.9, threshold=0.3, promised=0.9
    )
    plain = evaluate(probabilities, labels, target_error_rate=0.05, **settings)
    moved = evaluate(
        probabilities,
        labels,
        target_error_rate=0.05,
        predicted=point.predicted(probabilities, CLASSES),
        **settings,
    )
    moved = replace(moved, operation=operate(probabilities, labels, classes=CLASSES, point=point))
    predicted = probabilities[:, 1] >= 0.3
    assert moved.operation.recall.value == metrics.recall_score(labels, predicted)
    assert moved.operation.precision.value == metrics.precision_score(labels, predicted)
    assert moved.per_class[1].recall == moved.operation.recall
    assert moved.accuracy.value == metrics.accuracy_score(labels, predicted)
    assert moved.confusion == tuple(
        map(tuple, metrics.confusion_matrix(labels, predicted).tolist())
    )
    for name in ("log_loss", "brier", "calibration_error", "baseline_accuracy"):
        assert getattr(moved, name) == getattr(plain, name)
    document = json.loads(json.dumps(moved.to_json()))
    assert type(moved).from_json(document) == moved


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "recall:CLASS=SHARE"),
        ("recall", "such as recall:dogs=0.95, got 'recall'"),
        ("f1:dogs=0.9", "recall:CLASS=SHARE or precision"),
        ("recall:=0.9", "got 'recall:=0.9'"),
        ("recall:dogs=1", "above 0 and below 1, such as 0.95, got '1'"),
        ("recall:dogs=95%", "got '95%'"),
        ("recall:dogs=nan", "got 'nan'"),
    ],
)
def test_wish_that_cannot_be_read(text, message):
    with pytest.raises(SettingsError, match=message):
        parse_wish(text)


def test_class_names_may_hold_the_signs():
    assert parse_wish("precision:a:b=c=0.5") == Wish(
        measure="precision", class_name="a:b=c", target=0.5
    )


def test_point_needs_two_classes_and_a_picture():
    wish = parse_wish("recall:dogs=0.9")
    for classes, labels in ((("a", "b"), [0, 1]), (CLASSES, [0, 0])):
        with pytest.raises(ValueError, match="wanted"):
            choose_operating_point(
                columns([0.1, 0.9]), np.array(labels), classes=classes, wish=wish
            )
