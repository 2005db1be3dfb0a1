"""``saccade report``: write a run's report again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from saccade.cli.arguments import RUN


def command(run: Annotated[Path, RUN]) -> None:
    """Write the report of RUN again and print where it is."""
    from saccade.report import write_run_report
    from saccade.run import open_run

    typer.echo(str(write_run_report(open_run(run))))
