"""What every benchmark shares: turns, spreads, targets, the machine, the JSON line at the end.

Peers and Saccade take turns within one run (A B A B), so that a machine that slows down slows both.
A figure is the median of its rounds, shown with the lowest and the highest; a ratio is taken within
each round, and then has a median and a spread of its own.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from saccade.machine import describe_machine

VERSION: Final = 1
PACKAGES: Final = ("saccade", "torch", "keras", "numpy", "pillow", "onnxruntime")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Repeated measurements of one thing."""

    unit: str
    median: float
    low: float
    high: float
    samples: tuple[float, ...]  # in the order they were taken

    def __str__(self) -> str:
        span = f"{_short(self.low)} to {_short(self.high)}, {len(self.samples)} rounds"
        return f"{_short(self.median)} {self.unit} ({span})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What was wanted of a figure, and what it was; `got` is None where it was not measured."""

    what: str
    wanted: float
    direction: str  # "at least" or "at most"
    got: float | None

    @property
    def reached(self) -> bool | None:
        """Whether the target is met; None where it was not measured."""
        if self.got is None:
            return None
        return self.got >= self.wanted if self.direction == "at least" else self.got <= self.wanted

    def __str__(self) -> str:
        verdict = {True: "reached", False: "NOT REACHED", None: "not measured"}[self.reached]
        got = "" if self.got is None else f", got {_short(self.got)}"
        return f"{verdict}: {self.what}, wanted {self.direction} {_short(self.wanted)}{got}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one benchmark found."""

    benchmark: str
    settings: Mapping[str, Any]  # sizes, rounds, whether quick: all that the figures rest on
    figures: Mapping[str, Spread]
    targets: Sequence[Target]
    peers: Mapping[str, str]  # versions in the peers' own environment

    def to_json(self) -> dict[str, Any]:
        """Return the result as a document of version 1."""
        return {
            "version": VERSION,
            "benchmark": self.benchmark,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": describe_machine(),
            "load_average": round(os.getloadavg()[0], 2),  # other work on the machine shows here
            "versions": versions(),
            "peers": dict(self.peers),
            "settings": dict(self.settings),
            "figures": {name: asdict(spread) for name, spread in self.figures.items()},
            "targets": [asdict(t) | {"reached": t.reached} for t in self.targets],
        }


def spread(samples: Sequence[float], unit: str) -> Spread:
    """Return the median of some measurements with their lowest and highest.

    Raises ValueError where there are none.
    """
    if not samples:
        raise ValueError("a spread needs at least one measurement")
    return Spread(
        unit=unit,
        median=statistics.median(samples),
        low=min(samples),
        high=max(samples),
        samples=tuple(samples),
    )


def in_turn(
    measures: Mapping[str, Callable[[], float]], *, rounds: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """Call each measure once a round, and return what each gave; warm-up rounds do not count.

    Every other round goes backwards (A B, B A), so that none is always the one after another.
    """
    taken: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(warm_up + rounds):
        names = list(measures) if number % 2 == 0 else list(reversed(measures))
        for name in names:
            value = measures[name]()
            if number >= warm_up:
                taken[name].append(value)
    return taken


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Return ours divided by theirs, round by round."""
    return spread([a / b for a, b in zip(ours, theirs, strict=True)], "times")


def to_fastest(peers: Iterable[str], rates: Mapping[str, Sequence[float]], way: str) -> Spread:
    """Return how many times the rates of the fastest peer one way's are, round by round."""
    best = max(peers, key=lambda name: spread(rates[name], "").median)
    return ratio(rates[way], rates[best])


def at_least(what: str, wanted: float, got: float | None) -> Target:
    """Return a target that more is better for."""
    return Target(what=what, wanted=wanted, direction="at least", got=got)


def at_most(what: str, wanted: float, got: float | None) -> Target:
    """Return a target that less is better for."""
    return Target(what=what, wanted=wanted, direction="at most", got=got)


def versions() -> dict[str, str]:
    """Return the versions of what the figures rest on, as installed here."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def publish(result: Result) -> None:
    """Print the figures and targets for a reader, then the whole as one line of JSON, last."""
    document = result.to_json()
    if result.settings.get("quick"):
        print("quick: this shows that the program runs; its figures mean nothing")
    print(f"machine: {document['machine']}; load {document['load_average']}")
    for name, figure in result.figures.items():
        print(f"{name}: {figure}")
    for target in result.targets:
        print(target)
    print(json.dumps(document), flush=True)


def _short(value: float) -> str:
    """Write a number with about four digits: 8,250, 0.2871, 12.34."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
