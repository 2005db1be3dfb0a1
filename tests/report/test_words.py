from __future__ import annotations

import ast
import shlex
from dataclasses import replace

import numpy as np
import pytest

from saccade.evaluation import Trainings, evaluate
from saccade.evaluation.evaluation import Sureness
from saccade.report import words
from saccade.types import Interval


def plain(text: str) -> str:
    return text.replace(words.NARROW, " ")


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.9734, "97.3 %"),
        (0.0, "0.0 %"),
        (1.0, "100.0 %"),
        (0.9996, "99.96 %"),  # one decimal would read 100.0, which it is not
        (0.00041, "0.04 %"),
        (0.9999999, "> 99.99 %"),
        (0.0000001, "< 0.01 %"),
    ],
)
def test_percent_is_exact_at_ends(share: float, text: str) -> None:
    assert plain(words.percent(share)) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.974, "97 %"), (1.0, "100 %"), (0.9996, "99.9 %"), (0.995, "99.5 %")]
)
def test_whole_percent_never_flatters(share: float, text: str) -> None:
    assert plain(words.whole_percent(share)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.42, "0.4 s"), (12.4, "12 s"), (185, "3 min 5 s"), (7440, "2 h 4 min"), (59.7, "1 min 0 s")],
)
def test_duration_in_words(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


def verdict(confusion: list[list[int]], trainings: Trainings | None = None) -> str:
    """The verdict on figures with this confusion, of which the first class is the guess."""
    labels, said = (np.repeat(k, np.ravel(confusion)) for k in np.indices((2, 2)).reshape(2, -1))
    figures = evaluate(
        np.eye(2)[said],
        labels,
        classes=("cats", "dogs"),
        baseline_class="cats",
        threshold=0.0,
        target_error_rate=0.05,
    )
    return plain(words.answer(figures, trainings).verdict)


def test_verdict_is_of_the_pictures_that_only_one_has_right() -> None:
    """The ranges of the first, 67.6 to 97.3 and 29 to 71 %, overlap; of 15, 12 is seldom chance."""
    assert verdict([[9, 3], [0, 12]]) == (
        "Clearly better than guessing the most frequent class: of the 15 pictures that only one of "
        "the two has right, it has 12."
    )
    assert verdict([[0, 12], [9, 3]]).startswith("Worse than guessing the most frequent class")
    assert verdict([[6, 6], [5, 7]]) == (
        "Not shown to be better than guessing the most frequent class: of the 13 pictures that "
        "only one of the two has right, it has 7, which chance may do."
    )
    assert verdict([[40, 0], [40, 0]]).endswith(
        ": on these pictures both are right and wrong alike."
    )


def test_verdict_over_folds_follows_the_range_that_holds_trainings_too() -> None:
    half = Interval(value=0.5, low=0.4, high=0.6)
    folds = Trainings(folds=2, repeats=1, accuracy=half, each=())
    assert verdict([[9, 3], [0, 12]], folds).endswith("leaves out the 50.0 % of that.")
    assert verdict([[6, 6], [5, 7]], folds).endswith("holds the 50.0 % of that.")


def test_answer_says_few_pictures(digits) -> None:
    wide = Interval(value=0.6, low=0.3, high=0.8)
    few = replace(digits.evaluation, accuracy=wide, num_images=9)
    assert "That is few: the range is 50 points wide" in words.answer(few).sample


def test_answer_says_when_unsure(digits) -> None:
    def sureness(threshold: float, error_rate: Interval | None) -> str:
        given = Sureness(
            threshold=threshold,
            target_error_rate=0.01,
            answered=Interval(value=0.9, low=0.85, high=0.94),
            error_rate=error_rate,
        )
        return plain(words.answer(replace(digits.evaluation, sureness=given)).sureness)

    rate = Interval(value=0.02, low=0.01, high=0.05)
    assert "It answers 90.0 % of the pictures (85.0 % to 94.0 %); 2.0 %" in sureness(0.62, rate)
    assert "2.0 % of those answers are wrong (1.0 % to 5.0 %)" in sureness(0.62, rate)
    assert (
        "below 62.0 % confidence, chosen on validation so that at most 1 % of answers"
        in sureness(0.62, rate)
    )
    assert sureness(1.0000001, None) == (
        "It says “unsure” to every test picture: no confidence kept to at most 1 % of answers "
        "wrong on validation."
    )
    assert "none reaches 62.0 % confidence, chosen on validation" in sureness(0.62, None)
    assert sureness(0.0, rate) == (
        "It answers every picture and never says “unsure”, as chosen on validation so that at most "
        "1 % of answers are wrong; 2.0 % of those answers are wrong (1.0 % to 5.0 %)."
    )


@pytest.mark.parametrize("threshold", [0.0, 0.62])
def test_missed_target_is_said_only_where_the_interval_excludes_it(digits, threshold) -> None:
    def sureness(low: float) -> str:
        given = Sureness(
            threshold=threshold,
            target_error_rate=0.05,
            answered=Interval(value=0.9, low=0.85, high=0.94),
            error_rate=Interval(value=0.08, low=low, high=0.12),
        )
        return plain(words.answer(replace(digits.evaluation, sureness=given)).sureness)

    missed = "On the test pictures that misses the target of 5 % by 3.0 points (1.0 to 7.0)."
    assert sureness(0.06).endswith(f"(6.0 % to 12.0 %). {missed}")
    assert "misses" not in sureness(0.05)


@pytest.mark.parametrize("path", ["a b.saccade", 'it\'s "both".saccade', "C:\\runs\\m.saccade"])
def test_usage_quotes_any_path(path: str) -> None:
    python, shell = words.python_lines(path), words.shell_lines(path)
    literals = [n.value for n in ast.walk(ast.parse(python)) if isinstance(n, ast.Constant)]
    assert literals == [path, "picture.jpg"]
    assert len(python.splitlines()) == 3
    assert shlex.split(shell.splitlines()[0]) == ["saccade", "predict", path, "picture.jpg"]


def test_visible_names_what_hides() -> None:
    assert words.visible("a\x00b\u202ec\udc80") == "a\\x00b\\u202ec\\udc80"
    assert words.visible("naïve 日本 👩‍🌾") == "naïve 日本 👩‍🌾"


def test_shortened_keeps_both_ends() -> None:
    short = words.shortened("start" + "x" * 10_000 + "end")
    assert len(short) <= 120
    assert short.startswith("start")
    assert short.endswith("end")
