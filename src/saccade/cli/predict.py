"""``saccade predict``: what is on these pictures."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from saccade.cli.arguments import MODEL


class Format(StrEnum):
    """How predictions are written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def command(
    model: Annotated[Path, MODEL],
    pictures: Annotated[list[str], typer.Argument(help="Pictures, folders or patterns.")],
    form: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.TABLE,
    output: Annotated[
        Path | None,
        typer.Option(help="Write here instead of standard output.", readable=False),
    ] = None,
) -> None:
    """Name the class of each picture; say "unsure" or "unknown" where the model does not know."""
    import sys

    from saccade import files
    from saccade.cli import predictions, words
    from saccade.predict import find_pictures, load

    classifier = load(model)
    kind = {"several_labels": classifier.manifest.several_labels}
    found = classifier.predict_files(find_pictures(pictures))
    if output is None:
        tally = predictions.write(sys.stdout, found, form, classifier.classes, **kind)
        if form == Format.TABLE and tally.unknown and sys.stderr.isatty():  # for people alone
            for line in words.refused_lines(classifier.manifest.refused):
                typer.echo(line, err=True)
    else:
        with (
            files.atomic_path(output) as temporary,
            temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream,
        ):
            tally = predictions.write(stream, found, form, classifier.classes, **kind)
    if tally.failed:
        raise typer.Exit(2)
