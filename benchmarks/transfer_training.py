"""How soon a head on a frozen network is trained: Saccade beside the tutorial's way on TensorFlow.

    python -m benchmarks.transfer_training [--quick] [--rounds 3]

MobileNet-0.25 with real weights and the 2,000 training pictures of cats and dogs, at 224 px; the
set's own 2,000 test pictures are scored once a round, after everything is chosen. Saccade's time is
its stage "train": choosing a runtime, all features, and the head. The peer's is `fit` alone: ten
epochs of the frozen network inside the model, with validation, on the same pixels, scaled and in
memory beforehand, and with a head of one layer on averages, cheaper than the tutorial's own. Data
and weights lie in the folder that SACCADE_DATASETS names.
"""

from __future__ import annotations

import argparse
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.peers import ROOT, peer_versions, run_json, tensorflow_python
from benchmarks.sets import WEIGHTS, sets_folder
from benchmarks.timing import Result, at_least, at_most, publish, ratio, spread

ARCHIVE = "cats-vs-dogs-192px.tar"
WORKER = ROOT / "benchmarks" / "transfer_training_worker.py"
EPOCHS = 10
ACCURACY, SHARE = 0.9, 1 / 20  # wanted on the test part, in this share of the peer's time


def one_round(archive: Path, weights: Path, peer: Path, *, epochs: int) -> Mapping[str, float]:
    """Train both ways, each in a process of its own, from empty caches."""
    with tempfile.TemporaryDirectory(prefix="saccade-") as folder:
        cache = {"SACCADE_CACHE": str(Path(folder) / "cache"), "KERAS_BACKEND": "torch"}
        ours = run_json([sys.executable, WORKER, "saccade", archive, weights, folder], cache)
        way = [peer, WORKER, "keras", "--epochs", str(epochs), weights, folder]
        theirs = run_json(way, {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"})
    return {f"saccade {name}": value for name, value in ours.items()} | {
        f"keras {name}": value for name, value in theirs.items()
    }


def few(archive: Path, folder: Path) -> Path:
    """Unpack one picture in fifty."""
    with tarfile.open(archive) as tar:
        pictures = [member for member in tar if member.isfile()]
        tar.extractall(folder, members=pictures[::50], filter="data")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few pictures: shows that it runs")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    folder, peer = sets_folder(ARCHIVE, WEIGHTS), tensorflow_python()
    rounds, epochs = (1, 1) if given.quick else (given.rounds, EPOCHS)
    with tempfile.TemporaryDirectory(prefix="saccade-") as place:
        archive = few(folder / ARCHIVE, Path(place)) if given.quick else folder / ARCHIVE
        measured = [
            one_round(archive, folder / WEIGHTS, peer, epochs=epochs) for _ in range(rounds)
        ]
    samples = {name: [found[name] for found in measured] for name in measured[0]}
    figures = {
        name: spread(values, "share right" if name.endswith("accuracy") else "s")
        for name, values in samples.items()
    }
    share = figures["saccade to keras"] = ratio(samples["saccade fit"], samples["keras fit"])
    publish(
        Result(
            benchmark="transfer_training",
            settings={"quick": given.quick, "rounds": rounds, "epochs": epochs},
            figures=figures,
            targets=[
                at_least("share of test pictures right", ACCURACY, figures["saccade accuracy"].low),
                at_most(f"of the time of {epochs} epochs of Keras fit", SHARE, share.median),
            ],
            peers=peer_versions(peer),
        )
    )


if __name__ == "__main__":
    main()
