"""How long one waits for `saccade --help`, for one cold prediction, and for one warm prediction.

    python -m benchmarks.start [--quick] [--rounds 10]

A cold prediction is the whole command `saccade predict MODEL PICTURE`, from a new process to the
answer; a warm one is a call of `Classifier.predict` with a file's path, which is read and decoded
each time. The peer opens the same network, as plain Keras, on TensorFlow. The model is trained on
`digits` first, for one epoch, since only its size matters here.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from benchmarks.peers import ROOT, peer_versions, run_json, saccade_command, tensorflow_python
from benchmarks.timing import Result, at_most, in_turn, publish, ratio, spread

HELP_S, COLD_S, WARM_MS = 0.25, 0.6, 2.0
WARM_CALLS = 300


def train_small(folder: Path) -> tuple[Path, Path]:
    """Return a trained model's bundle and a picture to show it."""
    effort = ["--epochs", "1", "--name", "digits", "--out", folder, "--json"]
    run_json(saccade_command("train", "digits", *effort), {"SACCADE_CACHE": str(folder / "cache")})
    picture = folder / "digit.png"
    Image.fromarray((load_digits().images[0] * 255 / 16).astype(np.uint8)).save(picture)
    return folder / "digits" / "model.saccade", picture


def seconds_of(command: Sequence[str | Path]) -> float:
    """Run a program to its end and return how long that took."""
    started = time.perf_counter()
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    return time.perf_counter() - started


def warm_predictions(bundle: Path, picture: Path, calls: int) -> float:
    """Return the median milliseconds of one prediction after some have gone before."""
    import saccade

    classifier = saccade.load(bundle)
    milliseconds = []
    for number in range(20 + calls):
        started = time.perf_counter()
        classifier.predict(picture)
        if number >= 20:
            milliseconds.append(1000 * (time.perf_counter() - started))
    return statistics.median(milliseconds)


def measure(folder: Path, *, rounds: int, peer: Path | None) -> dict[str, list[float]]:
    """Return every figure by round."""
    bundle, picture = train_small(folder)
    warm = [sys.executable, "-m", "benchmarks.start", "--warm", bundle, picture]
    measures = {
        "saccade --help": lambda: seconds_of(saccade_command("--help")),
        "saccade predict, cold": lambda: seconds_of(saccade_command("predict", bundle, picture)),
        "saccade predict, warm": lambda: float(run_json(warm)["warm_ms"]),
    }
    if peer is not None:
        with ZipFile(bundle) as members:
            members.extract("model.keras", folder)
        script = [peer, ROOT / "benchmarks" / "peer_predict.py", folder / "model.keras"]
        once, more = [*script, "once", picture], [*script, "warm", picture, "100"]
        measures["Keras on TensorFlow, cold"] = lambda: seconds_of(once)
        measures["Keras on TensorFlow, warm"] = lambda: run_json(more)["file_ms"]
    return in_turn(measures, rounds=rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, no peer")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--warm", nargs=2, type=Path, help="measure one, as a worker does")
    given = parser.parse_args()
    if given.warm:
        print(json.dumps({"warm_ms": warm_predictions(*given.warm, WARM_CALLS)}))
        return
    peer = None if given.quick else tensorflow_python()
    rounds = 1 if given.quick else given.rounds
    with tempfile.TemporaryDirectory() as folder:
        taken = measure(Path(folder), rounds=rounds, peer=peer)
    figures = {
        name: spread(values, "ms" if name.endswith("warm") else "s")
        for name, values in taken.items()
    }
    medians = {name: figure.median for name, figure in figures.items()}
    for kind in ("cold", "warm") if peer else ():
        ours, theirs = taken[f"saccade predict, {kind}"], taken[f"Keras on TensorFlow, {kind}"]
        figures[f"Keras on TensorFlow to saccade, {kind}"] = ratio(theirs, ours)
    targets = [
        at_most("seconds of saccade --help", HELP_S, medians["saccade --help"]),
        at_most("seconds of one cold prediction", COLD_S, medians["saccade predict, cold"]),
        at_most("milliseconds of one warm prediction", WARM_MS, medians["saccade predict, warm"]),
    ]
    publish(
        Result(
            benchmark="start",
            settings={"quick": given.quick, "rounds": rounds, "warm_calls": WARM_CALLS},
            figures=figures,
            targets=targets,
            peers=peer_versions(peer) if peer else {},
        )
    )


if __name__ == "__main__":
    main()
