"""One HTML file that tells how good a classifier is; it opens offline, in any browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saccade.lazy import lazy_names

if TYPE_CHECKING:
    from saccade.report.content import Changes, LayerRow, Picture, ReliabilityBin, ReportContent
    from saccade.report.from_run import write_run_report
    from saccade.report.page import write_report

__all__ = [
    "Changes",
    "LayerRow",
    "Picture",
    "ReliabilityBin",
    "ReportContent",
    "write_report",
    "write_run_report",
]

_HOME = {
    "Changes": "content",
    "LayerRow": "content",
    "Picture": "content",
    "ReliabilityBin": "content",
    "ReportContent": "content",
    "write_report": "page",
    "write_run_report": "from_run",
}

__getattr__, __dir__ = lazy_names(__name__, _HOME)
