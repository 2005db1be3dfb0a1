"""Whether `saccade train --budget` takes the time it was given, from the command to its end.

    python -m benchmarks.budget [--quick] [--budgets 30 60 120] [--sets digits …]

Each run is the command as a user types it, in a fresh process with an empty cache of pictures, and
the clock runs from its start to its exit. The sets are digits, which is embedded, and, where
SACCADE_DATASETS names a folder of data, Fashion-MNIST and cats-vs-dogs. A run that ended before its
time, because nothing improved or its few pictures were shown often enough, is not judged. `--quick`
is one run of 15 s.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from benchmarks.peers import run_json, saccade_command
from benchmarks.timing import Result, at_most, publish, spread

ALLOWED = 0.05  # of the budget, more or less
REAL = {"fashion-mnist": "fashion-mnist", "cats-vs-dogs": "cats-vs-dogs-192px.tar"}


def sets_at_hand() -> dict[str, str]:
    """Return what to train on, by name: the embedded set, and real ones where there are any."""
    found = {"digits": "digits"}
    folder = os.environ.get("SACCADE_DATASETS")
    if folder:
        real = {name: Path(folder, file) for name, file in REAL.items()}
        found |= {name: REAL[name] for name, path in real.items() if path.exists()}
        found |= {name: str(path) for name, path in real.items() if path.is_file()}
    return found


def take(data: str, budget_s: float) -> tuple[float, bool]:
    """Train once; return the seconds of the whole command, and whether it ended early."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--budget", f"{budget_s:g}s", "--out", Path(folder, "runs"), "--json"]
        began = time.perf_counter()
        run = run_json(
            saccade_command("train", data, *options), {"SACCADE_CACHE": str(Path(folder, "cache"))}
        )
        taken = time.perf_counter() - began
    stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in run["seconds"].items())
    print(f"  {stages}; {run['fit']['num_epochs']} epochs, the best is {run['fit']['best_epoch']}")
    return taken, any(" early, after" in note for note in run["notes"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="15 s on digits")
    parser.add_argument("--budgets", type=float, nargs="+", default=[30.0, 60.0, 120.0])
    parser.add_argument("--sets", nargs="+", help="of digits, fashion-mnist, cats-vs-dogs")
    given = parser.parse_args()
    sets, budgets = sets_at_hand(), [15.0] if given.quick else given.budgets
    names = ["digits"] if given.quick else given.sets or list(sets)
    figures, judged = {}, []
    for name in names:
        for budget_s in budgets:
            taken, stopped = take(sets[name], budget_s)
            deviation = taken / budget_s - 1
            early = ", ended early" if stopped else ""
            print(f"{name}: budget {budget_s:g} s, taken {taken:.1f} s, {deviation:+.1%}{early}")
            figures[f"{name}, budget {budget_s:g} s, taken"] = spread([taken], "s")
            judged += [] if stopped else [abs(deviation)]
    what = "the largest deviation from a budget, as a share of it"
    targets = [at_most(what, ALLOWED, max(judged) if judged else None)]
    settings = vars(given) | {"sets": names, "budgets": budgets}
    publish(
        Result(benchmark="budget", settings=settings, figures=figures, targets=targets, peers={})
    )


if __name__ == "__main__":
    main()
