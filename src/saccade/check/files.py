"""What a check leaves behind: a table of issues, what to leave out, and a page to look at."""

from __future__ import annotations

import csv
from pathlib import Path

from saccade.check.data import Examined, to_exclude
from saccade.check.page import write_page
from saccade.errors import MissingExtraError
from saccade.files import atomic_path
from saccade.finding import Finding, Row

ISSUES, EXCLUDE, PAGE = "issues.parquet", "exclude.csv", "check.html"


def write_findings(folder: Path, examined: Examined) -> None:
    """Write issues.parquet (a row a picture and problem), exclude.csv, and check.html.

    Raises SettingsError where the folder cannot be written.
    """
    findings = examined.findings
    read = set(examined.index.path[examined.looks.seen])
    write_issues(folder, findings)
    with (
        atomic_path(folder / EXCLUDE) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as stream,
    ):
        table = csv.writer(stream)
        table.writerow(["path", "other", "detail"])
        table.writerows(
            [row.path, row.other, row.detail] for row in to_exclude(findings, read=read)
        )
    write_page(folder / PAGE, examined)


def write_issues(folder: Path, findings: tuple[Finding, ...]) -> None:
    """Write issues.parquet; raise SettingsError where the folder cannot be written."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError(needed_for="the table of issues", extra="train") from error
    text, number = pyarrow.string(), pyarrow.float64()
    names = ("name", "severity", "path", "score", "other", "detail")
    schema = pyarrow.schema([(name, number if name == "score" else text) for name in names])
    issues = [
        {"name": finding.name, "severity": finding.severity}
        | {name: getattr(row, name) for name in names[2:]}
        for finding in findings
        # A finding on a class or a layer has no picture; its place stands instead.
        for row in finding.rows or (Row(path=finding.where, score=1.0, detail=finding.message),)
    ]
    table = pyarrow.Table.from_pylist(issues, schema=schema)
    with atomic_path(folder / ISSUES) as temporary, temporary.open("wb") as stream:
        pyarrow.parquet.write_table(table, stream, compression="zstd")
