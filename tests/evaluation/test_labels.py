"""Several labels a picture: thresholds, figures and their intervals."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics

from saccade.evaluation import (
    Evaluation,
    LabelEvaluation,
    choose_label_thresholds,
    evaluate_labels,
    figures_from_json,
    fit_label_temperature,
    label_probabilities,
)
from saccade.evaluation.thresholds import LEAST_OF_A_LABEL

NAMES = ("a", "b", "c", "d")


def some(count: int = 200, *, seed: int = 0, num_labels: int = 4, shared: float = 0.5):
    """Return probabilities and targets; pictures are easy or hard for all labels alike."""
    random = np.random.default_rng(seed)
    targets = random.random((count, num_labels)) < np.linspace(0.1, 0.5, num_labels)
    sign = np.where(targets, 1, -1)
    hard = np.sqrt(shared) * random.normal(size=(count, 1))
    own = np.sqrt(1 - shared) * random.normal(size=targets.shape)
    return label_probabilities(sign * (1.2 + hard + own), 1.0), targets


def figures(probabilities, targets, *, thresholds=(0.5, 0.4, 0.6, 0.3), baseline=None):
    baseline = np.zeros(targets.shape[1], bool) if baseline is None else baseline
    names = NAMES[: targets.shape[1]]
    return evaluate_labels(
        probabilities,
        targets,
        labels=names,
        thresholds=thresholds[: len(names)],
        baseline=baseline,
        baseline_class=";".join(np.array(names)[baseline]),
    )


def test_figures_are_scikit_learns():
    probabilities, targets = some()
    thresholds = (0.5, 0.4, 0.6, 0.3)
    said = probabilities >= thresholds
    found = figures(probabilities, targets)
    assert found.accuracy.value == pytest.approx(metrics.accuracy_score(targets, said))
    for name in ("macro", "micro"):
        wanted = metrics.f1_score(targets, said, average=name)
        assert getattr(found, f"{name}_f1").value == pytest.approx(wanted)
    wanted = metrics.average_precision_score(targets, probabilities, average="macro")
    assert found.mean_average_precision.value == pytest.approx(wanted)
    wanted = np.mean([metrics.log_loss(t, p) for t, p in zip(targets.T, probabilities.T)])  # noqa: B905
    assert found.log_loss.value == pytest.approx(wanted)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(targets, said)
    by_label = metrics.average_precision_score(targets, probabilities, average=None)
    for at, one in enumerate(found.per_class):
        shown = [one.precision.value, one.recall.value, one.f1.value, one.average_precision.value]
        assert shown == pytest.approx([precision[at], recall[at], f1[at], by_label[at]])
        assert (one.num_images, one.num_predicted) == (support[at], said[:, at].sum())
        assert one.threshold == thresholds[at]


def test_ties_in_average_precision_are_one_threshold():
    probabilities = np.array([[0.9], [0.5], [0.5], [0.5], [0.1]]).repeat(2, axis=1)
    targets = np.array([[0], [1], [0], [1], [1]], bool).repeat(2, axis=1)
    found = figures(probabilities, targets).per_class[0].average_precision
    # Two of three hits at a precision of 2/4, the last at 3/5.
    assert found.value == pytest.approx(2 / 3 * 1 / 2 + 1 / 3 * 3 / 5)


def test_baseline_is_the_most_frequent_set():
    probabilities, targets = some()
    baseline = np.array([False, True, False, False])
    found = figures(probabilities, targets, baseline=baseline)
    share = np.mean([tuple(row) == (False, True, False, False) for row in targets])
    assert found.baseline_accuracy.value == pytest.approx(share)
    assert found.baseline_class == "b"


def test_a_label_without_pictures_has_no_figures_and_counts_in_no_mean():
    probabilities, targets = some()
    targets[:, 0], probabilities[:, 0] = False, 0.01
    found = figures(probabilities, targets)
    assert found.per_class[0].f1 is found.per_class[0].average_precision is None
    rest = [one.f1.value for one in found.per_class[1:]]
    assert found.macro_f1.value == pytest.approx(np.mean(rest))
    none = figures(np.full((5, 2), 0.1), np.zeros((5, 2), bool))
    assert none.macro_f1 is none.micro_f1 is none.mean_average_precision is None
    assert none.accuracy.value == 1


def test_no_mistake_in_few_pictures_leaves_doubt():
    targets = np.array([[1, 0], [0, 1], [1, 1]], bool)
    found = figures(np.where(targets, 0.9, 0.1), targets)
    for one in (found.macro_f1, found.micro_f1, found.mean_average_precision):
        assert one.value == one.high == 1
        assert one.low < 0.6


def test_copied_labels_make_no_interval_narrower():
    """Labels that are one and the same tell no more than one of them."""
    probabilities, targets = some(num_labels=1)
    one = figures(probabilities, targets)
    four = figures(
        probabilities.repeat(4, axis=1), targets.repeat(4, axis=1), thresholds=(0.5,) * 4
    )
    for name in ("macro_f1", "mean_average_precision"):
        single, copied = getattr(one, name), getattr(four, name)
        assert (copied.low, copied.high) == pytest.approx((single.low, single.high))
    single, copied = one.micro_f1, four.micro_f1
    assert (copied.low, copied.high) == pytest.approx((single.low, single.high), abs=0.02)


def test_intervals_hold_the_truth():
    """In 60 repetitions of 120 pictures; a true coverage of 90 % fails here once in 600."""
    thresholds = (0.5,) * 3
    probabilities, targets = some(60_000, seed=99, num_labels=3)
    truth = figures(probabilities, targets, thresholds=thresholds)
    names = ("macro_f1", "micro_f1", "mean_average_precision", "log_loss")
    held = dict.fromkeys(names, 0)
    for seed in range(60):
        found = figures(*some(120, seed=seed, num_labels=3), thresholds=thresholds)
        for name in names:
            interval = getattr(found, name)
            held[name] += interval.low <= getattr(truth, name).value <= interval.high
    assert min(held.values()) >= 46, held


def test_temperature_is_the_one_that_minimises_log_loss():
    random = np.random.default_rng(3)
    logits = random.normal(0, 2, (400, 5))
    targets = random.random(logits.shape) < label_probabilities(logits, 1.0)
    found = fit_label_temperature(3 * logits, targets)

    def loss(temperature):
        p = 1 / (1 + np.exp(-3 * logits / temperature))
        return -np.log(np.where(targets, p, 1 - p)).mean()

    grid = np.linspace(1.5, 6, 200)
    # An imagined answer, half right and half wrong, moves it by a hair.
    assert found == pytest.approx(grid[np.argmin([loss(t) for t in grid])], abs=0.05)
    np.testing.assert_allclose(label_probabilities(logits, 2.0), 1 / (1 + np.exp(-logits / 2)))


def test_thresholds_have_the_highest_f1_there_is():
    probabilities, targets = some(100, seed=5)
    for at, threshold in enumerate(choose_label_thresholds(probabilities, targets)):
        p, t = probabilities[:, at], targets[:, at]
        if min(t.sum(), (~t).sum()) < LEAST_OF_A_LABEL:
            assert threshold == 0.5
            continue
        f1 = [2 * (t & (p >= cut)).sum() / (t.sum() + (p >= cut).sum()) for cut in [*p, threshold]]
        assert f1[-1] == pytest.approx(max(f1))
        assert threshold not in p


def test_too_few_of_a_label_are_said_from_one_half_on():
    targets = np.zeros((40, 3), bool)
    targets[:9, 0], targets[:10, 1], targets[:31, 2] = True, True, True
    probabilities = np.where(targets, 0.2, 0.1)
    thresholds = choose_label_thresholds(probabilities, targets)
    assert thresholds == pytest.approx((0.5, 0.15, 0.5))


def test_document_reads_back_equal():
    found = figures(*some())
    document = json.loads(json.dumps(found.to_json()))
    assert LabelEvaluation.from_json(document) == figures_from_json(document) == found
    with pytest.raises(ValueError, match="version"):
        LabelEvaluation.from_json(document | {"version": 2})
    with pytest.raises(ValueError, match="not a document"):
        LabelEvaluation.from_json({"version": 1, "kind": "labels"})
    with pytest.raises(ValueError, match="figures"):
        Evaluation.from_json({"version": 1})
    with pytest.raises(ValueError, match="figures for each label"):
        replace(found, classes=("a", "b"))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"targets": np.zeros((3, 3), bool)}, "wanted targets for each"),
        ({"targets": np.zeros((200, 4))}, "true or false"),
        ({"probabilities": np.full((200, 4), np.nan)}, "from 0 to 1"),
        ({"thresholds": (0.5,)}, "a name and a threshold"),
    ],
)
def test_what_does_not_fit_together_is_refused(change, why):
    probabilities, targets = some()
    given = {"probabilities": probabilities, "targets": targets, "thresholds": (0.5,) * 4} | change
    with pytest.raises(ValueError, match=why):
        figures(given["probabilities"], given["targets"], thresholds=given["thresholds"])
