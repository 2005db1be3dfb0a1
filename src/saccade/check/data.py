"""What a person should know of labelled pictures before training on them.

    findings = check_data("photos/", progress=progress)

Opens, scans, looks at every picture once, and asks each check in turn. Only reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from saccade.check import classes, pictures
from saccade.check.pairs import copies
from saccade.check.thumbnails import look
from saccade.data import build_index, open_source
from saccade.finding import Finding, Row
from saccade.progress import Progress, Silence

# Each row of these findings names a picture that training is better off without.
LEFT_OUT: Final = frozenset({"unreadable", "blank"})


def check_data(
    data: Any, *, test: Any = None, progress: Progress | None = None
) -> tuple[Finding, ...]:
    """Return what is wrong with `data` (anything that `open_source` takes), copies first.

    Raises DataError where there is nothing to read.
    """
    progress = progress or Silence()
    source = open_source(data, test=test, progress=progress)
    index = build_index(source, progress=progress)
    looks = look(source, index, progress=progress)
    return (
        *copies(index, looks),
        *pictures.unreadable(index, looks),
        *pictures.blank(index, looks),
        *pictures.dark(index, looks),
        *pictures.blurred(index, looks),
        *pictures.extreme_shapes(index, looks),
        *pictures.wrong_extensions(index, looks),
        *classes.too_few(index),
        *classes.uneven(index),
        *classes.given_away(index, looks),
    )


def to_exclude(findings: Iterable[Finding]) -> tuple[Row, ...]:
    """Return the pictures proposed for leaving out, each once, with the row that says why.

    A copy is proposed only while the picture that it is a copy of stays.
    """
    chosen: dict[str, Row] = {}
    for finding in findings:
        for row in finding.rows:
            if row.path in chosen or row.other in chosen:
                continue
            if row.other or finding.name in LEFT_OUT:
                chosen[row.path] = row
    return tuple(chosen.values())
