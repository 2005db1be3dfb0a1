"""What is made of out-of-fold probabilities: by hand, by scikit-learn, and on planted classes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import cross_val_predict

from saccade.check.data import to_exclude
from saccade.check.folds import Guesses
from saccade.check.labels import gained, inseparable, likely_wrong, suspicion, told_apart
from saccade.data import build_index, open_source
from saccade.progress import Silence


def guesses_of(probabilities, label, classes="abc") -> Guesses:
    return Guesses(
        rows=np.arange(len(label)),
        classes=tuple(classes),
        label=np.asarray(label, np.intp),
        probabilities=np.asarray(probabilities, np.float32),
    )


def index_of(number: int):
    source = open_source(
        (np.zeros((number, 2, 2), np.uint8), np.zeros(number, int)), progress=Silence()
    )
    return build_index(source, progress=Silence())


def test_contradicted_labels_are_named_the_surest_first():
    sure = np.full((60, 3), 0.02) + 0.94 * np.eye(3)[np.arange(60) % 3]
    label = np.arange(60) % 3
    label[[0, 9]] = 1, 2  # both look like a
    sure[9] = 0.97, 0.029, 0.001
    (finding,) = likely_wrong(index_of(60), guesses_of(sure, label))
    assert finding.name == "labels-likely-wrong"
    assert finding.severity == "warning"
    assert [row.path for row in finding.rows] == ["00009", "00000"]
    assert finding.rows[1].detail == "labelled b, looks like a, 96 %"
    assert finding.rows[0].score == pytest.approx(0.999)
    assert finding.rows[1].score == pytest.approx(0.98)


@pytest.mark.parametrize(("num_sure", "said"), [(80, True), (40, False)])
def test_sure_answers_say_how_many_labels_are_wrong(num_sure, said):
    """Of 80 sure answers 4 are against the label, of the others none: of all 100 about five."""
    label = np.arange(100) % 3
    sure = np.full((100, 3), 0.02) + 0.94 * np.eye(3)[label]
    sure[num_sure:] = 0.2 + 0.4 * np.eye(3)[label[num_sure:]]
    label[[0, 9, 21, 33]] = 1
    (finding,) = likely_wrong(index_of(100), guesses_of(sure, label))
    wanted = "Of its 80 surest answers 5.0 % contradict the label: about 5 of all 100 labels"
    assert (wanted in finding.message) is said
    assert ("surest" in finding.message) is said


def contradicting(num_sure: int, num_wrong: int, num_hard: int) -> Guesses:
    """1,000 labels: of the sure answers, 96 %, some contradict theirs, of the others some at 86 %.

    The others name the label, by half.
    """
    label, names = np.arange(1000) % 3, np.eye(3)
    seen = (label + 1) % 3
    told = 0.02 + 0.94 * names[label]
    told[:num_wrong] = 0.02 + 0.94 * names[seen[:num_wrong]]
    told[num_sure:] = 0.25 + 0.25 * names[label[num_sure:]]
    hard = slice(num_sure, num_sure + num_hard)
    told[hard] = 0.07 + 0.79 * names[seen[hard]]
    return guesses_of(told, label)


def test_as_many_labels_look_wrong_as_may_be_and_a_note_has_the_rest():
    """Six of 600 sure answers contradict: at most 2.2 % by SciPy's interval, 22 labels of 1,000."""
    most = 1000 * binomtest(6, 600).proportion_ci(method="exact").high
    wrong, perhaps = likely_wrong(index_of(1000), contradicting(600, 6, 60))
    assert (wrong.severity, perhaps.severity) == ("warning", "note")
    assert len(wrong.rows) == int(most) + 1 == 22
    assert "about 10 of all 1,000 labels may be wrong, hardly more than 22." in wrong.message
    assert perhaps.name == "labels-perhaps-wrong"
    assert perhaps.message.startswith("44 more labels are contradicted, though less surely")
    rows = (*wrong.rows, *perhaps.rows)
    assert {row.path for row in rows} == {f"{row:05}" for row in (*range(6), *range(600, 660))}
    assert [row.score for row in rows] == sorted((row.score for row in rows), reverse=True)
    assert to_exclude((wrong, perhaps)) == ()


@pytest.mark.parametrize(
    ("num_sure", "num_wrong", "num_hard"),
    [(600, 60, 40), (49, 0, 120)],
    ids=["no more than may be wrong", "too few sure answers to say how many may be"],
)
def test_contradicted_labels_all_look_wrong(num_sure, num_wrong, num_hard):
    (wrong,) = likely_wrong(index_of(1000), contradicting(num_sure, num_wrong, num_hard))
    assert len(wrong.rows) == num_wrong + num_hard


def test_wrong_labels_are_not_proposed_for_leaving_out():
    sure = np.full((60, 3), 0.02) + 0.94 * np.eye(3)[np.arange(60) % 3]
    label = np.arange(60) % 3
    label[0] = 1
    assert to_exclude(likely_wrong(index_of(60), guesses_of(sure, label))) == ()


def test_right_labels_have_no_finding():
    sure = np.full((60, 3), 0.02) + 0.94 * np.eye(3)[np.arange(60) % 3]
    assert likely_wrong(index_of(60), guesses_of(sure, np.arange(60) % 3)) == ()


def test_gain_is_scikit_learns_adjusted_balanced_accuracy():
    random = np.random.default_rng(4)
    label = np.repeat([0, 1, 2], [70, 20, 10])
    told = random.dirichlet([1, 1, 1], 100) + 0.5 * np.eye(3)[label]
    theirs = balanced_accuracy_score(label, told.argmax(axis=1), adjusted=True)
    assert 0.2 < theirs < 0.9
    assert gained(guesses_of(told, label)) == pytest.approx(theirs)
    # Always the larger class is right nine times of ten, and knows nothing.
    always = guesses_of(np.tile([0.9, 0.1], (100, 1)), np.repeat([0, 1], [90, 10]), "ab")
    assert gained(always) == 0


def test_suspicion_is_what_the_label_lacks():
    guesses = guesses_of([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]], [1, 2])
    assert suspicion(guesses) == pytest.approx([0.7, 0.2])


def crossed(seed: int, number: int, gaps: tuple[float, ...]) -> Guesses:
    """Classes around 0 and `gaps` of a plane, asked by scikit-learn's own folds."""
    random = np.random.default_rng(seed)
    centres = np.array([0.0, *gaps])
    label = np.repeat(np.arange(len(centres)), number)
    x = random.normal(size=(len(label), 2)) + centres[label][:, None]
    told = cross_val_predict(LogisticRegression(), x, label, method="predict_proba", cv=4)
    return guesses_of(told, label)


def test_class_split_at_random_is_inseparable():
    """Classes a and b are one, dealt at random into two; c lies apart."""
    (finding,) = inseparable(crossed(0, 300, (0.0, 3.0)))
    assert finding.name == "inseparable-classes"
    assert finding.where == "a, b"
    assert "a coin" in finding.message


def test_classes_that_overlap_are_not_inseparable():
    # Centres one deviation apart in both directions: 84 % of pairs are ranked rightly.
    guesses = crossed(1, 300, (1.0, 3.0))
    assert inseparable(guesses) == ()
    apart = told_apart(guesses, 0, 1)
    assert apart.low < 0.84 < apart.high


def test_few_pictures_prove_nothing():
    assert inseparable(crossed(2, 25, (0.0, 3.0))) == ()


def test_interval_holds_the_truth():
    """Hanley and McNeil's interval of an area of 1/2, in 100 sets of 60 and 90."""
    random, held = np.random.default_rng(3), 0
    label = np.repeat([0, 1], [60, 90])
    for _ in range(100):
        score = random.random(150)
        apart = told_apart(guesses_of(np.stack([score, 1 - score], axis=1), label, "ab"), 0, 1)
        held += apart.low <= 0.5 <= apart.high
    assert held >= 88  # 95 are expected; three deviations of a binomial are 6.5
