"""``saccade train``: from pictures to a classifier with an honest report."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Annotated

import typer

from saccade.cli.arguments import (
    BALANCE,
    CHANGES,
    EXCLUDE,
    FINE_TUNE,
    FOLDS,
    GROUP,
    LEARNING_CURVE,
    MODEL_TO_TRAIN,
    OPERATING_POINT,
    OUT,
    REPEATS,
    RESUME,
    WEIGHTS,
)


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
    model: Annotated[str, MODEL_TO_TRAIN] = "auto",
    augment: Annotated[str, CHANGES] = "auto",
    weights: Annotated[Path | None, WEIGHTS] = None,
    cut: Annotated[
        str | None,
        typer.Option(metavar="LAYER", help="The layer of that network to put the head on."),
    ] = None,
    fine_tune: Annotated[bool, FINE_TUNE] = False,
    name: Annotated[str | None, typer.Option(help="The run's name under --out.")] = None,
    out: Annotated[Path, OUT] = Path("runs"),
    seed: Annotated[int, typer.Option(help="The same seed splits and trains the same.")] = 0,
    group: Annotated[str | None, GROUP] = None,
    exclude: Annotated[Path | None, EXCLUDE] = None,
    operating_point: Annotated[str | None, OPERATING_POINT] = None,
    balance: Annotated[str, BALANCE] = "auto",
    folds: Annotated[int | None, FOLDS] = None,
    repeats: Annotated[int, REPEATS] = 1,
    learning_curve: Annotated[bool, LEARNING_CURVE] = False,
    resume: Annotated[Path | None, RESUME] = None,
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
            augment=augment,
            name=name,
            out=out,
            seed=seed,
            group=group,
            exclude=exclude,
            weights=weights,
            cut=cut,
            fine_tune=fine_tune,
            operating_point=operating_point,
            balance=balance,
            folds=folds,
            repeats=repeats,
            learning_curve=learning_curve,
            resume=resume,
            progress=shown,
        )
    gc.freeze()  # Python ends 0.7 s sooner where it need not look through all of keras and torch
    if as_json:
        typer.echo(json.dumps(run.to_json(), indent=2, ensure_ascii=False))
    else:
        typer.echo(answer(run))
