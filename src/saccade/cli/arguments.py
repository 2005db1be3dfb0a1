"""Paths that several commands take.

Not `readable`, which would have typer refuse what may not be read in four lines and its own words:
whoever opens the file says so in one.
"""

from __future__ import annotations

from typing import Any, Final

import typer

MODEL: Final[Any] = typer.Argument(help="A model.saccade file, or a run's folder.", readable=False)
OUT: Final[Any] = typer.Option(help="Where runs are kept.", readable=False)
RUN: Final[Any] = typer.Argument(help="A run's folder.", readable=False)
