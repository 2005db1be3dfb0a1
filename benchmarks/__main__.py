"""Runs the benchmarks, each in a process of its own: ``python -m benchmarks [--quick] [NAME…]``.

Each prints what it measures, then one line of JSON; the last line of all holds the targets of all.
A target that is missed is a finding, not a failure: it is shown as such, and the exit code is 0.
Every other word is handed to the programs: ``python -m benchmarks loading --archive PATH``, and
``python -m benchmarks loading --help`` says what it takes.
"""

from __future__ import annotations

import json
import subprocess
import sys

NAMES = (
    "start",
    "predict",
    "demo",
    "loading",
    "throughput",
    "compiling",
    "steps",
    "accuracy",
    "scratch",
    "transfer",
    "transfer_training",
    "fine_tuning",
    "from_weights",
    "budget",
    "resume",
    "unknown",
    "check",
    "growth",
    "memory",
)


def main(arguments: list[str]) -> int:
    names = [word for word in arguments if word in NAMES]
    options = [word for word in arguments if word not in NAMES]
    if options and not options[0].startswith("-"):
        print(f"no benchmark is called {options[0]}; choose from {', '.join(NAMES)}")
        return 2
    asks = not {"-h", "--help"}.isdisjoint(options)
    if asks and not names:
        print(f"{__doc__}\nThe benchmarks are {', '.join(NAMES)}.")
        return 0
    targets, failed = [], []
    for name in names or NAMES:
        print(f"\n=== {name} ===", flush=True)
        last, code = _run([sys.executable, "-m", f"benchmarks.{name}", *options])
        if code:
            failed.append(name)
        elif not asks:
            targets += [{"benchmark": name} | target for target in json.loads(last)["targets"]]
    if not asks:
        print(json.dumps({"version": 1, "targets": targets, "failed": failed}))
    return 1 if failed else 0


def _run(command: list[str]) -> tuple[str, int]:
    """Run a program, show what it prints as it comes, and return its last line and exit code."""
    last = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            last = line.strip() or last
    return last, process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
