"""Checkpoints: read back equal, and never half of one, whatever happens while one is written."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from saccade.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint

WRITES = """
import sys
from pathlib import Path
import numpy as np
from saccade.training.checkpoint import Checkpoint, write_checkpoint
for number in range(10**6):
    arrays = {str(i): np.full(20_000, number, np.float32) for i in range(5)}
    write_checkpoint(Path(sys.argv[1]), Checkpoint(arrays=arrays, document={"epoch": number}))
    print(number, flush=True)
"""


def checkpoint(number):
    arrays = {"weight/0": np.full((2, 3), number, np.float32), "seen": np.asarray(number)}
    return Checkpoint(arrays=arrays, document={"epoch": number, "notes": ["ü"]})


def test_read_back_equal(tmp_path):
    for number in (1, 2, 3):
        write_checkpoint(tmp_path, checkpoint(number))
        again = read_checkpoint(tmp_path)
        assert again is not None
        assert again.document == checkpoint(number).document
        assert again.arrays.keys() == checkpoint(number).arrays.keys()
        for name, array in checkpoint(number).arrays.items():
            assert np.array_equal(again.arrays[name], array)
    assert {path.name for path in tmp_path.iterdir()} == {
        "state-0.npz",
        "state-1.npz",
        "state.json",
    }


def test_no_checkpoint(tmp_path):
    assert read_checkpoint(tmp_path / "nowhere") is None


def test_killed_between_the_two_files(tmp_path):
    """The arrays of the next turn are there, the JSON still names the turn before."""
    write_checkpoint(tmp_path, checkpoint(1))
    old = (tmp_path / "state.json").read_bytes()
    write_checkpoint(tmp_path, checkpoint(2))
    (tmp_path / "state.json").write_bytes(old)
    again = read_checkpoint(tmp_path)
    assert again is not None
    assert again.document["epoch"] == 1


@pytest.mark.parametrize("content", [b"", b"PK not a zip", b"\x93NUMPY"])
def test_damaged_arrays(tmp_path, content):
    write_checkpoint(tmp_path, checkpoint(1))
    turn = json.loads((tmp_path / "state.json").read_text())["turn"]
    (tmp_path / f"state-{turn}.npz").write_bytes(content)
    assert read_checkpoint(tmp_path) is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"version": 99, "turn": 0}'])
def test_damaged_json(tmp_path, content):
    write_checkpoint(tmp_path, checkpoint(1))
    (tmp_path / "state.json").write_text(content)
    assert read_checkpoint(tmp_path) is None


def test_objects_are_refused(tmp_path):
    """NumPy would pickle them."""
    arrays = {"bad": np.array([{}], dtype=object)}
    with pytest.raises(ValueError, match="numbers only"):
        write_checkpoint(tmp_path, Checkpoint(arrays=arrays, document={}))


def test_killed_while_writing(tmp_path):
    """A process that does nothing but write is killed at random moments, most within a write."""
    for wait in np.random.default_rng(0).integers(1, 40, 8):
        command = [sys.executable, "-c", WRITES, tmp_path]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            told = [int(child.stdout.readline()) for _ in range(wait)]
            child.kill()
            told += [int(line) for line in child.stdout if line.endswith("\n")]
        found = read_checkpoint(tmp_path)
        assert found.document["epoch"] in (told[-1], told[-1] + 1)
        assert all((array == found.document["epoch"]).all() for array in found.arrays.values())
        assert len(found.arrays) == 5
