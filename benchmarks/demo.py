"""What `make demo` takes once everything is set up, and how good its model is.

    python -m benchmarks.demo [--quick] [--rounds 3]

The command is read from the Makefile, so it is the one that users run; each round is a fresh
process with an empty cache of pictures. The first round is warm-up; it alone may hold compiling
that later ones find on disk, so its time is shown as well.
"""

from __future__ import annotations

import argparse
import re
import shlex
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.peers import ROOT, run_json, saccade_command
from benchmarks.timing import Result, at_least, at_most, publish, spread

MAX_SECONDS = 40.0  # on 2 cores
MIN_ACCURACY = 0.97


def demo_words(makefile: str) -> list[str]:
    """Return the words after `saccade` in the Makefile's demo, without where its runs go."""
    found = re.search(r"^demo:.*\n\t\$\(BIN\)/saccade (.+)$", makefile, re.MULTILINE)
    if found is None:
        raise ValueError("the Makefile's demo runs no saccade command")
    words = shlex.split(found[1])
    if "--out" in words:
        place = words.index("--out")
        del words[place : place + 2]
    return words


def run_demo(words: list[str]) -> tuple[float, float]:
    """Run the demo from scratch; return its seconds and its test accuracy."""
    with tempfile.TemporaryDirectory() as folder:
        command = saccade_command(*words, "--out", Path(folder, "runs"), "--json")
        started = time.perf_counter()
        document = run_json(command, {"SACCADE_CACHE": str(Path(folder, "cache"))})
        return time.perf_counter() - started, document["test"]["accuracy"]["value"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one epoch, one round")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    words = ["train", "digits", "--epochs", "1"] if given.quick else demo_words(makefile())
    results = [run_demo(words) for _ in range(1 + (1 if given.quick else given.rounds))]
    seconds, accuracies = zip(*results, strict=True)
    figures = {
        "demo, first round": spread(seconds[:1], "s"),
        "demo": spread(seconds[1:], "s"),
        "demo, test accuracy": spread(accuracies[1:], "of the test pictures"),
    }
    targets = [
        at_most("seconds of make demo after set-up, the slowest round", MAX_SECONDS, max(seconds)),
        at_least("demo's test accuracy, the mean", MIN_ACCURACY, statistics.mean(accuracies[1:])),
    ]
    settings = vars(given) | {"command": shlex.join(["saccade", *words])}
    publish(Result(benchmark="demo", settings=settings, figures=figures, targets=targets, peers={}))


def makefile() -> str:
    return (ROOT / "Makefile").read_text()


if __name__ == "__main__":
    main()
