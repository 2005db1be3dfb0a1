"""How fast a folder of pictures on disk is predicted, and one more picture, beside Keras.

    python -m benchmarks.predict [--quick] [--rounds 5]

T6's network, built and not trained, since only its size matters here: at 32 px over the first
10,000 files of `cifar10-jpeg.tar.gz`, at 64 px over 2,000 photographs of `cats-vs-dogs-192px.tar`,
both unpacked from $SACCADE_DATASETS. Keras on TensorFlow does it as its users do:
`image_dataset_from_directory` and `model.predict`, in batches of 32, which is Keras's own choice,
and of 256; the faster counts. Measured are a process that is warm, from the folder's path to the
last answer, and the whole command; and one more picture once warm, from its file and from its
pixels, by `model.predict` or by calling the model, whichever is faster.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import ZipFile

import numpy as np

from benchmarks.peers import (
    ANSWER,
    ROOT,
    Worker,
    peer_versions,
    run_json,
    saccade_command,
    tensorflow_python,
)
from benchmarks.sets import sets_folder
from benchmarks.start import seconds_of
from benchmarks.timing import (
    Result,
    Spread,
    Target,
    at_least,
    at_most,
    in_turn,
    publish,
    ratio,
    spread,
)

BATCHES = (32, 256)  # of Keras: its own choice, and one that suits a small network better
FOLDER_TIMES, ONE_SHARE = 5.0, 0.05
WARM_CALLS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Pictures, and the side of the network's input."""

    name: str
    archive: str
    files: int
    side_px: int


CASES = (
    Case(name="small files", archive="cifar10-jpeg.tar.gz", files=10_000, side_px=32),
    Case(name="photographs", archive="cats-vs-dogs-192px.tar", files=2_000, side_px=64),
)


def unpack(archive: Path, folder: Path, files: int) -> None:
    """Write the first JPEG files of an archive into a folder."""
    folder.mkdir()
    with tarfile.open(archive) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.name.endswith(".jpg") else None
            if content is None:
                continue
            files -= 1
            (folder / f"{files:05}.jpg").write_bytes(content.read())
            if files == 0:
                return


def build_bundle(path: Path, side_px: int) -> None:
    """Write T6's network as a bundle, with random weights."""
    from saccade.bundle import Manifest, write_bundle
    from saccade.data import Preprocessing
    from saccade.models.backend import load_keras

    keras = load_keras()
    keras.utils.set_random_seed(0)
    layers, shape = keras.layers, (side_px, side_px, 3)
    stack = [keras.Input(shape), layers.Rescaling(1 / 255)]
    for filters in (32, 64):
        stack.append(layers.Conv2D(filters, 3, padding="same", activation="relu"))
        stack.append(layers.MaxPooling2D(2))
    stack += [layers.Flatten(), *(layers.Dense(200, activation="relu") for _ in range(2))]
    model = keras.Sequential([*stack, layers.Dense(10)])
    pixels = np.random.default_rng(0).integers(0, 256, (8, *shape), dtype=np.uint8)
    manifest = Manifest(
        name="t6",
        created="2026-01-01T00:00:00Z",
        classes=tuple("abcdefghij"),
        preprocessing=Preprocessing(height_px=side_px, width_px=side_px, channels=3),
        temperature=1.0,
        threshold=0.5,
        target_error_rate=0.05,
    )
    write_bundle(
        path,
        manifest,
        model=model,
        seen=np.zeros(0, dtype=np.uint64),
        parity_pixels=[pixels],
        parity_logits=model.predict(pixels.astype(np.float32), verbose=0),
    )
    with ZipFile(path) as members:
        members.extract("model.keras", path.parent)


def predict_on_request(bundle: Path, folder: Path) -> None:
    """Print how many seconds a folder took, each time that a line arrives."""
    import saccade
    from saccade.predict import find_pictures

    classifier = saccade.load(bundle)
    while sys.stdin.readline():
        started = time.perf_counter()
        failed = sum(p.error is not None for p in classifier.predict_files(find_pictures([folder])))
        seconds = time.perf_counter() - started
        assert failed == 0
        print(f"{ANSWER}{seconds}", flush=True)


def predict_warm(bundle: Path, picture: Path) -> None:
    """Print what one more picture takes, from its file and from its pixels."""
    import saccade

    classifier = saccade.load(bundle)
    pixels = classifier.preprocessing.read(picture)
    print(
        json.dumps(
            {
                "file_ms": _median_ms(lambda: classifier.predict(picture)),
                "pixels_ms": _median_ms(lambda: classifier.predict_batch(pixels[None])),
            }
        )
    )


def _median_ms(call: Callable[[], object]) -> float:
    milliseconds = []
    for number in range(20 + WARM_CALLS):
        started = time.perf_counter()
        call()
        if number >= 20:
            milliseconds.append(1000 * (time.perf_counter() - started))
    return statistics.median(milliseconds)


def predicted_rows(peer: Path, model: Path, folder: Path) -> int:
    """Return how many pictures of a folder the peer answers for."""
    script = [peer, ROOT / "benchmarks" / "peer_predict.py", model, "folder-once", folder, "32"]
    done = subprocess.run([str(word) for word in script], check=True, capture_output=True)
    return len(np.load(io.BytesIO(done.stdout)))


def measure_folder(
    bundle: Path, folder: Path, *, rounds: int, peer: Path | None
) -> dict[str, list[float]]:
    """Return the seconds that a folder takes, by round: warm processes, and whole commands."""
    ours = [sys.executable, "-m", "benchmarks.predict", "--worker", bundle, folder]
    answers = folder.with_suffix(".csv")
    command = ["predict", bundle, folder, "--format", "csv", "--output", answers]
    with ExitStack() as stack:
        measures = {
            "saccade, warm": stack.enter_context(Worker(ours, {})).ask,
            "saccade, command": lambda: seconds_of(saccade_command(*command)),
        }
        for batch in BATCHES if peer else ():
            model = bundle.parent / "model.keras"
            script = [peer, ROOT / "benchmarks" / "peer_predict.py", model]
            worker = Worker([*script, "folder", folder, str(batch)], {})
            measures[f"Keras, batch {batch}, warm"] = stack.enter_context(worker).ask
            once = [*script, "folder-once", folder, str(batch)]
            measures[f"Keras, batch {batch}, command"] = lambda once=once: seconds_of(once)
        taken = in_turn(measures, rounds=rounds)
    files = len(list(folder.iterdir()))
    assert len(answers.read_text().splitlines()) == 1 + files
    assert peer is None or predicted_rows(peer, bundle.parent / "model.keras", folder) == files
    return taken


def against_best(taken: dict[str, list[float]], kind: str) -> Spread:
    """Return how many times faster than Keras at its better batch Saccade is, round by round."""
    peers = [taken[name] for name in taken if name.startswith("Keras") and name.endswith(kind)]
    return ratio(min(peers, key=statistics.median), taken[f"saccade, {kind}"])


def measure_one(
    bundle: Path, picture: Path, *, rounds: int, peer: Path | None
) -> dict[str, list[float]]:
    """Return the milliseconds of one more picture, by round, from its file and its pixels."""
    programs = {"saccade": [sys.executable, "-m", "benchmarks.predict", "--warm", bundle, picture]}
    if peer:
        script = [peer, ROOT / "benchmarks" / "peer_predict.py", bundle.parent / "model.keras"]
        programs["Keras"] = [*script, "warm", picture, "100"]
    taken: dict[str, list[float]] = {}

    def both(name: str) -> float:
        found = run_json(programs[name])
        for kind in ("file", "pixels"):
            taken.setdefault(f"{name}, one {kind}", []).append(found[f"{kind}_ms"])
        return 0.0

    in_turn({name: lambda name=name: both(name) for name in programs}, rounds=rounds, warm_up=0)
    return taken


def measure_case(case: Case, place: Path, *, rounds: int, peer: Path | None) -> dict[str, Spread]:
    """Return the figures of one case, by name."""
    folder, bundle = place / "pictures", place / "bundle" / "model.saccade"
    bundle.parent.mkdir(parents=True)
    build_bundle(bundle, case.side_px)
    unpack(sets_folder() / case.archive, folder, case.files)
    taken = measure_folder(bundle, folder, rounds=rounds, peer=peer)
    one = measure_one(bundle, min(folder.iterdir()), rounds=rounds, peer=peer)
    figures = {name: spread(seconds, "s") for name, seconds in taken.items()}
    figures |= {name: spread(milliseconds, "ms") for name, milliseconds in one.items()}
    if peer:
        for kind in ("warm", "command"):
            figures[f"{kind}, times the speed of Keras"] = against_best(taken, kind)
        for kind in ("file", "pixels"):
            share = ratio(one[f"saccade, one {kind}"], one[f"Keras, one {kind}"])
            figures[f"one {kind}, share of a Keras call"] = share
    return {f"{case.name}, {name}": figure for name, figure in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few files, one round, no peer")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker", nargs=2, type=Path, help="predict a folder when asked")
    parser.add_argument("--warm", nargs=2, type=Path, help="measure one picture, as a worker does")
    given = parser.parse_args()
    if given.worker:
        predict_on_request(*given.worker)
    elif given.warm:
        predict_warm(*given.warm)
    else:
        compare(rounds=1 if given.quick else given.rounds, quick=given.quick)


def compare(*, rounds: int, quick: bool) -> None:
    """Let both sides take turns and print what came out."""
    sets_folder(*(case.archive for case in CASES))
    peer = None if quick else tensorflow_python()
    figures: dict[str, Spread] = {}
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            case = replace(case, files=64) if quick else case
            place = Path(folder, case.name.replace(" ", "-"))
            figures |= measure_case(case, place, rounds=rounds, peer=peer)
    publish(
        Result(
            benchmark="predict",
            settings={"quick": quick, "rounds": rounds, "files": [c.files for c in CASES]},
            figures=figures,
            targets=targets_of(figures),
            peers=peer_versions(peer) if peer else {},
        )
    )


def targets_of(figures: dict[str, Spread]) -> list[Target]:
    """Return what was wanted of the figures; not measured where there was no peer."""
    targets = []
    for case in CASES:
        for kind in ("warm", "command"):
            name = f"{case.name}, {kind}, times the speed of Keras"
            targets.append(at_least(name, FOLDER_TIMES, _median(figures, name)))
        for kind in ("file", "pixels"):
            name = f"{case.name}, one {kind}, share of a Keras call"
            targets.append(at_most(name, ONE_SHARE, _median(figures, name)))
    return targets


def _median(figures: dict[str, Spread], name: str) -> float | None:
    return figures[name].median if name in figures else None


if __name__ == "__main__":
    main()
