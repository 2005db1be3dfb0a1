from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from saccade.evaluation import (
    are_uneven,
    choose_threshold,
    class_weights,
    evaluate,
    least_sure,
    predicted_by_weight,
    reliability,
)


@pytest.mark.parametrize(
    ("counts", "uneven"),
    [
        ([10, 1], True),
        ([99, 10], False),
        ([100, 10, 0], True),
        ([50, 0], False),
        ([5, 5, 5], False),
    ],
)
def test_uneven_is_ten_to_one(counts, uneven):
    assert are_uneven(np.array(counts)) is uneven


def test_weights_by_hand():
    """400 to 100 to 4 pictures: the roots of 1, 4 and 100; no pictures, no knowledge."""
    assert class_weights(np.array([400, 100, 4, 0])) == pytest.approx((1, 2, 10, 1))


def test_names_by_hand():
    """0.3 x 3 is above 0.7 x 1; a tie goes to the first."""
    probabilities = np.array([[0.8, 0.2], [0.7, 0.3], [0.75, 0.25]], np.float32)
    assert predicted_by_weight(probabilities, (1.0, 3.0)).tolist() == [0, 1, 0]
    assert predicted_by_weight(probabilities, (1.0, 1.0)).tolist() == [0, 0, 0]


def uneven(count, random, shares=(0.9, 0.08, 0.02)):
    """Two measurements of each picture, normal around its class; exact posteriors of the class."""
    centres = np.array([[0.0, 0.0], [1.5, 0.0], [0.0, 1.5]])
    labels = random.choice(3, count, p=shares)
    seen = random.normal(size=(count, 2)) + centres[labels]
    density = np.exp(-((seen[:, None] - centres) ** 2).sum(axis=2) / 2) * shares
    return density / density.sum(axis=1, keepdims=True), labels


def test_small_classes_are_found_and_macro_f1_does_not_fall():
    """With exact probabilities there is nothing to train: what is left is how to name."""
    probabilities, labels = uneven(20_000, np.random.default_rng(0))
    weights = class_weights(np.bincount(labels))
    plain, predicted = probabilities.argmax(axis=1), predicted_by_weight(probabilities, weights)
    before, after = (metrics.balanced_accuracy_score(labels, said) for said in (plain, predicted))
    assert after > before + 0.1
    before, after = (metrics.f1_score(labels, said, average="macro") for said in (plain, predicted))
    assert after > before


def test_threshold_and_sureness_are_of_the_names():
    """The witness counts: among names with at least so much probability, few are wrong."""
    random = np.random.default_rng(1)
    probabilities, labels = uneven(4_000, random)
    predicted = predicted_by_weight(probabilities, class_weights(np.bincount(labels)))
    threshold = choose_threshold(probabilities, labels, target_error_rate=0.1, predicted=predicted)
    sure = probabilities[np.arange(len(predicted)), predicted] >= threshold
    assert 0.05 < np.mean(predicted[sure] != labels[sure]) <= 0.1
    figures = evaluate(
        probabilities,
        labels,
        classes=("a", "b", "c"),
        baseline_class="a",
        threshold=threshold,
        target_error_rate=0.1,
        predicted=predicted,
    )
    assert figures.sureness.answered.value == sure.mean()
    assert figures.sureness.error_rate.value == np.mean(predicted[sure] != labels[sure])
    assert figures.balanced_accuracy.value == pytest.approx(
        metrics.balanced_accuracy_score(labels, predicted)
    )
    recalls = metrics.recall_score(labels, predicted, average=None)
    assert figures.worst_recall.value == pytest.approx(recalls.min())
    assert figures.worst_class == "abc"[recalls.argmin()]


def test_reliability_is_of_the_names_as_accuracy_is():
    """The witness looks at each bin's pictures; over all bins it is the accuracy."""
    random = np.random.default_rng(3)
    probabilities, labels = uneven(2_000, random)
    predicted = predicted_by_weight(probabilities, class_weights(np.bincount(labels)))
    said = probabilities[np.arange(len(predicted)), predicted]
    assert (predicted != probabilities.argmax(axis=1)).any()
    bins = [
        one for one in reliability(probabilities, labels, predicted=predicted) if one.num_images
    ]
    for one in bins:
        there = (said > one.low) & (said <= one.high)
        assert one.num_images == there.sum()
        assert one.confidence == pytest.approx(said[there].mean())
        assert one.accuracy.value == pytest.approx(np.mean((predicted == labels)[there]))
    right = sum(one.accuracy.value * one.num_images for one in bins)
    assert right == pytest.approx((predicted == labels).sum())
    order = least_sure(probabilities, limit=50, predicted=predicted)
    assert said[order].tolist() == np.sort(said)[:50].tolist()


@pytest.mark.parametrize(
    ("sizes", "recall"), [((200, 20, 4), 0.6), ((5,) * 10, 0.9), ((1000, 10), 0.99)]
)
def test_intervals_over_classes_hold_the_truth(sizes, recall):
    """Over draws from known recalls, the last class's a little lower."""
    from saccade.evaluation.confusion import balanced_accuracy, worst_recall

    random, num_draws, held = np.random.default_rng(2), 100, np.zeros(2)
    recalls = np.full(len(sizes), recall)
    recalls[-1] -= 0.1
    for _ in range(num_draws):
        hits = random.binomial(sizes, recalls)
        confusion = np.diag(hits)
        confusion[:, 0] += np.array(sizes) - hits
        confusion[0, :2] = hits[0], sizes[0] - hits[0]
        figures = balanced_accuracy(confusion), worst_recall(confusion)[1]
        truths = recalls.mean(), recalls.min()
        held += [f.low <= truth <= f.high for f, truth in zip(figures, truths, strict=True)]
    assert held.min() / num_draws >= 0.9  # as docs/figures.md has it, or better
