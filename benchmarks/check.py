"""How much of what is planted `saccade check` finds, what else it reports, and how long it takes.

    python -m benchmarks check [--quick] [--pictures 2000] [--only copies|time|labels]

Copies: training pictures of $SACCADE_DATASETS, and of each a copy that was resized, saved again,
made lighter or darker, cropped by up to 8 % a side or mirrored; each kind alone, then all kinds
together, one copy a picture. A reported pair that was not planted is false unless a slow judge
finds it the same (benchmarks/sameness.py): data sets hold copies of their own. The judge's limit is
what 95 of 100 planted copies of the set stay under, so a copy of the set's own counts as one where
it is as alike as a planted one. At most 60 unplanted pairs are judged, and stand for all.

Time: the whole command over 60,000 pictures, and over every sixth of them.

Labels: 5 % of the labels of training pictures are flipped; of as many pictures as were flipped,
those that are suspected most, the share that were. And how many labels `check --labels` says look
wrong, or perhaps are, and how many of these were flipped; so too, once, where none was.
"""

from __future__ import annotations

import argparse
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks import planted
from benchmarks.peers import saccade_command
from benchmarks.sameness import difference
from benchmarks.sets import WEIGHTS, sets_folder
from benchmarks.start import seconds_of
from benchmarks.timing import Result, Spread, Target, at_least, at_most, publish, spread
from saccade.check.labels import LIKELY_WRONG, PERHAPS_WRONG

RECALL, FALSE = 0.95, 0.01
SECONDS, GROWTH = 60.0, 1.3  # growth: of the time a picture; N log N from 10,000 allows 1.2
TIMED: Final = "cifar10-jpeg.tar.gz"
SETS: Final = (TIMED, "cats-vs-dogs-192px.tar", "flowers-originals.tar")
MOST_JUDGED: Final = 60
FLIPPED: Final = 0.05
MOST_SUSPECTED: Final = "flipped among as many most suspected"

Pairs = set[tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCase:
    """Training pictures whose labels are flipped, and the precision that is wanted, if one is."""

    name: str
    data: str  # a named set, or a file of $SACCADE_DATASETS
    pictures: int
    weights: str | None
    wanted: float | None


LABELS: Final = (
    LabelCase(
        name="Fashion-MNIST", data="fashion-mnist", pictures=10_000, weights=None, wanted=0.8
    ),
    LabelCase(name="CIFAR-10 JPEG", data=TIMED, pictures=10_000, weights=None, wanted=None),
    LabelCase(name="cats and dogs", data=SETS[1], pictures=2_000, weights=WEIGHTS, wanted=0.5),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planted:
    """Files, originals first, then a copy of each of every kind; and their thumbnails."""

    files: list[bytes]
    thumbs: Any  # (files, 32, 32)
    tints: Any  # (files, 8, 8, 2)
    num_originals: int

    def rows(self, kinds: tuple[str, ...]) -> Any:
        """Return the rows of the originals and of one copy of each, the kinds in turn."""
        originals = np.arange(self.num_originals)
        kind = np.array([planted.KINDS.index(kind) for kind in kinds])[originals % len(kinds)]
        return np.concatenate([originals, (1 + kind) * self.num_originals + originals])


def plant(archive: Path, number: int) -> Planted:
    """Take pictures of an archive, copy each in every way, and look at them as `check` does."""
    from saccade.check.thumbnails import look
    from saccade.data import build_index, open_source
    from saccade.progress import Silence

    random, files = np.random.default_rng(0), planted.files(archive, number)
    pictures = planted.photographs(archive, number)
    for kind in planted.KINDS:
        for picture in pictures:
            files.append(planted.as_jpeg(planted.changed(picture, kind, random), kind))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "all").mkdir()
        for row, content in enumerate(files):
            (Path(folder) / "all" / f"{row:07}.jpg").write_bytes(content)
        source = open_source(folder, progress=Silence())
        looks = look(source, build_index(source, progress=Silence()), progress=Silence())
    return Planted(files=files, thumbs=looks.thumbs, tints=looks.tints, num_originals=len(pictures))


def reported(found: Planted, rows: Any) -> Pairs:
    """Return the pairs that `check` reports among some of the rows."""
    from saccade.check.copies import near_copies

    pairs = near_copies(found.thumbs[rows], found.tints[rows])
    ends = rows[np.stack([pairs.first, pairs.second])]
    return {(int(low), int(high)) for low, high in np.sort(ends, axis=0).T}


def recall_of(found: Planted, pairs: Pairs, kinds: tuple[str, ...]) -> float:
    """Return the share of the planted pairs that were reported."""
    originals, copies = found.rows(kinds).reshape(2, -1).tolist()
    return float(np.mean([pair in pairs for pair in zip(originals, copies, strict=True)]))


def false_among(found: Planted, pairs: Pairs, most: int) -> tuple[int, float]:
    """Return how many pairs were not planted, and the share of them that are no copies either."""
    count, random = found.num_originals, np.random.default_rng(0)
    own = sorted(pair for pair in pairs if pair[0] % count != pair[1] % count)
    rest = sorted(pairs - set(own))
    if not own:
        return 0, 0.0
    judged = [own[place] for place in random.permutation(len(own))[:most]]
    known = [rest[place] for place in random.permutation(len(rest))[:most]]
    limit = np.quantile([_difference(found, pair) for pair in known], 0.95) if known else 0.0
    return len(own), float(np.mean([_difference(found, pair) > limit for pair in judged]))


def _difference(found: Planted, pair: tuple[int, int]) -> float:
    return difference(found.files[pair[0]], found.files[pair[1]])


def measure_copies(
    archive: Path, number: int, most_judged: int
) -> tuple[dict[str, Spread], list[Target]]:
    """Return recall, kind by kind and together, and false pairs, of one set."""
    found, name = plant(archive, number), archive.name.partition(".")[0]
    figures, recalls = {}, []
    for kind in planted.KINDS:
        pairs = reported(found, found.rows((kind,)))
        recalls.append(recall_of(found, pairs, (kind,)))
        figures[f"{name}, {kind}, found"] = spread([100 * recalls[-1]], "%")
    rows = found.rows(planted.KINDS)
    pairs = reported(found, rows)
    together = recall_of(found, pairs, planted.KINDS)
    own, share = false_among(found, pairs, most_judged)
    of_pairs, of_pictures = own * share / max(1, len(pairs)), own * share / len(rows)
    figures |= {
        f"{name}, all kinds together, found": spread([100 * together], "%"),
        f"{name}, reported and not planted": spread([own], "pairs"),
        f"{name}, false of the pairs": spread([100 * of_pairs], "%"),
        f"{name}, false to a picture": spread([100 * of_pictures], "%"),
    }
    return figures, [
        at_least(f"{name}, least of the kinds found", RECALL, min(recalls)),
        at_least(f"{name}, all kinds together found", RECALL, together),
        at_most(f"{name}, false of the reported pairs", FALSE, of_pairs),
        at_most(f"{name}, false pairs to a picture", FALSE, of_pictures),
    ]


def every_sixth(archive: Path, to: Path) -> Path:
    """Write an archive of every sixth picture of another."""
    with tarfile.open(archive) as tar, tarfile.open(to, "w") as smaller:
        members = [member for member in tar if member.isfile()]
        for member in members[::6]:
            smaller.addfile(member, tar.extractfile(member))
    return to


def measure_time(archive: Path, rounds: int) -> tuple[dict[str, Spread], list[Target]]:
    """Return the seconds of the whole command, and how the time of a picture grows."""
    with tempfile.TemporaryDirectory() as folder:
        part = every_sixth(archive, Path(folder) / "sixth.tar")
        small, large = [], []
        for _ in range(rounds):
            small.append(seconds_of(saccade_command("check", part, "--json")))
            large.append(seconds_of(saccade_command("check", archive, "--json")))
    growth = spread([b / (6 * a) for a, b in zip(small, large, strict=True)], "times")
    figures = {
        "every sixth picture, seconds": spread(small, "s"),
        "all pictures, seconds": spread(large, "s"),
        "time a picture, all to every sixth": growth,
    }
    return figures, [
        at_most(
            f"saccade check {archive.name}, seconds",
            SECONDS,
            figures["all pictures, seconds"].median,
        ),
        at_most("time a picture, all to every sixth", GROWTH, growth.median),
    ]


def suspected(
    case: LabelCase, share: float, *, sets: Path, seed: int, budget_s: float
) -> dict[str, float]:
    """Flip a share of the labels; return how many each finding lists, and how many were flipped.

    And, where some were, the share of flipped among as many pictures that are suspected most.
    """
    from saccade.check.folds import LabelSettings, guess
    from saccade.check.labels import knows, likely_wrong, suspicion
    from saccade.check.pairs import find_copies
    from saccade.check.thumbnails import look
    from saccade.data import Kin, build_index, open_source
    from saccade.progress import Silence
    from saccade.types import TRAIN

    data = case.data if case.data == "fashion-mnist" else str(sets / case.data)
    source, random = open_source(data, progress=Silence()), np.random.default_rng(seed)
    index = build_index(source, progress=Silence())
    train = index.rows_of(TRAIN)
    kept = random.permutation(train)[: case.pictures]
    flipped = kept[: round(share * len(kept))]
    reason, label = np.full(len(index), "not of the sample", object), index.label.copy()
    reason[kept] = ""
    label[flipped] += random.integers(1, len(index.classes), len(flipped))
    label[flipped] %= len(index.classes)
    index = index.with_columns(reason=reason, label=label)
    looks = look(source, index, progress=Silence())
    weights = None if case.weights is None else sets / case.weights
    settings = LabelSettings(budget_s=budget_s, weights=weights)
    kin = Kin(near=find_copies(index, looks).near)
    guesses = guess(source, index, looks, settings, kin=kin, progress=Silence())
    known = knows(guesses)  # else `saccade check` names none
    counts: dict[str, float] = {}
    findings = likely_wrong(index, guesses) if known else ()
    listed = {finding.name: finding.rows for finding in findings}
    wrong = {index.path[row] for row in flipped}
    for name in (LIKELY_WRONG, PERHAPS_WRONG):
        rows = listed.get(name, ())
        counts[name] = len(rows)
        counts[f"{name}, flipped of these"] = sum(row.path in wrong for row in rows)
    if len(flipped):
        worst = guesses.rows[np.argsort(-suspicion(guesses), kind="stable")[: len(flipped)]]
        counts[MOST_SUSPECTED] = float(np.isin(worst, flipped).mean()) if known else 0.0
    return counts


def measure_labels(
    sets: Path, *, quick: bool, rounds: int, budget_s: float
) -> tuple[dict[str, Spread], list[Target]]:
    """Return what is suspected, case by case, and the precision at the planted number."""
    figures: dict[str, Spread] = {}
    targets = []
    for case in LABELS:
        there = case.data == "fashion-mnist" or (sets / case.data).is_file()
        for share, times in ((FLIPPED, rounds), (0.0, 1)) if there and not quick else ():
            found = [
                suspected(case, share, sets=sets, seed=seed, budget_s=budget_s)
                for seed in range(times)
            ]
            figures |= {
                f"{case.name}, {share:.0%} flipped, {name}": spread(
                    [counts[name] for counts in found], "of 1" if name == MOST_SUSPECTED else ""
                )
                for name in found[0]
            }
        if case.wanted is not None:
            figure = figures.get(f"{case.name}, {FLIPPED:.0%} flipped, {MOST_SUSPECTED}")
            what = f"{case.name}, flipped labels among the most suspected"
            targets.append(at_least(what, case.wanted, figure.median if figure else None))
    return figures, targets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few pictures, no labels")
    parser.add_argument("--pictures", type=int, default=2_000, help="of each set, at most")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--budget", type=float, default=120.0, help="seconds, for labels")
    parser.add_argument("--only", choices=("copies", "time", "labels"))
    given = parser.parse_args()
    sets = sets_folder(*SETS)
    figures: dict[str, Spread] = {}
    targets: list[Target] = []
    for some, more in _measured(given, sets):
        figures |= some
        targets += more
    settings = {name: getattr(given, name) for name in ("quick", "pictures", "rounds", "budget")}
    publish(
        Result(benchmark="check", settings=settings, figures=figures, targets=targets, peers={})
    )


def _measured(
    given: argparse.Namespace, sets: Path
) -> Iterator[tuple[dict[str, Spread], list[Target]]]:
    rounds, quick = (1 if given.quick else given.rounds), given.quick
    if given.only in (None, "copies"):
        for name in SETS:
            number, most = (24, 4) if quick else (given.pictures, MOST_JUDGED)
            yield measure_copies(sets / name, number, most)
    if given.only in (None, "time"):
        yield measure_time(sets / TIMED, rounds)
    if given.only in (None, "labels"):
        yield measure_labels(sets, quick=quick, rounds=rounds, budget_s=given.budget)


if __name__ == "__main__":
    main()
