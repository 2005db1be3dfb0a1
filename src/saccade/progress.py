"""What a long job shows while it works: bars in a terminal, plain lines elsewhere, or nothing.

Everything goes to standard error, so standard output holds results alone.
"""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager


class Stage(ABC):
    """One stage of a job, such as scanning; `total` units of work, or unknown."""

    @abstractmethod
    def advance(self, amount: float = 1) -> None:
        """Count `amount` more units as done."""

    @abstractmethod
    def describe(self, text: str) -> None:
        """Show `text` beside the stage, such as the loss so far."""


class Progress(ABC):
    """Shows stages and notes; use as a context manager so that a terminal is left clean."""

    @abstractmethod
    def start(self, name: str, total: float | None) -> Stage:
        """Begin a stage; prefer `stage`, which also ends it."""

    @abstractmethod
    def finish(self, stage: Stage) -> None:
        """End a stage begun with `start`."""

    @abstractmethod
    def note(self, text: str) -> None:
        """Show one line that stays."""

    def close(self) -> None:  # noqa: B027  (nothing to release unless a subclass says so)
        """Leave the terminal as it was."""

    @contextmanager
    def stage(self, name: str, total: float | None = None) -> Iterator[Stage]:
        """Show a stage for as long as the block runs."""
        stage = self.start(name, total)
        try:
            yield stage
        finally:
            self.finish(stage)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class _SilentStage(Stage):
    def advance(self, amount: float = 1) -> None:
        pass

    def describe(self, text: str) -> None:
        pass


class Silence(Progress):
    """Shows nothing."""

    def start(self, name: str, total: float | None) -> Stage:
        return _SilentStage()

    def finish(self, stage: Stage) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class _LineStage(Stage):
    def __init__(self, name: str, total: float | None) -> None:
        self.name, self.total = name, total
        self.done, self.text = 0.0, ""
        self.started = self.shown = time.monotonic()

    def advance(self, amount: float = 1) -> None:
        self.done += amount
        if time.monotonic() - self.shown > 10:
            self.shown = time.monotonic()
            print(self.line(), file=sys.stderr, flush=True)

    def describe(self, text: str) -> None:
        self.text = text

    def line(self, *, ended: bool = False) -> str:
        """Return the stage as it stands: ``scan: 500 of 1,000, 20.0 s, about 20 s left``."""
        elapsed = time.monotonic() - self.started
        share = f"{self.done:,.0f}" + (f" of {self.total:,.0f}" if self.total else "")
        left = "" if ended else self._left(elapsed)
        parts = [share if self.done else "", f"{elapsed:.1f} s", self.text, left]
        return f"{self.name}: " + ", ".join(part for part in parts if part)

    def _left(self, elapsed: float) -> str:
        """Return the time left in words; nothing before 1 % is done, when it would be a guess."""
        if not self.total or not 0.01 * self.total <= self.done < self.total:
            return ""
        return f"about {elapsed * (self.total - self.done) / self.done:,.0f} s left"


class Lines(Progress):
    """Plain lines, for logs and pipes: one when a stage ends, one every ten seconds before."""

    def start(self, name: str, total: float | None) -> Stage:
        return _LineStage(name, total)

    def finish(self, stage: Stage) -> None:
        if isinstance(stage, _LineStage):
            print(stage.line(ended=True), file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class Bars(Progress):
    """Bars that redraw in place, for a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as RichProgress

        self._rich = RichProgress(
            TextColumn("{task.description:<12}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            console=Console(stderr=True),
        )
        self._rich.start()

    def start(self, name: str, total: float | None) -> Stage:
        return _BarStage(self._rich, name, total)

    def finish(self, stage: Stage) -> None:
        if isinstance(stage, _BarStage):
            stage.stop()

    def note(self, text: str) -> None:
        self._rich.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        self._rich.stop()


class _BarStage(Stage):
    def __init__(self, rich, name: str, total: float | None) -> None:  # type: ignore[no-untyped-def]
        self._rich = rich
        self._task = rich.add_task(name, total=total, text="")

    def advance(self, amount: float = 1) -> None:
        self._rich.advance(self._task, amount)

    def describe(self, text: str) -> None:
        self._rich.update(self._task, text=text)

    def stop(self) -> None:
        self._rich.stop_task(self._task)


def for_terminal() -> Progress:
    """Return bars where standard error is a terminal, plain lines elsewhere."""
    return Bars() if sys.stderr.isatty() else Lines()
