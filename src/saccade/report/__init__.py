"""One HTML file that tells how good a classifier is; it opens offline, in any browser."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saccade.report.content import LayerRow, Picture, ReliabilityBin, ReportContent
    from saccade.report.from_run import write_run_report
    from saccade.report.page import write_report

__all__ = [
    "LayerRow",
    "Picture",
    "ReliabilityBin",
    "ReportContent",
    "write_report",
    "write_run_report",
]

_PLACES = {
    "LayerRow": "content",
    "Picture": "content",
    "ReliabilityBin": "content",
    "ReportContent": "content",
    "write_report": "page",
    "write_run_report": "from_run",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
