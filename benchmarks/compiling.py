"""What a process waits for before T5's training runs at its pace: compiling, at first and kept.

    python -m benchmarks.compiling [--quick] [--rounds 3]

A fresh process makes T5's network and trains on batches of 32 by the step that `saccade.fit` uses.
The cost is the time from beginning to make the step ready to the end of its first batch, less what
a later batch takes. Each round begins with an empty cache: the first process finds nothing there
(cold), the second what the first kept (warm). Both ways take their turn: the kernels of our own,
which are chosen by default, and PyTorch's compiler, which ``SACCADE_COMPILE=on`` asks for besides.
The processor time of the process until then stands beside it, since other work on the machine adds
less to it. Imports are left out: a process that compiles nothing waits for them too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import run_json
from benchmarks.timing import Result, Spread, Target, at_most, publish, spread

WARM_S = 3.0
BATCH, STEPS = 32, 20
OURS, BOTH = "our kernels", "PyTorch's compiler too"


def measure_here() -> dict[str, Any]:
    """Return what making T5's step ready costs in this process, and what a later step takes."""
    from benchmarks.fit_worker import network
    from saccade.models.backend import load_keras
    from saccade.training.step import TrainingStep

    model, random = network(load_keras(), "t5"), np.random.default_rng(0)
    x = random.random((BATCH, 28, 28, 1), dtype=np.float32)
    y = random.integers(0, 10, BATCH)
    before, taken, began = time.process_time(), [], time.perf_counter()
    step = TrainingStep(model)
    if step.forward.pays(seconds_a_step=None, num_steps=STEPS):  # where the variable asks for it
        step.compile()
    float(step.train(x, y))
    taken.append(time.perf_counter() - began)
    processor_s = time.process_time() - before
    for _ in range(STEPS):
        began = time.perf_counter()
        float(step.train(x, y))
        taken.append(time.perf_counter() - began)
    first, later = taken[0], statistics.median(taken[1 + STEPS // 2 :])
    return {
        "cost_s": first - later,
        "processor_s": processor_s,
        "later_s": later,
        "compiled": step.compiled,
        "why": step.forward.reason,
    }


def measure(ways: list[str], rounds: int) -> dict[str, list[float]]:
    """Return every figure by round, in seconds."""
    taken: dict[str, list[float]] = {}
    for number in range(rounds):
        for way in ways if number % 2 == 0 else reversed(ways):
            with tempfile.TemporaryDirectory() as folder:
                for kept in ("cold", "warm"):
                    found = run_one(way, Path(folder))
                    print(f"{way}, {kept}: {json.dumps(found)}", flush=True)
                    taken.setdefault(f"{way}, {kept}", []).append(found["cost_s"])
                    processor = f"{way}, {kept}, processor time"
                    taken.setdefault(processor, []).append(found["processor_s"])
                    taken.setdefault(f"{way}, a later step", []).append(found["later_s"])
    return taken


def run_one(way: str, cache: Path) -> dict[str, Any]:
    """Measure in a fresh process that keeps in this cache what it compiles."""
    compiled = {"TORCHINDUCTOR_CACHE_DIR": str(cache / "compiled")}  # as the step would say
    asked = {"SACCADE_COMPILE": "on" if way == BOTH else "", "SACCADE_CACHE": str(cache)}
    return run_json([sys.executable, "-m", "benchmarks.compiling", "--here"], compiled | asked)


def target(way: str, figures: dict[str, Spread]) -> Target:
    """Hold the least of the rounds against the target: other work only ever adds to it."""
    figure = figures.get(f"{way}, warm")
    what = f"seconds of making T5's step ready from what is kept, least of rounds, {way}"
    return at_most(what, WARM_S, figure and figure.low)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, our kernels alone")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--here", action="store_true", help="measure in this process")
    given = parser.parse_args()
    if given.here:
        print(json.dumps(measure_here()))
        return
    ways, rounds = ([OURS], 1) if given.quick else ([OURS, BOTH], given.rounds)
    taken = measure(ways, rounds)
    figures = {name: spread(values, "s") for name, values in taken.items()}
    publish(
        Result(
            benchmark="compiling",
            settings={"quick": given.quick, "rounds": rounds, "batch": BATCH, "steps": STEPS},
            figures=figures,
            targets=[target(way, figures) for way in (OURS, BOTH)],
            peers={},
        )
    )


if __name__ == "__main__":
    main()
