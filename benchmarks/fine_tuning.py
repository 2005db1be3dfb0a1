"""What fine-tuning gains or loses beside the head alone, at which rates, on held-out photographs.

    python -m benchmarks fine_tuning [--quick] [--rates 1e-5,3e-5,1e-4,3e-4,1e-3] [--epochs 6]
                                     [--lowest-shares 1,0.25,0.06]

MobileNet-0.25 with ImageNet's weights, on training pictures alone of cats and dogs and of flowers:
each seed deals them anew into some to train on, of which a tenth validates, and the rest, which is
held out and judges. Shown is what the network gains on the same head over frozen features: points
of accuracy, and calibrated log loss (less is better), of what `--fine-tune` keeps; validation
decides whether that is the network as it was. A lowest share is the lowest layer's rate for 1 of
the head's. No test part is looked at. Data and weights lie in the folder that SACCADE_DATASETS
names.
"""

from __future__ import annotations

import argparse
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.sets import WEIGHTS, sets_folder
from benchmarks.timing import Result, Spread, publish, spread

# Photographs, and how many to train and validate on; what is left is held out.
CASES: Final = {"cats-vs-dogs-192px.tar": 600, "flowers-originals.tar": 245}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a network does on the held-out pictures."""

    accuracy: float
    loss: float  # once calibrated on validation


def deal(archive: Path, folder: Path, *, num_train: int, seed: int, share: float) -> None:
    """Write a share of the training pictures into class folders of `train` and `test`."""
    with tarfile.open(archive) as tar:
        members = [m for m in tar if m.isfile() and m.name.endswith(".jpg")]
        members = [m for m in members if "/test/" not in m.name]
        order = np.random.default_rng(seed).permutation(len(members))
        for place, number in enumerate(order[: round(share * len(members))]):
            part = "train" if place < share * num_train else "test"
            to = folder / part / Path(members[number].name).parent.name / f"{number}.jpg"
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(tar.extractfile(members[number]).read())


def judged(network: Any, prepared: Any) -> Judged:
    """Calibrate on validation, and judge by the held-out pictures."""
    from saccade.evaluation import apply_temperature
    from saccade.evaluation.calibration import fit_temperature
    from saccade.progress import Silence
    from saccade.training import logits_of
    from saccade.types import TEST, VALIDATION

    validation, held_out = prepared.pictures(VALIDATION), prepared.pictures(TEST)
    warmth = fit_temperature(logits_of(network, validation, progress=Silence()), validation.labels)
    probabilities = apply_temperature(logits_of(network, held_out, progress=Silence()), warmth)
    of_truth = probabilities[np.arange(len(held_out.labels)), held_out.labels]
    right = probabilities.argmax(axis=1) == held_out.labels
    return Judged(accuracy=float(right.mean()), loss=float(-np.log(of_truth).mean()))


def compared(
    data: Path, weights: Path, rates: Iterable[tuple[float, float]], *, epochs: int, seed: int
) -> Iterator[tuple[str, Judged, bool]]:
    """Yield the head alone, then what each rate and lowest share make of it, and if it is kept."""
    from saccade.config import TrainSettings
    from saccade.progress import Silence
    from saccade.recipe.clock import Clock
    from saccade.recipe.network import build
    from saccade.recipe.prepare import prepare
    from saccade.recipe.request import new_request
    from saccade.transfer import fine_tune, train_head
    from saccade.types import TRAIN, VALIDATION

    settings = TrainSettings(epochs=epochs, weights=weights, fine_tune=True, seed=seed)
    request = new_request(data, test=None, settings=settings, name="run", out=data / "runs")
    prepared = prepare(request, clock=Clock(), progress=Silence())
    network = build(prepared, settings)
    pictures: dict[str, Any] = {
        "train": prepared.pictures(TRAIN),
        "validation": prepared.pictures(VALIDATION),
        "progress": Silence(),
    }
    featured = prepared.featured
    head = train_head(
        network, prepared.body, prepared.cache, seed=seed, featured=featured, **pictures
    )
    solved = network.get_weights()
    yield "head alone", judged(network, prepared), True
    for rate, share in rates:
        network.set_weights(solved)
        plan = replace(prepared.plan, learning_rate=rate, lowest_share=share)
        fit = fine_tune(network, head, plan, checkpoint_dir=None, **pictures)
        kept = fit.best_epoch > head.num_epochs
        yield f"{rate:g} to {share:g} of it", judged(network, prepared), kept


def measure(sets: Path, given: argparse.Namespace) -> dict[str, Spread]:
    """Return gains and losses of each set and rate, one for each seed."""
    rates, shares = (map(float, text.split(",")) for text in (given.rates, given.lowest_shares))
    pairs = tuple(product(rates, shares))
    taken: dict[str, list[float]] = {}
    for seed in range(given.seeds):
        for name, num_train in CASES.items():
            with tempfile.TemporaryDirectory(prefix="saccade-") as folder:
                share = 0.15 if given.quick else 1.0
                deal(sets / name, Path(folder), num_train=num_train, seed=seed, share=share)
                found = compared(
                    Path(folder), sets / WEIGHTS, pairs, epochs=given.epochs, seed=seed
                )
                _, alone, _ = next(found)
                print(f"seed {seed}: {name}: head alone {alone}", flush=True)
                rows = [(f"{name}, head alone, right, %", 100 * alone.accuracy)]
                rows.append((f"{name}, head alone, loss", alone.loss))
                for rate, tuned, kept in found:
                    print(f"seed {seed}: {name}: {rate} {tuned}, kept: {kept}", flush=True)
                    gain = 100 * (tuned.accuracy - alone.accuracy)
                    rows.append((f"{name}, {rate}, points gained", gain))
                    rows.append((f"{name}, {rate}, loss added", tuned.loss - alone.loss))
                    rows.append((f"{name}, {rate}, kept", float(kept)))
            for what, value in rows:
                taken.setdefault(what, []).append(value)
    return {what: spread(values, "") for what, values in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few pictures, one rate, one epoch")
    parser.add_argument("--rates", default="1e-5,3e-5,1e-4,3e-4,1e-3")
    parser.add_argument("--lowest-shares", default="1,0.25,0.06")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    given = parser.parse_args()
    if given.quick:
        given.rates, given.lowest_shares, given.seeds, given.epochs = "1e-4", "0.25", 1, 1
    figures = measure(sets_folder(*CASES, WEIGHTS), given)
    publish(
        Result(benchmark="fine_tuning", settings=vars(given), figures=figures, targets=[], peers={})
    )


if __name__ == "__main__":
    main()
