"""What ImageNet's weights are worth beside a network from scratch, for pictures of several kinds.

    python -m benchmarks.from_weights [--quick] [--only hands …]

Each set's training pictures, and no test picture, judge five folds of themselves twice: once with
a head on MobileNet-0.25, once with what `auto` trains from scratch in the budget, a sixth of which
each training gets. What `--model auto` begins from rests on that. Last, horses or humans are
trained with these weights as a user would, and judged by their test pictures. The sets and the
weights lie in the folder that SACCADE_DATASETS names.
"""

from __future__ import annotations

import argparse
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from benchmarks.peers import run_json, saccade_command
from benchmarks.scratch import CASES, HORSES, data_words, train
from benchmarks.sets import WEIGHTS, sets_folder
from benchmarks.timing import Result, Spread, Target, at_least, publish, spread

GREY_PX: Final = 256  # longest side of a picture that is made grey; more only takes time


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A set of pictures, and how long networks from scratch may take over its six trainings."""

    name: str
    archive: str
    budget: str
    part: str = "*/train"
    in_grey: bool = False
    each: int | None = None  # pictures a class, the first by name; None: all


KINDS: Final = (
    Kind(name="horses", archive=HORSES, budget="10m"),
    Kind(name="cats-in-grey", archive="cats-vs-dogs-192px.tar", budget="10m", in_grey=True),
    Kind(
        name="flowers-in-grey",
        archive="flowers-originals.tar",
        budget="5m",
        part="flowers",
        in_grey=True,
    ),
    Kind(name="hands", archive="rock-paper-scissors-28px.tar", budget="5m"),
    Kind(name="cifar10", archive="cifar10-jpeg.tar.gz", budget="5m", each=200),
)
QUICK: Final = KINDS[3]


def unpack(kind: Kind, sets: Path, folder: Path) -> Path:
    """Write the pictures that learn and judge into `folder`; return the folder of their classes."""
    with tarfile.open(sets / kind.archive) as tar:
        tar.extractall(folder, filter="data")
    (part,) = folder.glob(kind.part)
    for label in sorted(path for path in part.iterdir() if path.is_dir()):
        for path in sorted(label.iterdir())[kind.each :] if kind.each else ():
            path.unlink()
        for path in sorted(label.iterdir()) if kind.in_grey else ():
            make_grey(path)
    return part


def make_grey(path: Path) -> None:
    """Write a picture's lightness beside it, as PNG, and delete it."""
    with Image.open(path) as picture:
        picture.thumbnail((GREY_PX, GREY_PX))
        picture.convert("L").save(path.with_suffix(".png"))
    path.unlink()


def compare(kind: Kind, sets: Path, *, quick: bool) -> dict[str, Spread]:
    """Return both ways' share of right answers and log loss over the folds."""
    ways: dict[str, list[str | Path]] = {
        "with weights": ["--weights", sets / WEIGHTS],
        "from scratch": ["--epochs", "1"] if quick else ["--budget", kind.budget],
    }
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        part = unpack(kind, sets, Path(folder))
        for way, words in ways.items():
            folds = ["--folds", "2" if quick else "5", "--out", Path(folder, "runs"), "--json"]
            run = run_json(saccade_command("train", part, *folds, *words))
            for name, unit in (("accuracy", "share right"), ("log_loss", "nats")):
                figure = spread([run["test"][name]["value"]], unit)
                figures[f"{kind.name}, {way}, {name}"] = figure
                print(f"{kind.name}, {way}: {figure}", flush=True)
    return figures


def horses_with_weights(sets: Path) -> Target:
    """Train on horses or humans with the weights; return the share of test pictures, as a target.

    It is one run: frozen features and a solved head leave hardly anything to chance.
    """
    (case,) = (case for case in CASES if case.data == HORSES)
    with tempfile.TemporaryDirectory() as folder:
        words = [*data_words(case, sets, Path(folder)), "--weights", sets / WEIGHTS]
        accuracy, _ = train(words, seed=0)
    return at_least("horses or humans with weights, test", case.wanted, accuracy)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two folds, one epoch, one set")
    parser.add_argument("--only", nargs="+", choices=[kind.name for kind in KINDS])
    given = parser.parse_args()
    asked = [kind for kind in KINDS if kind.name in (given.only or [kind.name])]
    kinds = [QUICK] if given.quick else asked
    archives = [kind.archive for kind in kinds]
    sets = sets_folder(WEIGHTS, *archives)
    figures: dict[str, Spread] = {}
    for kind in kinds:
        figures |= compare(kind, sets, quick=given.quick)
    publish(
        Result(
            benchmark="from_weights",
            settings=vars(given),
            figures=figures,
            targets=[horses_with_weights(sets)] if HORSES in archives else [],
            peers={},
        )
    )


if __name__ == "__main__":
    main()
