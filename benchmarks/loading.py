"""How many files a second Saccade scans and caches, from an archive nobody has unpacked.

    python -m benchmarks.loading [--quick] [--archive PATH] [--rounds 3]

Reads `cifar10-jpeg.tar.gz` (60,000 JPEG files) of $SACCADE_DATASETS from a closed file to a ready
memory-mapped cache of 32×32 pixels: listing, digests, decoding, writing. The peer is the plain loop
that anybody would write with Python's tarfile and Pillow, on one core. In turn, each in a process
of its own with an empty cache.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.peers import run_json
from benchmarks.timing import Result, at_least, in_turn, publish, ratio, spread

ARCHIVE = "cifar10-jpeg.tar.gz"
TARGET = 4000.0  # files a second on 2 cores
SIDE_PX = 32


def load_with_saccade(path: Path) -> int:
    """Scan and cache an archive; return how many pictures are in the cache."""
    from saccade.data import Preprocessing, build_cache, build_index, open_source
    from saccade.progress import Silence

    progress = Silence()
    source = open_source(path, progress=progress)
    index = build_index(source, progress=progress)
    size = Preprocessing(height_px=SIDE_PX, width_px=SIDE_PX, channels=3, fit="pad")
    _, index = build_cache(source, index, size, progress=progress)
    return int(index.usable.sum())


def load_with_a_loop(path: Path) -> int:
    """Decode and resize every picture of an archive, one after the other, into an array."""
    pixels = []
    with tarfile.open(path) as tar:
        for member in tar:
            content = tar.extractfile(member)
            if content is not None and member.name.endswith(".jpg"):
                picture = Image.open(io.BytesIO(content.read())).convert("RGB")
                pixels.append(np.asarray(picture.resize((SIDE_PX, SIDE_PX))))
    np.save(Path(os.environ["SACCADE_CACHE"], "pixels.npy"), np.stack(pixels))
    return len(pixels)


LOADERS = {"saccade": load_with_saccade, "tarfile and Pillow": load_with_a_loop}


def files_per_second(loader: str, path: Path) -> float:
    """Load an archive in a fresh process with an empty cache; return files a second."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.loading", "--loader", loader]
        found = run_json([*command, "--archive", path], {"SACCADE_CACHE": folder})
    return float(found["files"] / found["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--archive", type=Path, default=None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loader", choices=LOADERS, help="measure one, as a worker does")
    given = parser.parse_args()
    path = given.archive or Path(os.environ.get("SACCADE_DATASETS", "."), ARCHIVE)
    if not path.is_file():
        sys.exit(f"put {ARCHIVE} into the folder that SACCADE_DATASETS names, or give --archive")
    path = path.resolve()
    if given.loader:
        started = time.perf_counter()
        files = LOADERS[given.loader](path)
        print(json.dumps({"files": files, "seconds": time.perf_counter() - started}))
        return
    compare(path, rounds=given.rounds, quick=given.quick)


def compare(path: Path, *, rounds: int, quick: bool) -> None:
    """Let the loaders take turns and print what came out."""
    rounds, warm_up = (1, 0) if quick else (rounds, 1)
    measures = {name: lambda name=name: files_per_second(name, path) for name in LOADERS}
    rates = in_turn(measures, rounds=rounds, warm_up=warm_up)
    figures = {f"{name}, files a second": spread(rate, "files/s") for name, rate in rates.items()}
    ours = rates["saccade"]
    figures["saccade to the plain loop"] = ratio(ours, rates["tarfile and Pillow"])
    median = spread(ours, "files/s").median
    publish(
        Result(
            benchmark="loading",
            settings={"quick": quick, "archive": path.name, "rounds": rounds, "side_px": SIDE_PX},
            figures=figures,
            targets=[at_least(f"files a second scanned and cached, {path.name}", TARGET, median)],
            peers={},
        )
    )


if __name__ == "__main__":
    main()
