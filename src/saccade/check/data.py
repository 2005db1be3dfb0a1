"""What a person should know of labelled pictures before training on them.

    findings = check_data("photos/", progress=progress)
    examined = examine("photos/", labels=LabelSettings(budget_s=120), progress=progress)

Opens, scans, looks at every picture once, and asks each check in turn. Only reads. Labels are
judged on request, since that takes the time of training.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from saccade.check import classes, folds, pictures
from saccade.check.folds import LabelSettings
from saccade.check.labels import judged
from saccade.check.pairs import CONFLICTING, IN_SERIES, copies, find_copies
from saccade.check.thumbnails import Looks, look
from saccade.check.units import alike_series
from saccade.data import Index, Kin, LabelSets, Source, build_index, open_source
from saccade.finding import Finding, Row
from saccade.progress import Progress, Silence

# Each row of these findings names a picture that training is better off without. A label that is
# likely wrong is none: it wants correcting, and a network's doubt would drop the hard pictures.
LEFT_OUT: Final = frozenset({"unreadable", "blank"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Examined:
    """What was found, and what it was found in."""

    source: Source
    index: Index
    looks: Looks
    findings: tuple[Finding, ...]  # copies first


def check_data(
    data: Any, *, test: Any = None, progress: Progress | None = None
) -> tuple[Finding, ...]:
    """Return what is wrong with `data` (anything that `open_source` takes), copies first.

    Raises DataError where there is nothing to read.
    """
    return examine(data, test=test, progress=progress).findings


def examine(
    data: Any,
    *,
    test: Any = None,
    labels: LabelSettings | None = None,
    multi_label: bool = False,
    progress: Progress | None = None,
) -> Examined:
    """Return what is wrong with `data`, and the pictures; judge labels where `labels` is given.

    With `multi_label` a picture has any number of labels; `labels` cannot judge those.
    Raises DataError where there is nothing to read; where `labels` is given, MissingExtraError and
    SettingsError for what judging takes and is not there.
    """
    progress = progress or Silence()
    if labels is not None:
        folds.check(labels)
    source = open_source(data, test=test, multi_label=multi_label, progress=progress)
    index = build_index(source, progress=progress)
    sets = LabelSets.of(index.classes) if multi_label else None
    # Before the look at all pictures: a pattern that finds nothing is told at once.
    named = None if labels is None else folds.named_groups(source, index, labels)
    looks = look(source, index, progress=progress)
    found = find_copies(index, looks)
    kin = Kin(groups=named, near=found.near)
    series, together = alike_series(index, looks), kin
    if labels is None or labels.group is None:
        together = replace(kin, groups=series)
    findings = (
        *copies(index, found, series),
        *pictures.unreadable(index, looks),
        *pictures.blank(index, looks),
        *pictures.dark(index, looks),
        *pictures.blurred(index, looks),
        *pictures.extreme_shapes(index, looks),
        *pictures.wrong_extensions(index, looks),
        *pictures.animated(index, looks),
        *pictures.odd_modes(index, looks),
        *classes.one_alone(index, sets),
        *classes.too_few(index, sets),
        *classes.uneven(index, sets),
        *classes.given_away(index, looks, together),
    )
    if labels is not None:
        findings += judged(source, index, looks, labels, kin=kin, progress=progress)
    return Examined(source=source, index=index, looks=looks, findings=findings)


def to_exclude(
    findings: Iterable[Finding], *, read: Collection[str] = frozenset()
) -> tuple[Row, ...]:
    """Return the pictures proposed for leaving out, each once, with the row that says why.

    A row of a table that cannot be used is not proposed where another has `read` its path. A copy
    is proposed only while the picture that it is a copy of stays, and while no pair of two labels
    names it: which of those is right, a person decides. Frames of one film stay.
    """
    findings = tuple(findings)
    in_doubt = {row.path for finding in findings if _is_conflict(finding) for row in finding.rows}
    chosen: dict[str, Row] = {}
    for finding in findings:
        if finding.name.endswith(IN_SERIES):
            continue
        for row in finding.rows:
            if row.path in chosen or row.other in chosen:
                continue
            if finding.name == "unreadable" and row.path in read:
                continue
            if finding.name in LEFT_OUT or (row.other and row.path not in in_doubt):
                chosen[row.path] = row
    return tuple(chosen.values())


def _is_conflict(finding: Finding) -> bool:
    return finding.name.endswith(CONFLICTING)
