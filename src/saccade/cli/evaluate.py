"""``saccade evaluate``: how good is this model on these pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from saccade.cli.arguments import MODEL


def command(
    model: Annotated[Path, MODEL],
    data: Annotated[str, typer.Argument(help="Labelled pictures, as for train.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Score MODEL on the pictures of DATA that it was not trained on."""
    from saccade import progress, recipe
    from saccade.cli.words import scored

    with progress.for_terminal() as shown:
        result = recipe.evaluate(model, data, progress=shown)
    if as_json:
        typer.echo(json.dumps(result.to_json(), indent=2, ensure_ascii=False))
    else:
        typer.echo(scored(result))
