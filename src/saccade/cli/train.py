"""``saccade train``: from pictures to a classifier with an honest report."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Annotated

import typer

from saccade.cli.arguments import OUT


def command(
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA",
            help="A folder of class folders, an archive or a table of them, or digits, "
            "fashion-mnist, mnist, cifar10.",
        ),
    ] = None,
    test: Annotated[str | None, typer.Option(help="Pictures kept for the final score.")] = None,
    budget: Annotated[
        str | None, typer.Option(help="Time for the whole run, such as 90s, 5m, 1h. [default: 5m]")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data, not a time.")] = None,
    model: Annotated[
        str,
        typer.Option(
            help="auto, a tutorial's network (t5), one of keras.applications (InceptionV3), "
            "FILE.keras or module:function."
        ),
    ] = "auto",
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Pretrained weights, without the head, for a network of keras.applications; "
            "without FILE Keras downloads ImageNet's.",
            readable=False,
        ),
    ] = None,
    cut: Annotated[
        str | None,
        typer.Option(metavar="LAYER", help="The layer of that network to put the head on."),
    ] = None,
    fine_tune: Annotated[
        bool,
        typer.Option(
            "--fine-tune",
            help="Then train the layers below too, for the rest of the budget, and keep that "
            "only where validation says it is better.",
        ),
    ] = False,
    name: Annotated[str | None, typer.Option(help="The run's name under --out.")] = None,
    out: Annotated[Path, OUT] = Path("runs"),
    seed: Annotated[int, typer.Option(help="The same seed splits and trains the same.")] = 0,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Go on with a run that was stopped; with --epochs, to the very same weights.",
            readable=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Train on DATA and judge the result once on pictures it never saw."""
    from saccade import progress, recipe
    from saccade.cli.words import answer

    with progress.for_terminal() as shown:
        run = recipe.train(
            data,
            test=test,
            budget=budget,
            epochs=epochs,
            model=model,
            name=name,
            out=out,
            seed=seed,
            weights=weights,
            cut=cut,
            fine_tune=fine_tune,
            resume=resume,
            progress=shown,
        )
    gc.freeze()  # Python ends 0.7 s sooner where it need not look through all of keras and torch
    if as_json:
        typer.echo(json.dumps(run.to_json(), indent=2, ensure_ascii=False))
    else:
        typer.echo(answer(run))
