"""How the cost of each stage grows with the pictures, the classes and the pictures' side.

    python -m benchmarks.growth [--quick] [--pictures N …] [--classes N …] [--sides N …]
                                [--rows PATH] [--plot PATH]

Each row is one whole `saccade train` of one epoch in a process of its own (`growth_worker.py`),
over an archive made of real pictures (`growth_pictures.py`): 1,000 to 1,000,000 pictures of 28 px
in 10 classes; 20,000 pictures in 2 to 1,000 classes; 1,000 photographs of 28 to 384 px. The network
has 16 and 32 maps, so that the work around it shows.

Growth is the slope between neighbouring sizes in a plot of logarithms: 1 is as fast as the input.
It is judged by processor time, which other work on the machine changes less than it changes the
clock on the wall, and at the two largest sizes, where fixed costs are behind. The input is the
number of pictures, of classes, and of pixels a picture.

`--rows` keeps the rows in a JSON file and measures only what is not in it, so that the largest can
be measured once; `--plot` draws them as an SVG file (`growth_plot.py`). A million pictures take 1.4
GB of `--place` and 1 GB of cache meanwhile. Needs Linux, and $SACCADE_DATASETS for the photographs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import growth_pictures, growth_plot
from benchmarks.timing import Result, Spread, Target, at_most, publish, spread
from saccade.data.cachefolder import compiled_folder
from saccade.training.kernels.library import load_kernels

STAGES = (
    *("scan", "cache", "copies", "train"),
    *("bundle", "test", "advice", "report", "between"),
)
TARGET_SLOPE = 1.1
LEAST_JUDGED_S = 1.0  # a stage that takes less at the largest size is mostly fixed cost
SIZES = {
    "pictures": [1_000, 10_000, 100_000, 1_000_000],
    "classes": [2, 10, 100, 1_000],
    "sides": [28, 64, 128, 256, 384],
}
QUICK_SIZES: dict[str, list[int]] = {"pictures": [200], "classes": [], "sides": []}
QUICK_SOURCE = "digits"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One size to measure; `axis` says which of the numbers is being varied."""

    axis: str  # "pictures", "classes" or "side"
    pictures: int
    classes: int
    side_px: int

    @property
    def size(self) -> int:
        """The number that is varied."""
        return {"pictures": self.pictures, "classes": self.classes, "side": self.side_px}[self.axis]

    @property
    def input_size(self) -> int:
        """What the cost may grow with: pixels, for the side."""
        return self.size**2 if self.axis == "side" else self.size

    @property
    def key(self) -> str:
        return f"{self.axis} {self.size}"


def cases_of(given: argparse.Namespace) -> list[Case]:
    per_class, per_side = (100, 60) if given.quick else (20_000, 1_000)
    return [
        *(Case(axis="pictures", pictures=n, classes=10, side_px=28) for n in given.pictures),
        *(Case(axis="classes", pictures=per_class, classes=n, side_px=28) for n in given.classes),
        *(Case(axis="side", pictures=per_side, classes=2, side_px=n) for n in given.sides),
    ]


def measure(case: Case, place: Path, *, source: str) -> dict[str, Any]:
    """Make the set, train on it once, and return what its stages cost."""
    with tempfile.TemporaryDirectory(dir=place) as name:
        folder = Path(name)
        archive = folder / "set.tar"
        channels = _write_set(archive, case, source)
        numbers = (case.side_px, channels, case.classes)
        cache = folder / "cache"
        cache.mkdir()
        (cache / "compiled").symlink_to(compiled_folder())
        command = [sys.executable, "-m", "benchmarks.growth_worker", archive, folder / "runs"]
        ended = subprocess.run(
            [*map(str, command), *map(str, numbers)],
            env=os.environ | {"SACCADE_CACHE": str(cache)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def _write_set(archive: Path, case: Case, source: str) -> int:
    """Write the pictures and return how many channels they have."""
    sizes = {"side_px": case.side_px, "count": case.pictures, "num_classes": case.classes}
    if case.axis == "side" and source != QUICK_SOURCE:
        growth_pictures.write_photographs(archive, **sizes)
        return 3
    growth_pictures.write_small(archive, name=source, **sizes)
    return 1


def measure_all(
    cases: Sequence[Case], keep: Path | None, *, place: Path, source: str
) -> dict[str, Any]:
    """Return a row for each case by its key, from `keep` where it is there already."""
    rows = json.loads(keep.read_text()) if keep is not None and keep.is_file() else {}
    compiled_folder().mkdir(parents=True, exist_ok=True)
    load_kernels()  # compiled once a machine, and so no cost of any size
    for case in cases:
        if case.key not in rows:
            rows[case.key] = measure(case, place, source=source)
            if keep is not None:
                keep.write_text(json.dumps(rows, indent=1) + "\n")
        show(case, rows[case.key])
    return {case.key: rows[case.key] for case in cases}


def show(case: Case, row: dict[str, Any]) -> None:
    print(f"\n{case.pictures:,} pictures, {case.classes:,} classes, {case.side_px} px")
    for name, cost in row["stages"].items():
        print(f"  {name:8}" + "".join(f" {key} {value:,.2f}" for key, value in cost.items()))
    report, document = (row["bytes"][name] / 1e6 for name in ("report.html", "run.json"))
    print(f"  report {report:.2f} MB, run.json {document:.2f} MB", flush=True)


def slopes(cases: Sequence[Case], costs: Sequence[float]) -> list[float]:
    """Return log(cost) over log(input), from each case to the next."""
    points = [
        (math.log(case.input_size), math.log(max(cost, 1e-6)))
        for case, cost in zip(cases, costs, strict=True)
    ]
    return [(y1 - y0) / (x1 - x0) for (x0, y0), (x1, y1) in itertools.pairwise(points)]


def judge(cases: Sequence[Case], rows: dict[str, Any]) -> tuple[dict[str, Spread], list[Target]]:
    """Return the costs of each stage by rising size as figures, and the last slope as target."""
    figures, targets = {}, []
    for axis in dict.fromkeys(case.axis for case in cases):
        along = sorted((case for case in cases if case.axis == axis), key=lambda case: case.size)
        for name in STAGES:
            stages = [rows[case.key]["stages"][name] for case in along]
            costs = [stage["cpu_seconds"] for stage in stages]
            figures[f"{name} by {axis}, processor time"] = spread(costs, "s")
            figures[f"{name} by {axis}, own memory"] = spread(
                [stage["peak_own_mib"] for stage in stages if "peak_own_mib" in stage] or [0], "MiB"
            )
            found = slopes(along, costs)
            print(f"{name} by {axis}: slopes {', '.join(f'{slope:.2f}' for slope in found)}")
            what = f"growth of {name} with the {axis}, at the largest two"
            judged = found[-1] if found and costs[-1] > LEAST_JUDGED_S else None
            targets.append(at_most(what, TARGET_SLOPE, judged))
    return figures, targets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one tiny size")
    parser.add_argument("--pictures", nargs="*", type=int)
    parser.add_argument("--classes", nargs="*", type=int)
    parser.add_argument("--sides", nargs="*", type=int)
    parser.add_argument("--rows", type=Path, help="JSON file of rows to keep and go on with")
    parser.add_argument("--plot", type=Path, help="SVG file to draw")
    parser.add_argument("--place", type=Path, help="folder for the sets, on a disk with room")
    given = parser.parse_args()
    for name, sizes in (QUICK_SIZES if given.quick else SIZES).items():
        if getattr(given, name) is None:
            setattr(given, name, sizes)
    cases = cases_of(given)
    source = QUICK_SOURCE if given.quick else "fashion-mnist"
    rows = measure_all(cases, given.rows, place=given.place, source=source)
    figures, targets = judge(cases, rows)
    if given.plot is not None:
        given.plot.write_text(growth_plot.draw(rows))
    settings = {"quick": given.quick, "rows": rows}
    publish(
        Result(benchmark="growth", settings=settings, figures=figures, targets=targets, peers={})
    )


if __name__ == "__main__":
    main()
