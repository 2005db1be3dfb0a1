"""How many pictures a second a frozen network sees: Saccade beside Keras's `predict` on TensorFlow.

    python -m benchmarks.transfer [--quick] [--rounds 5]

InceptionV3 without its head at 150 px, averaged over places, with random weights (the time does not
depend on them), the same pixels for all. Saccade computes the features through ONNX Runtime, and
through the runtime that it chooses itself: another where saccade[openvino] is installed. What Keras
calls "preprocess_input" is inside on our side and, in the peer's favour, done beforehand on the
other. TensorFlow runs in float32 and, where the processor multiplies bfloat16 in hardware, in mixed
bfloat16, in batches of 32 and, in bfloat16, of 128; the fastest of these is the peer.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

from benchmarks.peers import ROOT, Worker, peer_versions, tensorflow_python
from benchmarks.throughput import BF16_FLAGS, processor_flags, useful_peers
from benchmarks.timing import Result, Spread, at_least, in_turn, publish, spread, to_fastest

NETWORK, SIZE_PX = "InceptionV3", 150
BATCHES = {"float32": (32,), "mixed_bfloat16": (32, 128)}  # each at its best
CHOSEN = "saccade"
TARGET = 4.0  # times the fastest peer's pictures a second


def commands(peer: Path, images: int) -> dict[str, list[str]]:
    """Return what starts each worker."""
    script = str(ROOT / "benchmarks" / "transfer_worker.py")
    common = ["--network", NETWORK, "--size", str(SIZE_PX), "--images", str(images)]
    ours = [sys.executable, script, "--runtime"]
    workers = {CHOSEN: [*ours, "fastest", *common]}
    workers[f"{CHOSEN}, ONNX Runtime"] = [*ours, "ONNX Runtime", *common]
    for name, precision in useful_peers(processor_flags()).items():
        for batch in BATCHES[precision]:
            options = ["--precision", precision, "--batch", str(batch), *common]
            workers[f"{name}, batch {batch}"] = [str(peer), script, *options]
    return workers


def measure(workers: dict[str, list[str]], *, images: int, rounds: int) -> dict[str, list[float]]:
    """Return pictures a second by round, of each worker."""
    with ExitStack() as stack:
        measures = {}
        for name, command in workers.items():
            backend = {"KERAS_BACKEND": "torch" if is_ours(name) else "tensorflow"}
            measures[name] = stack.enter_context(Worker(command, backend)).ask
        seconds = in_turn(measures, rounds=rounds, warm_up=1)
    return {name: [images / value for value in values] for name, values in seconds.items()}


def is_ours(name: str) -> bool:
    """Say whether a worker runs Saccade."""
    return name.partition(",")[0] == CHOSEN


def against_best(rates: dict[str, list[float]]) -> Spread:
    """Return how many times faster than the fastest peer Saccade is, round by round."""
    peers = [name for name in rates if not is_ours(name)]
    return to_fastest(peers, rates, CHOSEN)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few pictures: shows that it runs")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    images, rounds = (64, 1) if given.quick else (512, given.rounds)
    peer = tensorflow_python()
    rates = measure(commands(peer, images), images=images, rounds=rounds)
    figures = {name: spread(values, "images/s") for name, values in rates.items()}
    times = figures["saccade to the fastest peer"] = against_best(rates)
    has_bf16 = bool(processor_flags() & BF16_FLAGS)
    what = f"times the speed of Keras predict on TensorFlow, {NETWORK} at {SIZE_PX} px"
    publish(
        Result(
            benchmark="transfer",
            settings={"quick": given.quick, "images": images, "rounds": rounds, "bf16": has_bf16},
            figures=figures,
            targets=[at_least(what, TARGET, times.median)],
            peers=peer_versions(peer),
        )
    )


if __name__ == "__main__":
    main()
