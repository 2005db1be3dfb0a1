"""``saccade check``: what is wrong with labelled pictures, or with a model, before training."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from saccade.cli.text import one_line
from saccade.errors import SettingsError

if TYPE_CHECKING:
    from saccade.finding import Finding
    from saccade.progress import Progress

_SHOWN: Final = 5  # rows of each finding; the files and --json have all


def command(
    given: Annotated[
        str,
        typer.Argument(
            metavar="DATA|MODEL",
            help="Labelled pictures, as for train; or FILE.keras, module:function, or a tutorial's "
            "network (t5).",
        ),
    ],
    data: Annotated[
        str | None, typer.Option(help="Labelled pictures that a MODEL shall be trained on.")
    ] = None,
    test: Annotated[str | None, typer.Option(help="Pictures kept for the final score.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Write issues.parquet and exclude.csv to this folder.", readable=False),
    ] = None,
) -> None:
    """Look for trouble in DATA, or in a MODEL; change nothing."""
    from saccade import progress
    from saccade.finding import to_document

    with progress.for_terminal() as shown:
        findings = _findings(given, data=data, test=test, progress=shown)
    if out is not None:
        from saccade.check.files import write_findings

        write_findings(out, findings)
    if as_json:
        typer.echo(json.dumps(to_document(findings), indent=2, ensure_ascii=False))
    else:
        typer.echo("\n".join(_lines(to_document(findings)["findings"])))


def _findings(
    given: str, *, data: str | None, test: str | None, progress: Progress
) -> tuple[Finding, ...]:
    from saccade.models import names_model

    if names_model(given):
        from saccade.check.model import check_model

        if test is not None:
            raise SettingsError("--test goes with pictures; a model is checked with --data alone")
        return check_model(given, data=data, progress=progress)
    from saccade.check.data import check_data

    if data is not None:
        raise SettingsError(
            f"--data goes with a model, and {given!r} is none: give a .keras file, "
            "module:function or a tutorial's network such as t5"
        )
    return check_data(given, test=test, progress=progress)


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
