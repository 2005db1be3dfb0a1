"""The command line: one file a command, heavy imports inside the command that needs them."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Final

import typer

from saccade import __version__
from saccade.cli import cache, check, evaluate, info, predict, report, runs, train
from saccade.cli.text import one_line
from saccade.errors import SaccadeError

# A path that the user gave, or one below it, which this user's rights or its length forbid.
_PLACE_ERRORS: Final = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP)

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
app.command("check")(check.command)
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
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show
    try:
        app()
    except SaccadeError as error:
        _end(str(error), 2)
    except SystemExit as ending:
        if ending.code == 130:  # typer's answer to Ctrl-C, which says nothing
            _end("interrupted; nothing half-written is left", 130)
        raise
    except BrokenPipeError:
        # The reader of our output, such as `head`, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            place = error.filename or "the output"
            _end(f"cannot write {place}: {error.strerror}; free space or choose another place", 2)
        if error.errno in _PLACE_ERRORS and error.filename:
            _end(f"cannot use {error.filename}: {error.strerror}", 2)
        raise


def _end(message: str, code: int) -> None:
    print(f"saccade: {one_line(' '.join(message.split()))}", file=sys.stderr)
    sys.exit(code)
