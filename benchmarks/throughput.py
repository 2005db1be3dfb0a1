"""How many pictures a second `saccade.fit` trains, beside Keras's `fit` on TensorFlow.

    python -m benchmarks.throughput [--quick] [--rounds 7]

The tutorials' networks in batches of 128, T5 also in the tutorial's 32; the same code and the same
pictures, in processes of their own that train one epoch in turn. TensorFlow runs in
float32 and, where the processor multiplies bfloat16 in hardware, in mixed bfloat16 (imitated in
software it takes ten times as long); the faster of the two is the peer. The first two epochs of
each are warm-up: they hold compiling, on either side.

The bound of T6 is what its products alone would take: 38.7 million operations a picture, done as
large matrix products in the format that Saccade trains in. They take their turn with the epochs, as
many operations as an epoch of Saccade's has, so that both meet the same machine.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks.peers import ROOT, Worker, peer_versions, tensorflow_python
from benchmarks.timing import Result, Spread, at_least, in_turn, publish, ratio, spread, to_fastest

BF16_FLAGS = {"amx_bf16", "avx512_bf16"}
CASES = (("t6", 128), ("t4", 128), ("t5", 128), ("t7", 128), ("t5", 32))
PEERS = {"tensorflow float32": "float32", "tensorflow bfloat16": "mixed_bfloat16"}
# Times the peer's pictures a second, on a processor with AMX.
TARGETS = {("t6", 128): 3.0, ("t4", 128): 2.5, ("t5", 128): 2.5, ("t7", 128): 2.5}
OPERATIONS = 38.7e6  # of T6's products, a picture, forward and backward
BOUND_SHARE = 0.5  # of what the matrix product allows
PRODUCTS = "its products alone"


def processor_flags() -> set[str]:
    """Return what the processor says that it can, such as "amx_bf16"; nothing where unknown."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.split()[2:]) for line in lines if line.startswith("flags")), set())


def useful_peers(flags: set[str]) -> dict[str, str]:
    """Return the peers that stand a chance on a processor with these flags."""
    wanted = PEERS if flags & BF16_FLAGS else {"tensorflow float32": "float32"}
    return dict(wanted)


def measure(
    network: str, batch: int, *, peer: Path, images: int, rounds: int
) -> dict[str, list[float]]:
    """Return pictures a second by round, of Saccade and of each peer."""
    script = ROOT / "benchmarks" / "fit_worker.py"
    common = ["--network", network, "--batch", str(batch), "--images", str(images)]
    with ExitStack() as stack:
        workers = {"saccade": [sys.executable, script, "--engine", "saccade", *common]}
        for name, precision in useful_peers(processor_flags()).items():
            workers[name] = [peer, script, "--engine", "keras", "--precision", precision, *common]
        measures = {}
        for name, command in workers.items():
            backend = {"KERAS_BACKEND": "torch" if name == "saccade" else "tensorflow"}
            measures[name] = stack.enter_context(Worker(command, backend)).ask
        if network == "t6":
            measures[PRODUCTS] = products(images * OPERATIONS)
        seconds = in_turn(measures, rounds=rounds, warm_up=2)
    return {name: [images / value for value in values] for name, values in seconds.items()}


def against_best(rates: dict[str, list[float]]) -> Spread:
    """Return how many times faster than the faster peer Saccade is, round by round."""
    peers = [name for name in rates if name not in ("saccade", PRODUCTS)]
    return to_fastest(peers, rates, "saccade")


def products(operations: float, size: int = 2048) -> Callable[[], float]:
    """Return what does so many operations as large matrix products, and returns its seconds."""
    import torch

    from saccade.training.precision import choose_precision

    half = choose_precision("cpu").format == "bf16"
    a = torch.randn(size, size, dtype=torch.bfloat16 if half else torch.float32)
    count = operations / (2 * size**3)

    def seconds() -> float:
        began = time.perf_counter()
        for _ in range(math.ceil(count)):
            a @ a
        return (time.perf_counter() - began) * count / math.ceil(count)

    return seconds


def images_of(network: str, given: argparse.Namespace) -> int:
    """Return how many pictures an epoch has: T7's are 22 times as large as T6's."""
    if given.quick:
        return 256 if network == "t7" else 512
    return 1_280 if network == "t7" else 12_800


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few pictures: shows that it runs")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    rounds = 2 if given.quick else given.rounds
    peer, has_amx = tensorflow_python(), "amx_bf16" in processor_flags()
    figures, targets = {}, []
    for network, batch in CASES[:1] if given.quick else CASES:
        images = images_of(network, given)
        rates = measure(network, batch, peer=peer, images=images, rounds=rounds)
        case = f"{network}, batch {batch}"
        for name, values in rates.items():
            figures[f"{case}, {name}"] = spread(values, "images/s")
        times = figures[f"{case}, saccade to the faster peer"] = against_best(rates)
        wanted = TARGETS.get((network, batch))
        if wanted is not None:
            where = "" if has_amx else " (the target is for a processor with AMX; this has none)"
            what = f"times the speed of Keras on TensorFlow, {case}{where}"
            targets.append(at_least(what, wanted, times.median))
        if PRODUCTS in rates:
            share = figures[f"{case}, share of {PRODUCTS}"] = ratio(
                rates["saccade"], rates[PRODUCTS]
            )
            what = "T6's share of what its products alone allow"
            targets.append(at_least(what, BOUND_SHARE, share.median))
    settings = {"quick": given.quick, "rounds": rounds, "amx": has_amx}
    publish(
        Result(
            benchmark="throughput",
            settings=settings,
            figures=figures,
            targets=targets,
            peers=peer_versions(peer),
        )
    )


if __name__ == "__main__":
    main()
