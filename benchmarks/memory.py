"""Training on a cache four times as large as the memory that the process may have.

    python -m benchmarks.memory [--quick] [--limit-mib 2048] [--steps 400] [--place PATH]

A memory-mapped cache of photographs, 150 px in colour, is written as large as four times the
limit, and another an eighth of it, which fits. Training reads each in random order, in batches of
128, in a process of its own inside a control group of Linux that has the limit, page cache
included; the file is put out of the page cache before. Where no control group can be made (no
rights, another system), the limit is not set, and the targets are not measured.

Shown for both: pictures a second on the wall, and a second of processor time, which other work on
the machine changes less but which leaves out waiting for the disk; pages read from disk; and the
most that the process held, with the pages of mapped files (VmHWM) and without (RssAnon). The rows
repeat 2,000 photographs; what is read from disk is what it would be of different ones.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.growth_pictures import photographs
from benchmarks.growth_worker import Watch, held_mib
from benchmarks.timing import Result, at_least, at_most, publish, ratio, spread

SIDE_PX = 150
ROW_BYTES = SIDE_PX * SIDE_PX * 3
TIMES = 4  # the cache is larger than the limit
FITS = 1 / 8
BATCH = 128
WARM_UP = 10  # steps
TARGET_GIB = 2.0
TARGET_SPEED = 0.5
_ROOT = Path("/sys/fs/cgroup")


def write_cache(path: Path, num_rows: int) -> None:
    """Write (num_rows, 150, 150, 3) pixels and put them out of the page cache."""
    base = np.stack(list(photographs(min(2_000, num_rows), SIDE_PX)))
    with path.open("wb") as file:
        shape = (num_rows, SIDE_PX, SIDE_PX, 3)
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, num_rows, len(base)):
            file.write(base[: num_rows - start].tobytes())
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def limited(limit_bytes: int) -> Iterator[Path | None]:
    """Make a control group with a limit on memory, below this process's own; None where not."""
    group, limit = _own_group() / f"saccade-{os.getpid()}", "memory.limit_in_bytes"
    if not (_ROOT / "memory").is_dir():
        limit = "memory.max"
    try:
        group.mkdir()
        (group / limit).write_text(str(limit_bytes))
    except OSError as error:
        print(f"memory is not limited: {error}")
        yield None
        return
    try:
        yield group
    finally:
        group.rmdir()


def _own_group() -> Path:
    """Return this process's own group: of version 1's memory controller, or of version 2."""
    lines = [line.split(":") for line in Path("/proc/self/cgroup").read_text().splitlines()]
    for _, controllers, path in lines:
        if "memory" in controllers.split(","):
            return _ROOT / "memory" / path.lstrip("/")
    return _ROOT / lines[-1][2].lstrip("/")


@dataclass(slots=True)
class Counter:
    """Stops training after some steps, and says how fast those after the first few were."""

    steps: int
    moments: list[tuple[float, float]] = field(default_factory=list)  # wall, processor

    def __call__(self) -> bool:
        self.moments.append((time.monotonic(), time.process_time()))
        return len(self.moments) >= self.steps

    def rates(self) -> tuple[float, float]:
        """Return pictures a second, and a second of processor time."""
        first, last = self.moments[WARM_UP - 1], self.moments[-1]
        count = BATCH * (self.steps - WARM_UP)
        return count / (last[0] - first[0]), count / (last[1] - first[1])


def train(path: Path, steps: int) -> dict[str, float]:
    """Train on a cache; return pictures a second and what was held, in MiB."""
    from benchmarks.growth_worker import network
    from saccade.progress import Silence
    from saccade.training import Facts, Pictures, derive_plan, train_network

    pixels = np.load(path, mmap_mode="r")
    rows = np.arange(len(pixels))
    model = network(side_px=SIDE_PX, channels=3, num_classes=2)
    facts = Facts(
        width_px=SIDE_PX,
        height_px=SIDE_PX,
        same_size=True,
        channels=3,
        num_classes=2,
        num_train=len(rows),
        budget_s=None,
        epochs=100,
    )
    plan = derive_plan(facts, model="network.keras", input_shape=(SIDE_PX, SIDE_PX, 3))
    counter = Counter(steps)
    with Watch() as watch:
        train_network(
            model,
            train=Pictures(pixels, rows, rows % 2),
            validation=Pictures(pixels, rows[:256], rows[:256] % 2),
            plan=plan,
            checkpoint_dir=None,
            should_stop=counter,
            progress=Silence(),
        )
    wall, processor = counter.rates()
    return {
        "rate": wall,
        "processor_rate": processor,
        "pages_read": resource.getrusage(resource.RUSAGE_SELF).ru_majflt,
        "resident_mib": held_mib("VmHWM"),
        "own_mib": watch.most_mib,
    }


def measure(path: Path, steps: int, group: Path | None) -> dict[str, Any]:
    """Train in a process of its own, in the group."""
    words = [sys.executable, "-m", "benchmarks.memory", "--train", path, "--steps", steps]
    if group is not None:
        words += ["--group", group]
    ended = subprocess.run(list(map(str, words)), stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small cache and few steps")
    parser.add_argument("--limit-mib", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--place", type=Path, help="folder for the caches, on a disk with room")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--group", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.train is not None:
        if given.group is not None:
            (given.group / "cgroup.procs").write_text(str(os.getpid()))
        print(json.dumps(train(given.train, given.steps)))
        return
    steps = 20 if given.quick else given.steps
    limit = given.limit_mib << 20
    sizes = {"fits": limit * FITS, "four times the limit": limit * TIMES}
    if given.quick:
        sizes = dict.fromkeys(sizes, 256 * ROW_BYTES)
    found = {}
    for name, size in sizes.items():
        with tempfile.TemporaryDirectory(dir=given.place) as folder, limited(limit) as group:
            path = Path(folder, "pixels.npy")
            write_cache(path, int(size) // ROW_BYTES)
            found[name] = measure(path, steps, group)
            found[name]["limited"] = group is not None
    report(found, given)


def report(found: dict[str, Any], given: argparse.Namespace) -> None:
    """Print both, and whether the larger one stayed in memory and kept its speed."""
    figures = {}
    for name, row in found.items():
        figures[f"{name}, training"] = spread([row["rate"]], "pictures/s")
        figures[f"{name}, by processor time"] = spread([row["processor_rate"]], "pictures/s")
        figures[f"{name}, waits for pages"] = spread([row["pages_read"]], "faults")
        figures[f"{name}, resident"] = spread([row["resident_mib"] / 1024], "GiB")
        figures[f"{name}, without mapped files"] = spread([row["own_mib"] / 1024], "GiB")
    small, large = found.values()
    speed = ratio([large["rate"]], [small["rate"]])
    figures["speed, four times the limit to one that fits"] = speed
    judged = large["limited"] and not given.quick
    what = "GiB resident, training on a cache four times the memory allowed"
    targets = [
        at_most(what, TARGET_GIB, large["resident_mib"] / 1024 if judged else None),
        at_least(
            "its speed on the wall beside one that fits",
            TARGET_SPEED,
            speed.median if judged else None,
        ),
    ]
    settings = {"quick": given.quick, "limit_mib": given.limit_mib, "side_px": SIDE_PX}
    publish(
        Result(benchmark="memory", settings=settings, figures=figures, targets=targets, peers={})
    )


if __name__ == "__main__":
    main()
