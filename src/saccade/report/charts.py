"""The interactive figures, as the JSON that plotly.js draws.

Written as plain dictionaries: building them through plotly's Python classes costs seconds of
import and checks what the tests check once. A colour is a CSS variable's name, such as ``--right``;
the page puts the colour of the reader's light or dark scheme in its place.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from saccade.evaluation.evaluation import Evaluation
from saccade.evaluation.labels import LabelEvaluation
from saccade.evaluation.learning_curve import LearningCurve
from saccade.evaluation.operating import Operation
from saccade.report import confusion
from saccade.report.content import ReliabilityBin, ReportContent
from saccade.report.words import count, percent, percent_range, pictures, visible
from saccade.types import Interval

Figure = dict[str, Any]
MOST_NAMED: Final = 50  # classes that the axes of a heat map name; beyond, hovering names them
_LONGEST_LABEL: Final = 24

_SERIES = (("train", "", "--muted", "dot"), ("validation", "val_", "--right", "solid"))


def build_charts(content: ReportContent) -> dict[str, Figure]:
    """Return the figures that the content allows, by the name of their place in the page."""
    charts = {
        "loss": curve(content, "loss", "Loss"),
        "accuracy": curve(content, "accuracy", "Accuracy"),
        "reliability": reliability(content.reliability) if content.reliability else None,
        "confusion": None,
        "operation": None,
    }
    if isinstance(content.evaluation, LabelEvaluation):
        return {name: chart for name, chart in charts.items() if chart is not None}
    operation = content.evaluation.operation
    if content.precision_recall and operation is not None:
        charts["operation"] = precision_recall(content.precision_recall, operation)
    if content.next_steps is not None and content.next_steps.curve is not None:
        charts["learning"] = learning(content.next_steps.curve)
    if confusion.form(content.evaluation) == "heat map":
        charts["confusion"] = heat_map(content.evaluation)
    return {name: chart for name, chart in charts.items() if chart is not None}


def curve(content: ReportContent, key: str, title: str) -> Figure | None:
    """Return one measure by epoch, training and validation, the best epoch marked.

    What is not a number (a loss that overflowed) leaves a gap. None for fewer than two epochs: a
    point is no curve, and the table beside it says as much.
    """
    traces = []
    for name, prefix, colour, dash in _SERIES:
        values = _finite(content.history.get(prefix + key, ()))
        if any(value is not None for value in values):
            traces.append(_line(name, values, colour=colour, dash=dash))
    if not traces or len(traces[0]["x"]) < 2:
        return None
    layout = _layout(title="Epoch", vertical=title)
    layout["xaxis"] |= {"rangemode": "tozero", "tickformat": "d"}
    if len(traces[0]["x"]) < 8:
        layout["xaxis"] |= {"dtick": 1}
    if key == "accuracy":
        layout["yaxis"] |= {"tickformat": ".3~p"}  # 95%, 99.5%: as many digits as tell apart
        shown = {value for trace in traces for value in trace["y"] if value is not None}
        if len(shown) == 1:  # Plotly would show one below it to one above: to 200 %
            only = shown.pop()
            layout["yaxis"] |= {"range": [max(only - 0.1, -0.005), min(only + 0.1, 1.005)]}
        for trace in traces:
            trace["hovertemplate"] = "%{y:.1%}"
    if content.best_epoch is not None:
        _mark_epoch(layout, content.best_epoch, len(traces[0]["x"]), at_top=key == "loss")
    return {"data": traces, "layout": layout}


def reliability(bins: Sequence[ReliabilityBin]) -> Figure:
    """Return how often it is right against how sure it says it is, with error bars."""
    most = max(one.num_images for one in bins)
    diagonal = {
        "x": [0, 1],
        "y": [0, 1],
        "mode": "lines",
        "line": {"color": "--muted", "dash": "dot", "width": 1.5},
        "hoverinfo": "skip",
        "name": "as sure as it is right",
    }
    points = {
        "x": [one.confidence for one in bins],
        "y": [one.accuracy.value for one in bins],
        "error_y": {
            "array": [one.accuracy.high - one.accuracy.value for one in bins],
            "arrayminus": [one.accuracy.value - one.accuracy.low for one in bins],
            "color": "--right",
            "thickness": 1.5,
            "width": 4,
        },
        "mode": "markers",
        "marker": {
            "color": "--right",
            "opacity": 1,
            "line": {"color": "--paper", "width": 1},
            "size": [6 + 9 * math.sqrt(one.num_images / most) for one in bins],
        },
        "text": [_bin_text(one) for one in bins],
        "hovertemplate": "%{text}",
        "name": "measured, 95 % interval",
    }
    layout = _layout_of_shares(title="How sure it says it is", vertical="How often it is right")
    return {"data": [diagonal, points], "layout": layout}


def precision_recall(curve: Sequence[tuple[float, float]], operation: Operation) -> Figure:
    """Return the curve of (recall, precision), with the operating point and its error bars."""
    line = {
        "x": [recall for recall, _ in curve],
        "y": [precision for _, precision in curve],
        "mode": "lines",
        "line": {"color": "--muted", "width": 2, "shape": "hv"},
        "hovertemplate": "recall %{x:.1%}, precision %{y:.1%}<extra></extra>",
        "name": "other thresholds",
    }
    layout = _layout_of_shares(title="Recall", vertical="Precision")
    recall, precision = operation.recall, operation.precision
    if recall is None or precision is None:
        return {"data": [line], "layout": layout}
    point = {
        "x": [recall.value],
        "y": [precision.value],
        "error_x": _bars(recall),
        "error_y": _bars(precision),
        "mode": "markers",
        "marker": {"color": "--right", "size": 10},
        "hovertemplate": "recall %{x:.1%}, precision %{y:.1%}<extra></extra>",
        "name": "operating point, 95 % intervals",
    }
    return {"data": [line, point], "layout": layout}


def learning(curve: LearningCurve) -> Figure:
    """Return the share wrong by training pictures: measured, fitted, and foretold, with bars."""
    sizes = [point.num_train for point in curve.points]
    ahead = [one.num_train for one in curve.foretold]
    along = np.geomspace(sizes[0], ahead[-1], 40).tolist()
    line = {
        "x": along,
        "y": [curve.error_at(size) for size in along],
        "mode": "lines",
        "line": {"color": "--muted", "width": 2, "dash": "dot"},
        "hoverinfo": "skip",
        "name": "fitted law",
    }
    measured = _with_bars(sizes, [point.error for point in curve.points], symbol="circle")
    foretold = _with_bars(ahead, [one.error for one in curve.foretold], symbol="circle-open")
    measured["name"], foretold["name"] = "measured, 95 % interval", "foretold, 95 % interval"
    layout = _layout(title="Training pictures", vertical="Validation pictures wrong")
    layout["hovermode"] = "closest"
    layout["xaxis"] |= {
        "type": "log",
        "tickmode": "array",
        "tickvals": [*sizes, *ahead],
        "ticktext": [count(size) for size in (*sizes, *ahead)],
    }
    layout["yaxis"] |= {"rangemode": "tozero", "tickformat": ".3~p"}
    return {"data": [line, measured, foretold], "layout": layout}


def _with_bars(sizes: Sequence[int], errors: Sequence[Interval], *, symbol: str) -> Figure:
    return {
        "x": list(sizes),
        "y": [error.value for error in errors],
        "error_y": {
            "array": [error.high - error.value for error in errors],
            "arrayminus": [error.value - error.low for error in errors],
            "color": "--right",
            "thickness": 1.5,
            "width": 4,
        },
        "mode": "markers",
        "marker": {"color": "--right", "size": 9, "symbol": symbol, "line": {"width": 2}},
        "text": [
            f"{pictures(size)}: {percent(error.value)} wrong, {percent_range(error)}"
            for size, error in zip(sizes, errors, strict=True)
        ],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _bars(interval: Interval) -> Figure:
    return {
        "array": [interval.high - interval.value],
        "arrayminus": [interval.value - interval.low],
        "color": "--right",
        "thickness": 1.5,
        "width": 4,
    }


def heat_map(evaluation: Evaluation) -> Figure:
    """Return the confusion as shares of each true class: right in one colour, wrong in another."""
    matrix = confusion.counts(evaluation)
    names = [label(name) for name in evaluation.classes]
    size = len(names)
    right = np.eye(size, dtype=bool)
    layout = _layout(title="Predicted class", vertical="True class")
    ticks = {
        "tickmode": "array",
        "tickvals": list(range(size)),
        "ticktext": names,
        "tickfont": {"size": 11},
        "showticklabels": size <= MOST_NAMED,
        "showgrid": False,
        "zeroline": False,
        "fixedrange": False,
    }
    layout["xaxis"] |= ticks | {"tickangle": -90}
    layout["yaxis"] |= ticks | {"autorange": "reversed"}
    layout |= {"hovermode": "closest", "dragmode": "zoom"}
    traces = [
        _cells(matrix, right & (matrix > 0), names, colour="--right", full=0.99),
        _cells(matrix, ~right & (matrix > 0), names, colour="--wrong", full=0.4),
    ]
    return {"data": traces, "layout": layout}


def label(name: str) -> str:
    """Return a class name for plotly, which reads its labels as a kind of HTML; at most 24 long."""
    short = name if len(name) <= _LONGEST_LABEL else f"{name[: _LONGEST_LABEL - 1]}…"
    return html.escape(visible(short), quote=False)


def _cells(
    matrix: npt.NDArray[np.int64],
    where: npt.NDArray[np.bool_],
    names: list[str],
    *,
    colour: str,
    full: float,
) -> Figure:
    """Return the cells chosen by `where`; a share of `full` and more has the full colour."""
    share = confusion.shares(matrix)
    size = len(names)
    shades: list[list[float | None]] = [[None] * size for _ in range(size)]
    texts = [[""] * size for _ in range(size)]
    for row, column in np.argwhere(where).tolist():
        part, number = float(share[row, column]), int(matrix[row, column])
        shades[row][column] = round(part, 4)
        texts[row][column] = (
            f"true {names[row]}<br>predicted {names[column]}"
            f"<br>{pictures(number)}, {percent(part)} of the class"
        )
    return {
        "type": "heatmap",
        "z": shades,
        "text": texts,
        "zmin": 0,
        "zmax": 1,
        "colorscale": [[0, f"{colour}-faint"], [full, colour], [1, colour]],
        "showscale": False,
        "xgap": 1 if size <= 60 else 0,
        "ygap": 1 if size <= 60 else 0,
        "hoverongaps": False,
        "hovertemplate": "%{text}<extra></extra>",
    }


def _line(name: str, values: list[float | None], *, colour: str, dash: str) -> Figure:
    return {
        "x": list(range(1, len(values) + 1)),
        "y": values,
        "name": name,
        "mode": "lines+markers" if len(values) < 30 else "lines",
        "line": {"color": colour, "dash": dash, "width": 2},
        "marker": {"size": 5},
        "hovertemplate": "%{y:.3f}",
    }


def _mark_epoch(layout: Figure, epoch: int, num_epochs: int, *, at_top: bool) -> None:
    """Draw the best epoch, its name where the curves are not: losses fall, accuracies rise."""
    line = {"color": "--ink", "width": 1, "dash": "dash"}
    layout["shapes"] = [
        {"type": "line", "x0": epoch, "x1": epoch, "y0": 0, "y1": 1, "yref": "paper", "line": line}
    ]
    late = 2 * epoch > num_epochs
    layout["annotations"] = [
        {
            "x": epoch,
            "y": 1 if at_top else 0,
            "yref": "paper",
            "yanchor": "top" if at_top else "bottom",
            "xanchor": "right" if late else "left",
            "xshift": -4 if late else 4,
            "text": f"kept: epoch {epoch}",
            "showarrow": False,
        }
    ]


def _layout_of_shares(*, title: str, vertical: str) -> Figure:
    """Return the layout of a chart whose axes both go from 0 to 1."""
    layout = _layout(title=title, vertical=vertical)
    layout["hovermode"] = "closest"
    for axis in ("xaxis", "yaxis"):
        layout[axis] |= {"range": [-0.03, 1.04], "tickformat": ".0%", "dtick": 0.2}
    return layout


def _layout(*, title: str, vertical: str) -> Figure:
    axis = {
        "gridcolor": "--line",
        "zerolinecolor": "--line",
        "linecolor": "--line",
        "automargin": True,
        "fixedrange": True,
    }
    return {
        "font": {"family": "--font", "size": 13, "color": "--ink"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 8, "r": 12, "t": 44, "b": 8},
        "xaxis": axis | {"title": {"text": title}},
        "yaxis": axis | {"title": {"text": vertical}},
        "hovermode": "x unified",
        "hoverlabel": {
            "bgcolor": "--paper",
            "bordercolor": "--line",
            "font": {"color": "--ink", "family": "--font"},
        },
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "dragmode": False,
    }


def _bin_text(one: ReliabilityBin) -> str:
    return (
        f"says {percent(one.confidence)}, is right {percent(one.accuracy.value)}"
        f"<br>{percent(one.accuracy.low)} to {percent(one.accuracy.high)}, "
        f"{pictures(one.num_images)}<extra></extra>"
    )


def _finite(values: Sequence[float]) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]
