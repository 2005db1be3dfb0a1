"""The command line: one file a command, heavy imports inside the command that needs them."""

from __future__ import annotations

import errno
import os
import sys

import typer

from saccade import __version__
from saccade.cli import cache, evaluate, info, predict, report, runs, train
from saccade.errors import SaccadeError

app = typer.Typer(
    name="saccade",
    help="Train a classifier from labelled pictures, see honestly how good it is, and use it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help opens three times sooner
)
app.command("train")(train.command)
app.command("evaluate")(evaluate.command)
app.command("predict")(predict.command)
app.command("report")(report.command)
app.command("runs")(runs.command)
app.command("info")(info.command)
app.add_typer(cache.app, name="cache")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Train a classifier from labelled pictures, see honestly how good it is, and use it."""


def main() -> None:
    """Run the command line; the user's mistakes become one line and exit code 2."""
    try:
        app()
    except SaccadeError as error:
        _end(str(error), 2)
    except KeyboardInterrupt:
        _end("interrupted; nothing half-written is left", 130)
    except BrokenPipeError:
        # The reader of our output, such as `head`, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        _end(f"cannot write {error.filename or 'a file'}: {error.strerror}; free some space", 2)


def _end(message: str, code: int) -> None:
    print(f"saccade: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
