"""How many files a second Saccade scans and caches, beside the usual ways to load pictures.

    python -m benchmarks.loading [--quick] [--archive PATH] [--rounds 3]

Three cases, with the sets of $SACCADE_DATASETS. All of the work counts, from a closed folder or
archive to a ready memory-mapped cache: listing, digests, decoding, writing.

- `cifar10-jpeg.tar.gz` as it is, to 32 px; the peer is the plain loop that anybody would write
  with tarfile and Pillow, on one core. `--archive` measures another archive so, and nothing else.
- The same 60,000 files in class folders, to 32 px, and the 351 photographs of
  `flowers-originals.tar`, to 192 px; the peers are Keras on TensorFlow and a PyTorch DataLoader
  (`peer_loading.py`), which only decode and resize, into memory. Their faster one of each round
  counts.

In turn, each in a process of its own with an empty cache; the clock starts after the imports. The
files are in the page cache, since they have just been unpacked or read by the warm-up round.
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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from benchmarks.peers import ROOT, peer_versions, run_json, tensorflow_python
from benchmarks.timing import (
    Result,
    Spread,
    Target,
    at_least,
    in_turn,
    publish,
    ratio,
    spread,
)

ARCHIVE = "cifar10-jpeg.tar.gz"
TARGET = 4000.0  # files a second on 2 cores
TARGET_RATIO = 2.0  # to the better peer
SIDE_PX = 32
PEERS: Final = {"Keras on TensorFlow": "keras", "PyTorch and Pillow": "torch"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A folder of class folders, packed in an archive, and the size to bring it to."""

    name: str
    archive: str
    folder: str  # inside the archive
    side_px: int


CASES: Final = (
    Case(name="small files", archive=ARCHIVE, folder="cifar10", side_px=32),
    Case(name="photographs", archive="flowers-originals.tar", folder="flowers", side_px=192),
)


def load_with_saccade(path: Path, side_px: int) -> tuple[int, float]:
    """Scan and cache an archive or folder; return the pictures in the cache, and the seconds."""
    from saccade.data import Ahead, Preprocessing, Workers, build_cache, build_index, open_source
    from saccade.progress import Silence

    progress = Silence()
    started = time.perf_counter()
    with Workers() as workers, Ahead() as ahead:  # as `recipe.prepare` does
        workers.start()
        source = open_source(path, progress=progress)
        index = build_index(source, progress=progress, workers=workers, ahead=ahead)
        size = Preprocessing(height_px=side_px, width_px=side_px, channels=3, fit="pad")
        _, index = build_cache(source, index, size, progress=progress, workers=workers, ahead=ahead)
    return int(index.usable.sum()), time.perf_counter() - started


def load_with_a_loop(path: Path, side_px: int) -> tuple[int, float]:
    """Decode and resize every picture of an archive, one after the other, into an array."""
    started = time.perf_counter()
    pixels = []
    with tarfile.open(path) as tar:
        for member in tar:
            content = tar.extractfile(member)
            if content is not None and member.name.endswith(".jpg"):
                picture = Image.open(io.BytesIO(content.read())).convert("RGB")
                pixels.append(np.asarray(picture.resize((side_px, side_px))))
    np.save(Path(os.environ["SACCADE_CACHE"], "pixels.npy"), np.stack(pixels))
    return len(pixels), time.perf_counter() - started


LOADERS = {"saccade": load_with_saccade, "tarfile and Pillow": load_with_a_loop}


def files_per_second(loader: str, path: Path, side_px: int) -> float:
    """Load in a fresh process with an empty cache; return files a second."""
    with tempfile.TemporaryDirectory() as folder:
        if loader in LOADERS:
            command = [sys.executable, "-m", "benchmarks.loading", "--loader", loader]
            command += ["--archive", str(path), "--side", str(side_px)]
        else:
            python = tensorflow_python() if PEERS[loader] == "keras" else sys.executable
            program = ROOT / "benchmarks" / "peer_loading.py"
            command = [str(python), str(program), PEERS[loader], str(path), str(side_px)]
        found = run_json(command, {"SACCADE_CACHE": folder, "TF_CPP_MIN_LOG_LEVEL": "3"})
    return float(found["files"] / found["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--archive", type=Path, default=None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loader", choices=LOADERS, help="measure one, as a worker does")
    parser.add_argument("--side", type=int, default=SIDE_PX, help="with --loader")
    given = parser.parse_args()
    if given.loader:
        files, seconds = LOADERS[given.loader](given.archive, given.side)
        print(json.dumps({"files": files, "seconds": seconds}))
        return
    sets = Path(os.environ.get("SACCADE_DATASETS", "."))
    wanted = [given.archive or sets / ARCHIVE]
    if given.archive is None:
        wanted += [sets / case.archive for case in CASES]
    for path in wanted:
        if not path.is_file():
            sys.exit(f"put {path.name} into the folder SACCADE_DATASETS names, or give --archive")
    compare(wanted[0].resolve(), rounds=given.rounds, quick=given.quick, alone=bool(given.archive))


def compare(path: Path, *, rounds: int, quick: bool, alone: bool) -> None:
    """Let the loaders take turns, case by case, and print what came out."""
    rounds = 1 if quick else rounds
    rates = _rates(tuple(LOADERS), path, SIDE_PX, rounds=rounds, quick=quick)
    ours = rates["saccade"]
    figures = _figures(rates, "")
    figures["saccade to the plain loop"] = ratio(ours, rates["tarfile and Pillow"])
    median = figures["saccade, files a second"].median
    targets = [at_least(f"files a second scanned and cached, {path.name}", TARGET, median)]
    for case in () if alone else CASES:
        found, target = _compare_folder(case, path.with_name(case.archive), rounds, quick=quick)
        figures |= found
        targets.append(target)
    publish(
        Result(
            benchmark="loading",
            settings={"quick": quick, "archive": path.name, "rounds": rounds, "side_px": SIDE_PX},
            figures=figures,
            targets=targets,
            peers={} if alone else peer_versions(tensorflow_python()),
        )
    )


def _compare_folder(
    case: Case, archive: Path, rounds: int, *, quick: bool
) -> tuple[dict[str, Spread], Target]:
    with tempfile.TemporaryDirectory() as place:
        with tarfile.open(archive) as tar:
            tar.extractall(place, filter="data")
        folder = Path(place, case.folder)
        rates = _rates(("saccade", *PEERS), folder, case.side_px, rounds=rounds, quick=quick)
    figures = _figures(rates, f"{case.name}: ")
    against = to_the_better(rates)
    figures[f"{case.name}: saccade to the better peer"] = against
    what = f"{case.name}, folder to cache, to the better of Keras and PyTorch"
    return figures, at_least(what, TARGET_RATIO, against.median)


def to_the_better(rates: Mapping[str, Sequence[float]]) -> Spread:
    """Return Saccade's rate divided by the better peer's, round by round."""
    return ratio(rates["saccade"], [max(pair) for pair in zip(*map(rates.get, PEERS), strict=True)])


def _rates(
    loaders: Sequence[str], path: Path, side_px: int, *, rounds: int, quick: bool
) -> dict[str, list[float]]:
    measures = {name: lambda name=name: files_per_second(name, path, side_px) for name in loaders}
    return in_turn(measures, rounds=rounds, warm_up=0 if quick else 1)


def _figures(rates: Mapping[str, Sequence[float]], prefix: str) -> dict[str, Spread]:
    return {
        f"{prefix}{name}, files a second": spread(rate, "files/s") for name, rate in rates.items()
    }


if __name__ == "__main__":
    main()
