"""How good `saccade train --budget` gets from scratch, on the test pictures of six real sets.

    python -m benchmarks.scratch [--quick] [--only fashion-mnist …] [--seeds 3]

Each run is the command as a user types it, in a process of its own, with the seed as all that
differs; the time is settled beforehand, and the test pictures are looked at once, at its end. The
budget of `cifar10-jpeg` is the time in which the tutorial's own T6, trained before on TensorFlow
in the same run, reached its best test accuracy. Where pictures lie in folders, the tutorials' T7
(T10 where there are three classes) and T8 take turns with it, in as much time on the clock; of
these the best test accuracy after any epoch counts, which no reader of theirs could choose. The
sets lie in the folder that SACCADE_DATASETS
names; one that does not is left out. `--quick` is one run of one epoch on the smallest set.
"""

from __future__ import annotations

import argparse
import statistics
import tarfile
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import ROOT, peer_versions, run_json, saccade_command, tensorflow_python
from benchmarks.sets import sets_folder
from benchmarks.timing import Result, Spread, Target, at_least, publish, spread
from saccade.config import parse_duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A set, the time it is given, and the mean test accuracy that is wanted of it."""

    name: str
    data: str  # in the folder of sets
    wanted: float
    budget: str = ""  # empty: as long as the tutorial's T6 takes to its best epoch
    test: str = ""  # the folder of test pictures inside an archive, where it is not called so
    peers: tuple[str, ...] = ()  # the tutorials' networks that train for as long


HORSES = "horses-or-humans-100px-gray.tar"
FOLDERS = ("t7", "t8")
CASES = (
    Case(name="fashion-mnist", data="fashion-mnist", budget="5m", wanted=0.94),
    Case(name="cifar10-jpeg", data="cifar10-jpeg.tar.gz", wanted=0.88),
    Case(
        name="cats-vs-dogs", data="cats-vs-dogs-192px.tar", budget="5m", wanted=0.80, peers=FOLDERS
    ),
    Case(name="cats-vs-dogs, 15 minutes", data="cats-vs-dogs-192px.tar", budget="15m", wanted=0.85),
    Case(
        name="horses-or-humans",
        data=HORSES,
        budget="2m",
        wanted=0.95,
        test="validation",
        peers=FOLDERS,
    ),
    Case(
        name="rock-paper-scissors",
        data="rock-paper-scissors-28px.tar",
        budget="2m",
        wanted=0.97,
        peers=FOLDERS,
    ),
)
QUICK = CASES[-1]


def train(words: Sequence[str | Path], seed: int) -> tuple[float, float]:
    """Train once; return the share of test pictures that is right, and the command's seconds."""
    with tempfile.TemporaryDirectory() as runs:
        command = saccade_command("train", *words, "--seed", str(seed), "--out", runs, "--json")
        began = time.perf_counter()
        run = run_json(command)
        return run["test"]["accuracy"]["value"], time.perf_counter() - began


def train_tutorial(name: str, case: Case, sets: Path, seed: int) -> float:
    """Train a tutorial's network for the case's time; return its best share of test pictures."""
    script = ROOT / "benchmarks" / "tutorial_folders.py"
    seconds = f"{parse_duration(case.budget):.0f}"
    found = run_json([tensorflow_python(), script, name, sets / case.data, seconds, str(seed)])
    return float(found["accuracy"])


def data_words(case: Case, sets: Path, folder: Path) -> list[str | Path]:
    """Return what the command is given to train on; unpacks what has no part called test."""
    if case.data == "fashion-mnist":
        return [case.data]
    if not case.test:
        return [sets / case.data]
    with tarfile.open(sets / case.data) as tar:
        tar.extractall(folder, filter="data")
    (test,) = folder.glob(f"*/{case.test}")
    return [test.with_name("train"), "--test", test]


def measure(case: Case, sets: Path, seeds: int, *, quick: bool) -> tuple[dict[str, Spread], Target]:
    """Train with each seed; return what came out, and the target of the mean."""
    figures, effort = {}, ["--budget", case.budget]
    if quick:
        effort = ["--epochs", "1"]
    elif not case.budget:
        script = ROOT / "benchmarks" / "tutorial.py"
        theirs = run_json([tensorflow_python(), script, "t6", sets / case.data, "0"])
        effort = ["--budget", f"{theirs['seconds']:.0f}s"]
        figures["T6's best test accuracy"] = spread([theirs["accuracy"]], "of the test pictures")
        figures["T6, to its best epoch"] = spread([theirs["seconds"]], "s")
    taken: list[tuple[float, float]] = []
    beside: dict[str, list[float]] = {} if quick else {name: [] for name in case.peers}
    with tempfile.TemporaryDirectory() as folder:
        words = [*data_words(case, sets, Path(folder)), *effort]
        for seed in range(seeds):
            taken.append(train(words, seed))
            for name, best in beside.items():
                best.append(train_tutorial(name, case, sets, seed))
    accuracies, seconds = zip(*taken, strict=True)
    figures[f"{case.name}, test accuracy"] = spread(accuracies, "of the test pictures")
    figures[f"{case.name}, the whole command"] = spread(seconds, "s")
    for name, best in beside.items():
        figures[f"{case.name}, {name} at its best epoch"] = spread(best, "of the test pictures")
    for name, figure in figures.items():
        print(f"{name}: {figure}", flush=True)
    what = f"{case.name}, mean test accuracy"
    return figures, at_least(what, case.wanted, statistics.mean(accuracies))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one epoch, one seed, one set")
    parser.add_argument("--only", nargs="+", choices=[case.name for case in CASES])
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    sets = sets_folder()
    asked = [case for case in CASES if case.name in (given.only or [case.name])]
    cases = [case for case in ([QUICK] if given.quick else asked) if (sets / case.data).exists()]
    if not cases:
        raise SystemExit("put the sets into the folder that SACCADE_DATASETS names")
    beside = not given.quick and any(case.peers or not case.budget for case in cases)
    figures: dict[str, Spread] = {}
    targets = []
    for case in cases:
        found, target = measure(case, sets, 1 if given.quick else given.seeds, quick=given.quick)
        figures |= found
        targets.append(target)
    publish(
        Result(
            benchmark="scratch",
            settings=vars(given) | {"cases": [case.name for case in cases]},
            figures=figures,
            targets=targets,
            peers=peer_versions(tensorflow_python()) if beside else {},
        )
    )


if __name__ == "__main__":
    main()
