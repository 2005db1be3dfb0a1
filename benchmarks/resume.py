"""Whether a run that is killed again and again ends as if it had never been stopped, bit for bit.

    python -m benchmarks.resume [--quick] [--kills 20] [--seed 0] [--networks auto …]

`saccade.train("digits", epochs=…)` runs once undisturbed. Then it runs again, and is killed with
`kill -9` at random moments, from the first import to the last file written, and gone on with by
`resume` each time. Weights, history and test figures have to be equal to the last bit. A run that
is finished before its kills are used up is compared, and another one is begun.

Each attempt is a process of its own, forked from this one, which has imported everything and
computed nothing: that spares each attempt the seconds that importing takes. `--quick` trains one
network for fewer epochs.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import os
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import saccade
from benchmarks.timing import Result, at_least, publish, spread
from saccade.models import engine_name
from saccade.progress import Silence
from saccade.run import open_run
from saccade.training.kernels.library import load_kernels

NAMES = ("auto", "t6-dropout", "t6-batchnorm")  # averaged weights; random numbers; statistics
EPOCHS = 20
# What an attempt would spend its first seconds on; none of it computes anything when imported.
IMPORTED = (
    "onnxruntime",
    "pyarrow.parquet",
    "saccade.bundle.graph",
    "saccade.report.page",
    "saccade.training.learner",
    "sklearn.datasets",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One training, the same every time."""

    model: str
    epochs: int

    def begin(self, folder: Path) -> int:
        """Train in a new process, from where `folder` stands; return the process's id."""
        child = os.fork()
        if child:
            return child
        try:
            with Path(os.devnull).open("w") as nothing:
                os.dup2(nothing.fileno(), 1)
            if folder.exists():
                saccade.train(resume=folder, progress=Silence())
            else:
                settings = {"model": self.model, "epochs": self.epochs, "seed": 3}
                saccade.train(
                    "digits", **settings, name=folder.name, out=folder.parent, progress=Silence()
                )
        except BaseException:  # noqa: BLE001  (a forked child must not go on as its parent)
            traceback.print_exc()
            os._exit(1)
        os._exit(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A run that nothing stopped, and what it took."""

    outcome: dict[str, Any]
    seconds: float
    seconds_to_checkpoint: float


def run_undisturbed(task: Task, folder: Path) -> Whole:
    began = time.monotonic()
    child, first = task.begin(folder), None
    while not has_ended(child):
        if first is None and (folder / "checkpoint" / "state.json").exists():
            first = time.monotonic() - began
        time.sleep(0.005)
    taken = time.monotonic() - began
    return Whole(outcome=outcome_of(folder), seconds=taken, seconds_to_checkpoint=first or taken)


def has_ended(child: int) -> bool:
    """Return whether the process is gone; raise where it failed of itself."""
    pid, status = os.waitpid(child, os.WNOHANG)
    if pid and status:
        raise RuntimeError(f"a run failed by itself, with status {status}")
    return bool(pid)


def outcome_of(folder: Path) -> dict[str, Any]:
    """Return all that has to be equal: weights and ONNX graph as bytes, history, figures."""
    run = open_run(folder)
    with zipfile.ZipFile(run.model) as bundle:
        graph, keras_file = bundle.read("model.onnx"), bundle.read("model.keras")
    with zipfile.ZipFile(io.BytesIO(keras_file)) as archive:
        weights = weights_of(archive.read("model.weights.h5"))
    fit = {name: run.fit[name] for name in ("history", "best_epoch", "num_epochs")}
    return {"graph": graph, "weights": weights, "fit": fit, "test": run.test}


def weights_of(content: bytes) -> dict[str, tuple[str, bytes]]:
    """Return every array in Keras's file of weights, the optimizer's among them, as bytes."""
    found = {}

    def collect(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = (str(item.dtype), np.asarray(item).tobytes())

    with h5py.File(io.BytesIO(content)) as file:
        file.visititems(collect)
    return found


def where(folder: Path) -> str:
    """Return how far a run had come when it was killed."""
    try:
        document = json.loads((folder / "checkpoint" / "state.json").read_text())["document"]
    except FileNotFoundError:
        return "before its first checkpoint" if folder.exists() else "before it had a folder"
    if document["done"] >= 1:
        return "after training"
    return f"after epoch {document['epoch']}"


def run_killed(task: Task, folder: Path, delays: list[float]) -> int:
    """Run to the end, killed after each delay that it does not outrun; return how many that was.

    The delays that were used are taken from the list.
    """
    kills = 0
    while not (folder / "run.json").exists():
        child = task.begin(folder)
        ended = time.monotonic() + delays[0] if delays else float("inf")
        while not (gone := has_ended(child)) and time.monotonic() < ended:
            time.sleep(0.002)
        if not gone:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            kills += 1
            print(f"{task.model}: killed after {delays.pop(0):.2f} s, {where(folder)}", flush=True)
        elif delays:
            delays.pop(0)
    return kills


def compare(task: Task, folder: Path, *, kills: int, seed: int) -> tuple[int, int, int]:
    """Return how many kills there were, in how many runs, and how many runs ended equal."""
    whole = run_undisturbed(task, folder / "whole")
    print(f"{task.model}: {whole.seconds:.1f} s undisturbed", flush=True)
    # An attempt spends a while before its first checkpoint; beyond it, two shares of the rest.
    longest = whole.seconds_to_checkpoint
    longest += 2 * (whole.seconds - longest) / kills
    random = np.random.default_rng(seed)
    done = runs = equal = 0
    while done < kills:
        delays = random.uniform(0, longest, kills - done).tolist()
        runs += 1
        done += run_killed(task, folder / f"killed-{runs}", delays)
        found = outcome_of(folder / f"killed-{runs}")
        differing = [name for name in found if found[name] != whole.outcome[name]]
        equal += not differing
        print(f"{task.model}: run {runs} {'differs in ' if differing else 'is equal'}", differing)
    return done, runs, equal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one network, few epochs")
    parser.add_argument("--kills", type=int, default=20, help="for each network")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--networks", nargs="+", choices=NAMES, default=NAMES)
    given = parser.parse_args()
    engine_name()  # imports Keras, before any process is forked
    for module in IMPORTED:
        importlib.import_module(module)
    load_kernels()  # compiled, should that be, before a run is timed to learn when to kill it
    figures, targets = {}, []
    for model in given.networks[:1] if given.quick else given.networks:
        task = Task(model=model, epochs=8 if given.quick else EPOCHS)
        with tempfile.TemporaryDirectory() as folder:
            kills, runs, equal = compare(task, Path(folder), kills=given.kills, seed=given.seed)
        figures[f"{model}, kills"] = spread([kills], "kills")
        what = f"{model}: share of runs equal bit for bit, killed {kills} times in all"
        targets.append(at_least(what, 1.0, equal / runs))
    publish(
        Result(benchmark="resume", settings=vars(given), figures=figures, targets=targets, peers={})
    )


if __name__ == "__main__":
    sys.exit(main())
