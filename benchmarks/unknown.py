"""What share of pictures of other data sets a model refuses as unknown, beside that of its own.

    python -m benchmarks.unknown [--quick] [--epochs 5] [--images 300] [--sets digits,cifar10]

A model is trained on each set that can be found, and asked about its own test pictures and about
training pictures of every other set that shares no class with it, noise and single colours. Shown
is the share called unknown: the limit was chosen on validation, for at most 5 % of the known. Sets
beside scikit-learn's digits are looked for in the folder that SACCADE_DATASETS names; photographs
of cats and dogs, and of flowers, are learnt on a frozen MobileNet where its weights lie there.
`--quick` trains on the digits alone, and asks about what is made up.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import saccade
from benchmarks.sets import WEIGHTS
from benchmarks.timing import Result, Target, at_least, at_most, publish, spread
from saccade.bundle.unusualness import FALSE_ALARMS
from saccade.data import Source, open_source, read_index
from saccade.evaluation.intervals import proportion
from saccade.predict import Classifier
from saccade.progress import Silence
from saccade.types import TEST

PHOTOGRAPHS = ("cats-vs-dogs", "flowers")
FILES = {
    "fashion-mnist": "fashion-mnist",
    "cifar10": "cifar10-jpeg.tar.gz",
    "rock-paper-scissors": "rock-paper-scissors-28px.tar",
    "horses-or-humans": "horses-or-humans-100px-gray.tar",
    "cats-vs-dogs": "cats-vs-dogs-192px.tar",
    "flowers": "flowers-originals.tar",
}
# CIFAR-10 has cats, dogs and horses: to know these is no mistake.
SHARING = ({"cifar10", "cats-vs-dogs"}, {"cifar10", "horses-or-humans"})
REFUSED = 0.9  # wanted of each other set


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """A set that is at hand."""

    asked: str  # what `saccade train` is given
    source: Source


def sets(folder: str | None) -> dict[str, Data]:
    """Return the sets that are at hand, by name."""
    places = {name: Path(folder, file) for name, file in FILES.items()} if folder else {}
    there = {name: place for name, place in places.items() if place.exists()}
    asked = {name: name if place.is_dir() else str(place) for name, place in there.items()}
    return {
        name: Data(asked=each, source=open_source(each, progress=Silence()))
        for name, each in ({"digits": "digits"} | asked).items()
    }


def pixels_of(
    classifier: Classifier, source: Source, rows: npt.NDArray[np.intp]
) -> npt.NDArray[np.uint8]:
    """Return some pictures of a set as the classifier sees them, (n, H, W, C)."""
    read = classifier.preprocessing.read
    return np.stack([read(payload) for _, payload in source.payloads(np.sort(rows).tolist())])


def made_up(shape: tuple[int, int, int]) -> dict[str, npt.NDArray[np.uint8]]:
    """Return 100 pictures of noise and 100 of a single colour each, (100, H, W, C)."""
    random = np.random.default_rng(0)
    colours = random.integers(0, 256, (100, 1, 1, shape[2]), dtype=np.uint8)
    noise = random.integers(0, 256, (100, *shape), dtype=np.uint8)
    return {"noise": noise, "single colours": np.broadcast_to(colours, (100, *shape)).copy()}


def judge(name: str, found: dict[str, Data], given: argparse.Namespace) -> list[Target]:
    """Train on one set, and print what share of which pictures is refused."""
    random, folder = np.random.default_rng(0), os.environ.get("SACCADE_DATASETS", "")
    weights = Path(folder, WEIGHTS) if name in PHOTOGRAPHS else Path()
    run_given = {"weights": weights} if weights.is_file() else {"epochs": given.epochs}
    with tempfile.TemporaryDirectory() as out:
        run = saccade.train(found[name].asked, out=out, name=name, progress=Silence(), **run_given)
        classifier, index = saccade.load(run.folder), read_index(run.folder / "index.parquet")
    alarms_told = f"{name}: lower end of the share refused"
    if classifier.manifest.unknown_rate is None:  # one set without a score ends no other's
        print(f"{name}: not measured; {'; '.join(run.notes)}", flush=True)
        return [at_most(alarms_told, FALSE_ALARMS, None)]
    own = random.permutation(index.rows_of(TEST))[: 4 * given.images]
    known = _refused(classifier, pixels_of(classifier, found[name].source, own))
    alarms = proportion(int(known.sum()), len(known))
    print(f"{name}: {run.test.accuracy.value:.3f} right; refuses {_shown(alarms)} of its own")
    targets = [at_most(alarms_told, FALSE_ALARMS, alarms.low)]
    others = made_up(classifier.preprocessing.shape)
    for other, data in found.items():
        if other != name and {name, other} not in SHARING and not given.quick:
            rows = [i for i, entry in enumerate(data.source.entries) if entry.part != "test"]
            some = random.permutation(rows)[: given.images]
            others[other] = pixels_of(classifier, data.source, some)
    for other, pixels in others.items():
        called = _refused(classifier, pixels)
        share = proportion(int(called.sum()), len(called))
        print(f"  refuses {_shown(share)} of {other}", flush=True)
        targets.append(at_least(f"{name}: share of {other} refused", REFUSED, share.value))
    return targets


def _refused(classifier: Classifier, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    scores = classifier.run_batch(pixels).unusualness
    if scores is None:
        raise ValueError("a classifier without this score was asked")
    return scores > 1


def _shown(figure: saccade.types.Interval) -> str:
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the digits alone")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--images", type=int, default=300, help="of each other set")
    parser.add_argument("--sets", help="train on these alone, such as digits,cifar10")
    given = parser.parse_args()
    found = sets(None if given.quick else os.environ.get("SACCADE_DATASETS"))
    names = given.sets.split(",") if given.sets else list(found)
    targets = [target for name in names for target in judge(name, found, given)]
    shares = [each.got for each in targets if each.direction == "at least" and each.got is not None]
    publish(
        Result(
            benchmark="unknown",
            settings=vars(given) | {"trained_on": names, "sets": list(found)},
            figures={
                "share refused, all pairs of sets": spread(shares, ""),
                "mean share refused": spread([statistics.mean(shares)], ""),
            },
            targets=targets,
            peers={},
        )
    )


if __name__ == "__main__":
    main()
