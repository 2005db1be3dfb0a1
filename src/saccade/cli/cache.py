"""``saccade cache``: the pictures kept at training size."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="Pictures kept at training size between runs.")


@app.command("list")
def list_command() -> None:
    """List what is kept, with its size."""
    from saccade.data import list_caches

    found = list_caches()
    for entry in found:
        typer.echo(
            f"{entry.key[:12]}  {entry.bytes / 1e6:10,.1f} MB  "
            f"{entry.num_pictures:10,} pictures  {entry.created}  {entry.name}"
        )
    typer.echo(f"{len(found)} kept, {sum(entry.bytes for entry in found) / 1e6:,.1f} MB")


@app.command("clear")
def clear_command() -> None:
    """Delete what is kept; the next run makes it again. Your own files are never touched."""
    from saccade.data import clear_caches

    typer.echo(f"freed {clear_caches() / 1e6:,.1f} MB")
