"""``saccade check``: what is wrong with labelled pictures, or with a model, before training."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from saccade.cli.text import one_line

if TYPE_CHECKING:
    from saccade.check.finding import Finding
    from saccade.progress import Progress

_MODEL: Final = re.compile(r".+\.keras|[A-Za-z_]\w*(\.\w+)*:[A-Za-z_]\w*", re.DOTALL)
_SHOWN: Final = 5  # rows of each finding; the files and --json have all


def command(
    target: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="Labelled pictures, as for train; or a model, FILE.keras or module:function.",
        ),
    ],
    test: Annotated[str | None, typer.Option(help="Pictures kept for the final score.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Write issues.parquet and exclude.csv to this folder.", readable=False),
    ] = None,
) -> None:
    """Look for trouble in DATA or in a model; change nothing."""
    from saccade import progress
    from saccade.check.finding import to_document

    with progress.for_terminal() as shown:
        findings = _findings(target, test, shown)
    if out is not None:
        from saccade.check.files import write_findings

        write_findings(out, findings)
    if as_json:
        typer.echo(json.dumps(to_document(findings), indent=2, ensure_ascii=False))
    else:
        typer.echo("\n".join(_lines(to_document(findings)["findings"])))


def _findings(target: str, test: str | None, progress: Progress) -> tuple[Finding, ...]:
    if not _MODEL.fullmatch(target):
        from saccade.check.data import check_data

        return check_data(target, test=test, progress=progress)
    if test is not None:
        from saccade.errors import SettingsError

        raise SettingsError("--test is for checking data; leave it out to check a model")
    from saccade.check.doctor import check_model

    return check_model(target)


def _lines(findings: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what a person reads, the worst first."""
    if not findings:
        yield "Nothing found."
    for finding in findings:
        yield f"{finding['severity']:<8} {finding['name']} ({one_line(finding['where'])})"
        yield f"         {one_line(finding['message'])}"
        yield f"         Cure: {one_line(finding['cure'])}"
        rows = finding.get("rows", [])
        for row in rows[:_SHOWN]:
            texts = (row["path"], row.get("other"), row.get("detail"))
            yield "         - " + one_line("  ".join(text for text in texts if text))
        if len(rows) > _SHOWN:
            yield f"         … and {len(rows) - _SHOWN:,} more (--out FOLDER lists all)"
