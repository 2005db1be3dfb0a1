"""The rows of `growth` as one SVG file: cost against size, both in logarithms, no library needed.

    python -m benchmarks.growth_plot ROWS.json PICTURE.svg

One panel for each number that was varied, one line a stage, and a grey dotted line that grows as
fast as the input. Colours are readable on white and on black.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

COLOURS: Final = {
    "scan": "#4477aa",
    "cache": "#228833",
    "copies": "#cc7722",
    "train": "#ee6677",
    "bundle": "#8888aa",
    "test": "#aa3377",
    "report": "#2299aa",
}
TITLES: Final = {
    "pictures": "pictures (28 px, 10 classes)",
    "classes": "classes (20,000 pictures, 28 px)",
    "side": "side in px (1,000 photographs)",
}
_WIDTH, _HEIGHT, _MARGIN = 300, 300, 56
_LEGEND_WIDTH = 800
_LEAST_S, _MOST_S = 0.01, 1000.0

Point = tuple[float, float]


def draw(rows: Mapping[str, Any]) -> str:
    """Return the SVG document of what `growth` kept."""
    axes = [axis for axis in TITLES if any(key.split()[0] == axis for key in rows)]
    width = max(len(axes) * (_WIDTH + _MARGIN) + 24, _LEGEND_WIDTH)
    height = _HEIGHT + 2 * _MARGIN
    body = [line for place, axis in enumerate(axes) for line in _panel(rows, axis, place)]
    body += _legend(height - 10)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            'font-family="sans-serif" font-size="12" fill="none">',
            f'<rect width="{width}" height="{height}" fill="white"/>',
            *body,
            "</svg>\n",
        ]
    )


def _panel(rows: Mapping[str, Any], axis: str, place: int) -> Iterator[str]:
    sizes = sorted(int(key.split()[1]) for key in rows if key.split()[0] == axis)
    left, top = _MARGIN + place * (_WIDTH + _MARGIN), 24
    low, high = math.log10(sizes[0]), math.log10(max(sizes[-1], sizes[0] + 1))

    def at(size: float, seconds: float) -> Point:
        across = (math.log10(size) - low) / (high - low)
        held = min(max(seconds, _LEAST_S), _MOST_S)
        up = math.log10(held / _LEAST_S) / math.log10(_MOST_S / _LEAST_S)
        return left + across * _WIDTH, top + (1 - up) * _HEIGHT

    yield from _frame(sizes, at, TITLES[axis], with_title=place == 0)
    power = 2 if axis == "side" else 1
    last = max(_cpu(rows, axis, sizes[-1], name) for name in COLOURS)
    guide = [at(size, last * 2 * (size / sizes[-1]) ** power) for size in sizes]
    yield _line(guide, "#999999", 'stroke-dasharray="2 4"')
    for name, colour in COLOURS.items():
        points = [at(size, _cpu(rows, axis, size, name)) for size in sizes]
        yield _line(points, colour)
        yield from (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in points
        )


def _cpu(rows: Mapping[str, Any], axis: str, size: int, name: str) -> float:
    return float(rows[f"{axis} {size}"]["stages"][name]["cpu_seconds"])


def _frame(sizes: Sequence[int], at: Any, title: str, *, with_title: bool) -> Iterator[str]:
    for power in range(round(math.log10(_LEAST_S)), round(math.log10(_MOST_S)) + 1):
        (x0, y), (x1, _) = at(sizes[0], 10.0**power), at(sizes[-1], 10.0**power)
        yield f'<path d="M{x0:.1f} {y:.1f}H{x1:.1f}" stroke="#dddddd"/>'
        yield _text(x0 - 6, y + 4, f"{10.0**power:g}", "end")
    for size in sizes:
        x, y = at(size, _LEAST_S)
        yield f'<path d="M{x:.1f} {y:.1f}v4" stroke="#666666"/>'
        yield _text(x, y + 18, f"{size:,}", "middle")
    (x0, y0), (x1, _) = at(sizes[0], _LEAST_S), at(sizes[-1], _LEAST_S)
    yield _text((x0 + x1) / 2, y0 + 36, title, "middle")
    if with_title:
        yield _text(x0 - 40, 14, "seconds of processor time", "start")


def _legend(y: float) -> Iterator[str]:
    x = float(_MARGIN)
    for name, colour in {**COLOURS, "as the input grows": "#999999"}.items():
        dashes = 'stroke-dasharray="2 4"' if name not in COLOURS else ""
        yield _line([(x, y - 4), (x + 20, y - 4)], colour, dashes)
        yield _text(x + 26, y, name, "start")
        x += 46 + 8 * len(name)


def _line(points: Sequence[Point], colour: str, more: str = "") -> str:
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path d="M{path}" stroke="{colour}" stroke-width="2" {more}/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#333333">{escape(text)}</text>'
    )


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(draw(json.loads(Path(sys.argv[1]).read_text())))
