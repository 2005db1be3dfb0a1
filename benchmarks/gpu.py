"""How many pictures a second `saccade.fit` trains on a graphics card, beside Keras's `fit` there.

    python -m benchmarks.gpu [--quick] [--rounds 7]

T6's network, which is small, and ResNet-50, which is not; the same code and the same pictures, in
processes of their own that train one epoch in turn. Keras runs on PyTorch and, where
``SACCADE_PEER_JAX_PYTHON`` names a Python that has JAX for the card, on JAX, each in float32 and in
mixed bfloat16; the fastest is the peer. Saccade runs as it does by itself, and with CUDA graphs.
The first two epochs of each are warm-up: they hold compiling, on either side. All of them are on
the card at once, so JAX takes memory as it needs it, and not most of the card at its start.

Without a card it says so, in one line, and measures nothing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from contextlib import ExitStack

from benchmarks.peers import ROOT, Worker
from benchmarks.timing import Result, Spread, in_turn, publish, spread, to_fastest

CASES = (("t6", 128, 12_800), ("resnet50", 64, 1_280))  # network, batch, pictures an epoch
WAYS = {"saccade": {}, "saccade, CUDA graphs": {"SACCADE_COMPILE": "on"}}
SHARING = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # JAX's; others do not read it
QUICK_STEPS = 16  # an epoch: compiling, weighed at the thirteenth, falls into the warm-up
PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def card() -> str:
    """Return the graphics card's name; empty where there is none."""
    import torch

    return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else ""


def peers() -> dict[str, str]:
    """Return by backend the Python that has it."""
    jax = os.environ.get("SACCADE_PEER_JAX_PYTHON")
    return {"torch": sys.executable} | ({"jax": jax} if jax else {})


def version_of(backend: str, python: str) -> str:
    """Return which version of a backend a Python has."""
    code = f"import importlib.metadata as m; print(m.version({backend!r}))"
    printed = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    return printed.stdout.strip()


def measure(network: str, batch: int, *, images: int, rounds: int) -> dict[str, list[float]]:
    """Return pictures a second by round, of each way of Saccade's and of each peer."""
    script = str(ROOT / "benchmarks" / "fit_worker.py")
    common = ["--network", network, "--batch", str(batch), "--images", str(images)]
    with ExitStack() as stack:
        measures = {}
        for name, asked in WAYS.items():
            command = [sys.executable, script, "--engine", "saccade", *common]
            worker = Worker(command, {"KERAS_BACKEND": "torch", **asked})
            measures[name] = stack.enter_context(worker).ask
        for backend, python in peers().items():
            for name, precision in PRECISIONS.items():
                command = [python, script, "--engine", "keras", "--precision", precision, *common]
                worker = Worker(command, {"KERAS_BACKEND": backend} | SHARING)
                measures[f"{backend} {name}"] = stack.enter_context(worker).ask
        seconds = in_turn(measures, rounds=rounds, warm_up=2)
    return {name: [images / value for value in values] for name, values in seconds.items()}


def against_best(rates: dict[str, list[float]], way: str) -> Spread:
    """Return how many times faster than the fastest peer one way of Saccade's is, by round."""
    others = [name for name in rates if name not in WAYS]
    return to_fastest(others, rates, way)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few pictures: shows that it runs")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    if not card():
        print("gpu: there is no graphics card here, so nothing was measured")
        return
    rounds, figures = 2 if given.quick else given.rounds, {}
    for network, batch, images in CASES:
        images = QUICK_STEPS * batch if given.quick else images
        rates = measure(network, batch, images=images, rounds=rounds)
        case = f"{network}, batch {batch}"
        for name, values in rates.items():
            figures[f"{case}, {name}"] = spread(values, "images/s")
        for way in WAYS:
            figures[f"{case}, {way} to the fastest peer"] = against_best(rates, way)
    settings = {"quick": given.quick, "rounds": rounds, "card": card()}
    known = {backend: version_of(backend, python) for backend, python in peers().items()}
    publish(Result(benchmark="gpu", settings=settings, figures=figures, targets=[], peers=known))


if __name__ == "__main__":
    main()
