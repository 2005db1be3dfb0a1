from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats

from saccade.evaluation import (
    Answers,
    Training,
    Trainings,
    averaged,
    crossed,
    evaluate,
    pooled,
    widened,
)
from saccade.evaluation.intervals import proportion
from saccade.evaluation.operating import OperatingPoint
from saccade.evaluation.trainings import corrected
from saccade.types import Interval

COMMON = {"classes": ("a", "b"), "baseline_class": "a", "target_error_rate": 0.05}


def answers_of(rights: int, wrongs: int, *, sure: float = 0.9, threshold: float = 0.5) -> Answers:
    """Return answers to pictures of "a" and "b" by turns, the first ones right."""
    count = rights + wrongs
    labels = np.arange(count) % 2
    predicted = np.where(np.arange(count) < rights, labels, 1 - labels)
    probabilities = np.full((count, 2), 1 - sure)
    probabilities[np.arange(count), predicted] = sure
    return Answers(
        labels=labels, probabilities=probabilities, predicted=predicted, threshold=threshold
    )


def alone(answers: Answers):
    return pooled([answers], threshold=answers.threshold, **COMMON)


def test_corrected_t_is_hand_solved():
    """Five folds: 0.8, 0.9, 0.9, 0.9, 1.0 have the variance 0.005; 1/5 + 1/4 of it is 0.00225."""
    figure = Interval(value=0.9, low=0.88, high=0.92)
    found = corrected(figure, [0.8, 0.9, 0.9, 0.9, 1.0], held_out=1 / 4)
    reach = 2.776445 * math.sqrt(0.00225)
    assert found.value == 0.9
    assert found.low == pytest.approx(0.9 - reach, abs=1e-6)
    assert found.high == 1.0  # 1.03 is no share
    degrees = stats.t.ppf(0.975, 4)
    assert found.low == pytest.approx(0.9 - degrees * math.sqrt(0.00225), abs=1e-9)


def test_trainings_that_agree_leave_the_doubt_of_the_pictures():
    figure = proportion(100, 100)
    assert corrected(figure, [1.0] * 5, held_out=1 / 4) == figure
    assert corrected(figure, [1.0], held_out=1 / 4) == figure


def test_pooled_figures_are_those_of_all_answers_at_once():
    folds = [answers_of(18, 2), answers_of(15, 4, sure=0.7), answers_of(20, 1, sure=0.8)]
    together = pooled(folds, threshold=0.5, **COMMON)
    columns = [
        np.concatenate([getattr(one, name) for one in folds])
        for name in ("probabilities", "labels", "predicted")
    ]
    assert together == evaluate(
        columns[0], columns[1], predicted=columns[2], threshold=0.5, **COMMON
    )
    assert together.accuracy.value == 53 / 60


def test_each_training_is_unsure_below_its_own_threshold():
    folds = [answers_of(9, 1, threshold=0.95), answers_of(7, 3, threshold=0.5)]
    sureness = pooled(folds, threshold=0.6, **COMMON).sureness
    assert sureness.threshold == 0.6  # of the classifier that is shipped
    assert sureness.answered.value == 10 / 20
    assert sureness.error_rate is not None
    assert sureness.error_rate.value == 3 / 10


def test_operating_points_figures_are_of_the_names_given():
    point = OperatingPoint(
        measure="recall", class_name="b", target=0.9, threshold=0.4, promised=0.8
    )
    figures = pooled([answers_of(18, 2), answers_of(16, 4)], threshold=0.0, point=point, **COMMON)
    assert figures.operation is not None
    assert figures.operation.recall == figures.per_class[1].recall
    assert figures.operation.precision == figures.per_class[1].precision


def test_every_interval_but_the_baselines_holds_what_differs_between_trainings():
    folds = [answers_of(rights, 20 - rights) for rights in (12, 19, 15, 20, 17)]
    together = pooled(folds, threshold=0.5, **COMMON)
    wide = widened(together, [alone(one) for one in folds], held_out=1 / 4)
    before, after = together.to_json(), wide.to_json()
    for name in ("accuracy", "macro_f1", "log_loss", "brier", "balanced_accuracy"):
        assert after[name]["value"] == before[name]["value"]
        assert after[name]["low"] < before[name]["low"]
    assert wide.per_class[0].recall.low < together.per_class[0].recall.low
    assert wide.sureness.error_rate.high > together.sureness.error_rate.high
    assert wide.baseline_accuracy == together.baseline_accuracy
    assert wide.confusion == together.confusion


def test_a_figure_that_some_trainings_lack_is_of_the_others():
    """No fold but two names a picture "b": its precision is of these two."""
    folds = [answers_of(10, 0), answers_of(6, 0)]
    never = Answers(
        labels=np.zeros(4, int),
        probabilities=np.tile([0.9, 0.1], (4, 1)),
        predicted=np.zeros(4, int),
        threshold=0.5,
    )
    each = [alone(one) for one in (*folds, never)]
    assert each[2].per_class[1].precision is None
    wide = widened(pooled([*folds, never], threshold=0.5, **COMMON), each, held_out=1 / 2)
    assert wide.per_class[1].precision.value == 1


def folded_accuracies(random, num_images: int, num_folds: int) -> tuple[list[float], float]:
    """Return the accuracy in each fold, and the true one of the classifier trained on all.

    The classifier is the nearest class mean after a random projection, drawn anew for each
    training as a network's first weights are; its true accuracy is known in closed form.
    """
    label = random.integers(0, 2, num_images)
    pictures = random.normal(size=(num_images, 6))
    pictures[:, 0] += 1.0 * (2 * label - 1)

    def fitted(rows) -> tuple[np.ndarray, float]:
        keep = random.permutation(6)[:4]  # by chance the telling one is left out
        weights = np.zeros(6)
        means = [pictures[rows & (label == k)].mean(axis=0) for k in (0, 1)]
        weights[keep] = (means[1] - means[0])[keep]
        return weights, float(weights @ (means[0] + means[1]) / 2)

    fold = random.permutation(num_images) % num_folds
    shares = []
    for number in range(num_folds):
        weights, middle = fitted(fold != number)
        held = fold == number
        shares.append(float(((pictures[held] @ weights > middle) == label[held]).mean()))
    weights, middle = fitted(fold >= 0)
    length = np.linalg.norm(weights)
    reach = [(weights[0] * sign - middle) / length for sign in (-1, 1)]
    return shares, float((stats.norm.cdf(-reach[0]) + stats.norm.cdf(reach[1])) / 2)


def test_interval_over_folds_holds_the_truth_where_the_pooled_one_does_not():
    """100 repetitions, networks that differ by chance: `docs/figures.md` has more of them."""
    random = np.random.default_rng(0)
    held = np.zeros(2)
    for _ in range(100):
        shares, truth = folded_accuracies(random, 100, 5)
        narrow = proportion(round(100 * float(np.mean(shares))), 100)
        wide = corrected(narrow, shares, held_out=1 / 4)
        held += [narrow.low <= truth <= narrow.high, wide.low <= truth <= wide.high]
    assert held[0] / 100 < 0.9
    assert held[1] / 100 >= 0.9  # 0.95, less two standard deviations of 100 repetitions


def test_means_of_foldings_are_hand_solved():
    one, other = (
        pooled([answers_of(rights, 10 - rights)], threshold=0.5, **COMMON) for rights in (8, 6)
    )
    both = averaged([one, other])
    assert both.accuracy.value == pytest.approx(0.7)
    assert both.accuracy.low == pytest.approx((one.accuracy.low + other.accuracy.low) / 2)
    assert both.confusion == one.confusion
    assert averaged([one]) == one


def test_crossed_mean_squares_are_those_of_an_analysis_of_variance_term_by_term():
    """Four trainings, forty pictures, the easier ones first: right on 36, 34, 35 and 33."""
    right = np.arange(40) < np.array([[36], [34], [35], [33]])
    value, table = right.mean(), right.astype(float)
    trainings = sum(40 * (row.mean() - value) ** 2 for row in table) / 3
    pictures = sum(4 * (column.mean() - value) ** 2 for column in table.T) / 39
    rest = sum(
        (table[r, i] - table[r].mean() - table[:, i].mean() + value) ** 2
        for r in range(4)
        for i in range(40)
    )
    rest /= 3 * 39
    total = pictures + trainings - rest
    assert total > max(pictures, trainings)
    freedom = total**2 / (trainings**2 / 3 + pictures**2 / 39 + rest**2 / (3 * 39))
    reach = stats.t.ppf(0.975, freedom) * math.sqrt(total / 160)
    alone = [proportion(int(row.sum()), 40) for row in right]
    found = crossed(right)
    assert found.value == 138 / 160
    assert found.low == pytest.approx(
        min(value - reach, np.mean([one.low for one in alone])), abs=1e-6
    )
    assert found.high == pytest.approx(value + reach, abs=1e-6)


def test_trainings_that_all_agree_leave_the_doubt_of_the_pictures():
    assert crossed(np.ones((3, 40), bool)) == proportion(40, 40)
    half = np.tile(np.arange(40) % 2 == 0, (3, 1))
    assert crossed(half).low <= proportion(20, 40).low


def test_interval_over_repeats_holds_the_truth_where_one_trainings_does_not():
    """Pictures and trainings are both drawn: 100 repetitions of three trainings each."""
    random = np.random.default_rng(0)
    pictures, seeds = random.normal(size=(2, 100_000))
    truth = float((1 / (1 + np.exp(-2 - pictures - 0.6 * seeds))).mean())
    held = np.zeros(2)
    for _ in range(100):
        ease, luck = random.normal(size=(1, 100)), 0.6 * random.normal(size=(3, 1))
        right = random.random((3, 100)) < 1 / (1 + np.exp(-2 - ease - luck))
        for place, found in enumerate((proportion(int(right[0].sum()), 100), crossed(right))):
            held[place] += found.low <= truth <= found.high
    assert held[0] / 100 < 0.85
    assert held[1] / 100 >= 0.9  # 0.95, less two standard deviations of 100 repetitions


def test_document_reads_back_equal_and_the_sentence_tells_the_spread():
    each = tuple(
        Training(
            fold=fold,
            repeat=1,
            seed=fold,
            num_images=20,
            accuracy=proportion(rights, 20),
            macro_f1=proportion(rights, 20),
            log_loss=Interval(value=0.5, low=0.25, high=0.75),
            best_epoch=3,
            seconds=1.5,
        )
        for fold, rights in enumerate((16, 18, 20), 1)
    )
    trainings = Trainings(folds=3, repeats=1, accuracy=proportion(54, 60), each=each)
    assert trainings.spread == pytest.approx(0.1)
    assert Trainings.from_json(json.loads(json.dumps(trainings.to_json()))) == trainings
    assert trainings.sentence() == (
        "3 trainings: 80.0 to 100.0 % right, mean 90.0 %, standard deviation 10.0 points"
    )


def test_weakest_class_over_foldings_is_one_class_with_its_own_recall():
    """By hand: "a" is right 18 and 20 of 20 times, "b" 20 and 17: "b" is the weakest, 37 of 40."""

    def folding(missed_a: int, missed_b: int) -> list[Answers]:
        labels = np.repeat([0, 1], 10)
        predicted = [labels.copy(), labels.copy()]
        for fold, (a, b) in enumerate([(missed_a, 0), (0, missed_b)]):
            predicted[fold][:a], predicted[fold][10 : 10 + b] = 1, 0
        return [
            Answers(labels=labels, probabilities=np.eye(2)[said], predicted=said, threshold=0.5)
            for said in predicted
        ]

    answers = [folding(2, 0), folding(0, 3)]
    foldings = [pooled(one, threshold=0.5, **COMMON) for one in answers]
    assert [one.worst_class for one in foldings] == ["a", "b"]
    each = [alone(one) for one in sum(answers, [])]
    figures = widened(averaged(foldings), each, held_out=1.0)
    assert figures.worst_class == "b"
    assert figures.worst_recall == figures.per_class[1].recall
    assert figures.worst_recall.value == pytest.approx(37 / 40)
