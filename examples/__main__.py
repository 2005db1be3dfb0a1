"""Runs every example, each in a process of its own: ``python -m examples [--quick] [NAME…]``.

Ends with 0 where all ran, 2 where data was not at hand for some, 1 where one failed.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parent
OUTCOMES = {0: "done", 2: "not run: its data is not at hand, see above"}


def examples() -> list[Path]:
    """Return the examples, the tutorials' order."""
    return sorted(
        [*FOLDER.glob("t*_*.py"), *FOLDER.glob("quickstart_*.py")],
        key=lambda path: int("0" + "".join(filter(str.isdigit, path.stem.split("_")[0]))),
    )


def main(arguments: list[str]) -> int:
    flags = [word for word in arguments if word.startswith("-")]
    names = [word for word in arguments if not word.startswith("-")]
    chosen = [path for path in examples() if not names or path.stem.split("_")[0] in names]
    if not chosen or set(flags) - {"--quick"}:
        print("usage: python -m examples [--quick] [t1 t2 … quickstart]", file=sys.stderr)
        return 2
    codes = {}
    for path in chosen:
        print(f"\n=== {path.stem} ===", flush=True)
        started = time.monotonic()
        codes[path.stem] = subprocess.run([sys.executable, str(path), *flags]).returncode
        outcome = OUTCOMES.get(codes[path.stem], "FAILED")
        print(f"--- {path.stem}: {outcome}, {time.monotonic() - started:.0f} s", flush=True)
    print("\n" + "\n".join(f"{OUTCOMES.get(c, 'FAILED'):8} {name}" for name, c in codes.items()))
    if any(code not in OUTCOMES for code in codes.values()):
        return 1
    return max(codes.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
