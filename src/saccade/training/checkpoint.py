"""Where training stands, in two files, so that an interrupted run goes on as if never stopped.

`state-0.npz` and `state-1.npz` hold arrays (weights, optimizer, average, best) by turns;
`state.json`, written last, says which is the newest, with its digest and the rest. A crash at any
moment leaves the checkpoint before. No pickles.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from saccade.files import atomic_path, sha256_of, write_json

Arrays = dict[str, npt.NDArray[Any]]
# 2: histories hold the calibrated loss; 3: fewer pictures validate; 4: the last of equals is kept
_VERSION: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """Arrays by name, and a JSON document."""

    arrays: Arrays
    document: dict[str, Any]


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write both files; a reader sees the last whole checkpoint, or this one.

    Two generations alternate, so that a crash while one is written leaves the other.
    """
    if any(array.dtype.hasobject for array in checkpoint.arrays.values()):
        raise ValueError("a checkpoint holds numbers only")  # NumPy would pickle anything else
    turn = 1 - _newest_turn(folder)
    arrays = folder / f"state-{turn}.npz"
    with atomic_path(arrays) as temporary:
        np.savez(temporary, **checkpoint.arrays)  # type: ignore[arg-type]  # names are free
    write_json(
        folder / "state.json",
        {
            "version": _VERSION,
            "turn": turn,
            "sha256": sha256_of(arrays),
            "document": checkpoint.document,
        },
    )


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """Return the last whole checkpoint in a folder, or None where there is none."""
    header = _read_header(folder)
    if header is None:
        return None
    path = folder / f"state-{header['turn']}.npz"
    try:
        if sha256_of(path) != header["sha256"]:
            return None
        with np.load(path, allow_pickle=False) as stored:
            return Checkpoint(
                arrays={name: stored[name] for name in stored.files}, document=header["document"]
            )
    except (OSError, ValueError, zipfile.BadZipFile):
        return None


def under(prefix: str, arrays: Arrays) -> Arrays:
    """Return the arrays whose names begin with `prefix`, without it."""
    return {name[len(prefix) :]: v for name, v in arrays.items() if name.startswith(prefix)}


def _newest_turn(folder: Path) -> int:
    header = _read_header(folder)
    return 1 if header is None else int(header["turn"])


def _read_header(folder: Path) -> dict[str, Any] | None:
    try:
        header = json.loads((folder / "state.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    is_ours = isinstance(header, dict) and header.get("version") == _VERSION
    return header if is_ours and header.get("turn") in (0, 1) else None
