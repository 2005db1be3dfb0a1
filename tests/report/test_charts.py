from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from saccade.evaluation import LearningPoint, OperatingPoint, Operation, fit_learning_curve
from saccade.report import ReliabilityBin, charts
from saccade.types import Interval


def themed(value: Any) -> Any:
    """What the page's script does, with one colour for all."""
    if isinstance(value, str) and value.startswith("--"):
        return "serif" if value == "--font" else "#123456"
    if isinstance(value, list):
        return [themed(item) for item in value]
    if isinstance(value, dict):
        return {key: themed(item) for key, item in value.items()}
    return value


def test_plotly_accepts_every_figure(digits, large) -> None:
    import plotly.graph_objects as plotly

    drawn = charts.build_charts(digits) | charts.build_charts(large(30))
    assert set(drawn) == {"loss", "accuracy", "reliability", "confusion"}
    for figure in drawn.values():
        plotly.Figure(themed(figure))  # raises ValueError on a property plotly does not know


@pytest.mark.parametrize("share", [1.0, 0.5, 0.0])
def test_accuracy_that_never_changes_is_drawn_among_what_can_be(digits, share) -> None:
    history = {"accuracy": [share] * 3, "val_accuracy": [share] * 3}
    figure = charts.curve(replace(digits, history=history), "accuracy", "Accuracy")
    low, high = figure["layout"]["yaxis"]["range"]
    assert -0.01 < low < share < high < 1.01  # no tick above 100 %, and no line on the edge
    assert high - low > 0.1
    moving = charts.curve(digits, "accuracy", "Accuracy")
    assert "range" not in moving["layout"]["yaxis"]


def test_curve_holds_the_history(digits) -> None:
    figure = charts.curve(digits, "loss", "Loss")
    assert figure is not None
    train, validation = figure["data"]
    assert train["y"] == list(digits.history["loss"])
    assert validation["y"] == list(digits.history["val_loss"])
    assert train["x"] == list(range(1, 25))
    assert figure["layout"]["shapes"][0]["x0"] == digits.best_epoch


def test_curve_with_overflow_leaves_gap(digits) -> None:
    figure = charts.curve(replace(digits, history={"loss": (1.0, float("nan"), 0.5)}), "loss", "")
    assert figure is not None
    assert figure["data"][0]["y"] == [1.0, None, 0.5]
    assert len(figure["data"]) == 1


@pytest.mark.parametrize(
    "history", [{}, {"loss": ()}, {"loss": (0.5,)}, {"loss": (float("inf"),) * 3}]
)
def test_no_curve_without_numbers(digits, history) -> None:
    assert charts.curve(replace(digits, history=history), "loss", "Loss") is None


def test_reliability_bars_are_the_interval() -> None:
    one = ReliabilityBin(
        confidence=0.7, accuracy=Interval(value=0.6, low=0.35, high=0.75), num_images=4
    )
    points = charts.reliability([one])["data"][1]
    assert points["y"][0] + points["error_y"]["array"][0] == pytest.approx(0.75)
    assert points["y"][0] - points["error_y"]["arrayminus"][0] == pytest.approx(0.35)


def test_learning_curve_shows_what_was_measured_and_what_is_foretold() -> None:
    import plotly.graph_objects as plotly

    points = [
        LearningPoint(num_train=n, num_wrong=w, num_scored=200)
        for n, w in ((100, 80), (200, 60), (400, 45), (800, 34))
    ]
    curve = fit_learning_curve(points)
    figure = charts.learning(curve)
    plotly.Figure(themed(figure))
    line, measured, foretold = figure["data"]
    assert measured["x"] == [100, 200, 400, 800]
    assert measured["y"] == [0.4, 0.3, 0.225, 0.17]
    assert foretold["x"] == [1600, 3200]
    for k, one in enumerate(curve.foretold):
        assert foretold["y"][k] + foretold["error_y"]["array"][k] == pytest.approx(one.error.high)
        at_size = line["y"][-1] if k else None
        assert at_size is None or at_size == pytest.approx(one.error.value)


def test_operating_point_lies_on_the_curve_with_its_bars() -> None:
    import plotly.graph_objects as plotly

    recall, precision = (
        Interval(value=v, low=v - 0.1, high=min(v + 0.1, 1.0)) for v in (0.95, 0.6)
    )
    point = OperatingPoint(
        measure="recall", class_name="b", target=0.9, threshold=0.3, promised=0.91
    )
    operation = Operation(point=point, precision=precision, recall=recall)
    figure = charts.precision_recall([(0.5, 0.8), (0.95, 0.6), (1.0, 0.5)], operation)
    plotly.Figure(themed(figure))
    line, drawn = figure["data"]
    assert (drawn["x"], drawn["y"]) == ([0.95], [0.6])
    assert drawn["x"][0] in line["x"]
    assert drawn["error_x"]["array"] == pytest.approx([0.05])
    assert drawn["error_y"]["arrayminus"] == pytest.approx([0.1])
    never = replace(operation, precision=None)
    assert len(charts.precision_recall([(1.0, 0.5)], never)["data"]) == 1


def test_heat_map_right_apart_from_wrong(large) -> None:
    content = large(25)
    right, wrong = charts.heat_map(content.evaluation)["data"]
    matrix = content.evaluation.confusion
    for row in range(25):
        for column in range(25):
            share = matrix[row][column] / sum(matrix[row]) or None
            assert right["z"][row][column] == (share if row == column else None)
            assert wrong["z"][row][column] == (share if row != column else None)


def test_label_is_no_markup() -> None:
    assert charts.label("<b>&\u202e") == "&lt;b&gt;&amp;\\u202e"
    assert len(charts.label("x" * 500)) <= 24
