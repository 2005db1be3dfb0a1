"""Checkpoints: read back equal, and never half of one, whatever happens while one is written."""

from __future__ import annotations

import json

import numpy as np
import pytest

from saccade.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint


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
