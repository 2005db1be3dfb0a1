"""``saccade check``: what is wrong with labelled pictures, or with a model, before training."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from saccade.cli.arguments import MULTI_LABEL
from saccade.cli.text import one_line
from saccade.errors import SettingsError

if TYPE_CHECKING:
    from saccade.check.folds import LabelSettings
    from saccade.finding import Finding
    from saccade.progress import Progress

_SHOWN: Final = 5  # rows of each finding; the files and --json have all
_OUT: Final = typer.Option(
    help="Write check.html, issues.parquet and exclude.csv to this folder; of a MODEL, "
    "issues.parquet alone.",
    readable=False,
)


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
    out: Annotated[Path | None, _OUT] = None,
    labels: Annotated[
        bool, typer.Option("--labels", help="Train, to find labels that are likely wrong.")
    ] = False,
    budget: Annotated[
        str | None, typer.Option(help="Time for --labels, such as 90s, 5m. [default: 2m]")
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="For --labels: a file of weights of keras.applications, such as a MobileNet's, "
            "whose features take the place of training; best for few photographs.",
            readable=False,
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="GROUP",
            help="For --labels: what belongs together, and is judged together: a table's column or "
            "a pattern on each path, as for train.",
        ),
    ] = None,
    multi_label: Annotated[bool, MULTI_LABEL] = False,
) -> None:
    """Look for trouble in DATA, or in a MODEL; change nothing."""
    from saccade import progress
    from saccade.check.labels import NOT_JUDGED, NOT_TOLD
    from saccade.finding import to_document
    from saccade.models import names_model

    settings = _label_settings(labels, budget, weights, group)
    is_model = names_model(given)
    with progress.for_terminal() as shown:
        if is_model:
            if test is not None or labels or multi_label:
                raise SettingsError(
                    "--test, --labels and --multi-label go with pictures; a model takes --data"
                )
            findings = _of_model(given, data=data, out=out, progress=shown)
        else:
            if data is not None:
                raise SettingsError(
                    f"--data goes with a model, and {given!r} is none: give a .keras file, "
                    "module:function or a tutorial's network such as t5"
                )
            if labels and multi_label:
                raise SettingsError(
                    "--labels judges one class a picture; leave it out with --multi-label"
                )
            asked = {"test": test, "labels": settings, "multi_label": multi_label}
            findings = _of_data(given, asked, out=out, progress=shown)
    document = dict(to_document(findings))
    if as_json:
        judged = labels and all(finding.name not in (NOT_JUDGED, NOT_TOLD) for finding in findings)
        more = {} if is_model else {"labels_judged": judged}
        typer.echo(json.dumps(document | more, indent=2, ensure_ascii=False))
        return
    typer.echo("\n".join(_lines(document["findings"])))
    if not (is_model or labels or multi_label):
        typer.echo("Labels were not looked at; --labels does so, in 2 minutes or a --budget.")


def _of_model(
    name: str, *, data: str | None, out: Path | None, progress: Progress
) -> tuple[Finding, ...]:
    from saccade.check.files import write_issues
    from saccade.check.model import check_model

    findings = check_model(name, data=data, progress=progress)
    if out is not None:
        write_issues(out, findings)
    return findings


def _of_data(
    data: str, asked: dict[str, Any], *, out: Path | None, progress: Progress
) -> tuple[Finding, ...]:
    from saccade.check.data import examine
    from saccade.check.files import write_findings

    examined = examine(data, progress=progress, **asked)
    if out is not None:
        write_findings(out, examined)
    return examined.findings


def _label_settings(
    labels: bool, budget: str | None, weights: Path | None, group: str | None
) -> LabelSettings | None:
    """Return what judging the labels may take; None where it was not asked for."""
    if not labels:
        if any(given is not None for given in (budget, weights, group)):
            raise SettingsError("--budget, --weights and --group belong to --labels; add it")
        return None
    from saccade.check.folds import DEFAULT_BUDGET_S, LabelSettings
    from saccade.config import parse_duration

    budget_s = DEFAULT_BUDGET_S if budget is None else parse_duration(budget)
    return LabelSettings(budget_s=budget_s, weights=weights, group=group)


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
