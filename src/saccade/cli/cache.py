"""``saccade cache``: what is kept between runs and can be made again."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="Pictures kept at training size, and compiled code.")


@app.command("list")
def list_command() -> None:
    """List what `clear` deletes, with its size: pictures at training size, and compiled code."""
    from saccade.data import list_caches
    from saccade.data.cachefolder import compiled_bytes

    found = list_caches()
    for entry in found:
        typer.echo(
            f"{entry.key[:12]}  {entry.bytes / 1e6:10,.1f} MB  "
            f"{entry.num_pictures:10,} pictures  {entry.created}  {entry.name}"
        )
    typer.echo(
        f"{len(found)} kept, {sum(entry.bytes for entry in found) / 1e6:,.1f} MB; "
        f"compiled steps, {compiled_bytes() / 1e6:,.1f} MB"
    )


@app.command("clear")
def clear_command() -> None:
    """Delete the pictures kept at training size and the compiled steps.

    The next run makes them again. Downloaded data sets stay, since they may not be downloadable
    again, and your own files are never touched.
    """
    from saccade.data import clear_caches
    from saccade.data.cachefolder import clear_compiled

    typer.echo(f"freed {(clear_caches() + clear_compiled()) / 1e6:,.1f} MB")
