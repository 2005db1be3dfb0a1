"""``saccade info``: versions, machine, and what training would use here."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show versions, the machine, and the engine and precision that training would use."""
    facts = collect()
    if as_json:
        typer.echo(json.dumps({"version": 1, **facts}, indent=2, ensure_ascii=False))
        return
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        typer.echo(f"{name:<{width}}  {value if value is not None else 'not installed'}")


def collect() -> dict[str, str | None]:
    """Return what `saccade info` shows, by name."""
    import platform

    from saccade import __version__
    from saccade.data import cache_folder
    from saccade.machine import describe_machine, installed

    facts: dict[str, str | None] = {"saccade": __version__, "python": platform.python_version()}
    facts |= installed()
    facts["machine"] = describe_machine()
    facts["cache"] = str(cache_folder())
    return facts | _training_facts()


def _training_facts() -> dict[str, str | None]:
    from saccade.errors import MissingExtraError
    from saccade.models import check_installed, engine_name
    from saccade.training import choose_precision

    try:
        check_installed()
    except MissingExtraError as error:
        return {"engine": f"none: {error}"}
    engine = engine_name()
    if engine != "torch":
        return {"engine": f"{engine} (Keras's own fit)"}
    return {
        "engine": engine,
        "precision": str(choose_precision("cpu")),
    }
