"""``saccade runs``: what was trained here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from saccade.cli.arguments import OUT


def command(
    out: Annotated[Path, OUT] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the runs under --out, newest last."""
    from saccade.cli.words import run_line
    from saccade.run import list_runs

    found = list_runs(out)
    if as_json:
        runs = [entry.to_json() for entry in found]
        typer.echo(json.dumps({"version": 1, "runs": runs}, indent=2, ensure_ascii=False))
    elif not found:
        typer.echo(f"no runs under {out}; `saccade train DATA` makes one")
    for entry in found if not as_json else ():
        typer.echo(run_line(entry))
