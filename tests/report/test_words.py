from __future__ import annotations

import ast
import shlex
from dataclasses import replace

import pytest

from saccade.evaluation.evaluation import Evaluation, Sureness
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


def with_accuracy(evaluation: Evaluation, accuracy: Interval, baseline: Interval) -> Evaluation:
    return replace(evaluation, accuracy=accuracy, baseline_accuracy=baseline)


def test_verdict_follows_intervals(digits) -> None:
    low, middle, high = (Interval(value=v, low=v - 0.05, high=v + 0.05) for v in (0.30, 0.38, 0.60))
    evaluation = digits.evaluation
    better = words.answer(with_accuracy(evaluation, high, low)).verdict
    worse = words.answer(with_accuracy(evaluation, low, high)).verdict
    unclear = words.answer(with_accuracy(evaluation, middle, low)).verdict
    assert better.startswith("Clearly better")
    assert worse.startswith("Worse")
    assert unclear.startswith("Not shown to be better")


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
