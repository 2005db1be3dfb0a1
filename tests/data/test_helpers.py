from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saccade.data import helpers as helpers_module
from saccade.data.helpers import Batch, Finding, Helpers, look_at


def pictures(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"ü{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        Image.new("RGB", (3 + number, 5)).save(path)
    return paths


def batches_of(paths: list[Path]) -> list[Batch]:
    """Batches of three: a path, bytes, an array, and what is no picture, in turn."""
    pixels = np.zeros((4, 6, 1), np.uint8)
    items: Batch = []
    for row, path in enumerate(paths):
        payload = [path, path.read_bytes(), pixels, b"", path.with_name("absent.png")][row % 5]
        items.append((row, payload, path.name))
    return [items[start : start + 3] for start in range(0, len(items), 3)]


def shared(helpers: Helpers, batches: list[Batch]) -> list[Finding]:
    found: list[Finding] = []
    rows: list[int] = []

    def keep(batch: Batch, findings: list[Finding]) -> None:
        rows.extend(row for row, _, _ in batch)
        found.extend(findings)

    helpers.share(iter(batches), keep)
    assert rows == list(range(len(rows)))
    return found


def children() -> set[str]:
    """The processes that this one has started and that still live (Linux)."""
    own = Path(f"/proc/{os.getpid()}/task")
    return {child for task in own.iterdir() for child in (task / "children").read_text().split()}


def test_helpers_say_what_this_process_says(tmp_path):
    batches = batches_of(pictures(tmp_path, 30))
    expected = [finding for batch in batches for finding in look_at(batch)]
    with Helpers(2) as helpers:
        assert shared(helpers, batches) == expected
    assert {finding.reason == "" for finding in expected} == {True, False}


def test_helpers_do_the_work_where_they_can(tmp_path, monkeypatch):
    paths = pictures(tmp_path, 8)
    batches: list[Batch] = [
        [(2 * number, path, path.name), (2 * number + 1, path.read_bytes(), "x")]
        for number, path in enumerate(paths)
    ]
    expected = [finding for batch in batches for finding in look_at(batch)]
    monkeypatch.setattr(helpers_module, "look_at", None)  # not callable: this process cannot
    with Helpers(2) as helpers:
        assert shared(helpers, batches) == expected


def test_no_process_is_started_for_nothing():
    before = children()
    with Helpers(2) as helpers:
        assert shared(helpers, []) == []
        assert children() == before


def test_no_process_is_left_after_success_or_an_error(tmp_path):
    before = children()
    batches = batches_of(pictures(tmp_path, 12))
    with Helpers(2) as helpers:
        shared(helpers, batches)
        assert children() == before

    def damaged_archive():
        yield from batches[:2]
        raise KeyboardInterrupt

    with Helpers(2) as helpers, pytest.raises(KeyboardInterrupt):
        helpers.share(damaged_archive(), lambda batch, findings: None)
    assert children() == before


def test_a_killed_helper_costs_time_alone(tmp_path):
    batches = batches_of(pictures(tmp_path, 60))
    expected = [finding for batch in batches for finding in look_at(batch)]
    before = children()

    def killing():
        for number, batch in enumerate(batches):
            if number == 10:
                for child in children() - before:
                    os.kill(int(child), signal.SIGKILL)
            yield batch

    found: list[Finding] = []
    with Helpers(2) as helpers:
        helpers.share(killing(), lambda batch, findings: found.extend(findings))
    assert found == expected


@pytest.mark.parametrize("python", ["/nowhere/python", "/bin/true", "/bin/echo"])
def test_without_a_python_to_start_this_process_does_it(tmp_path, monkeypatch, python):
    monkeypatch.setattr(sys, "executable", python)
    batches = batches_of(pictures(tmp_path, 9))
    with Helpers(2) as helpers:
        found = shared(helpers, batches)
    assert found == [finding for batch in batches for finding in look_at(batch)]


SCRIPT = """
import json, os, sys, time
from pathlib import Path
from saccade.data.helpers import Helpers

def endless():
    path = Path(sys.argv[1])
    while True:
        yield [(0, path, path.name)]
        time.sleep(0.01)

def keep(batch, findings):
    print("kept", flush=True)

try:
    with Helpers(2) as helpers:  # no guard around it: a learner's script has none
        helpers.share(endless(), keep)
except KeyboardInterrupt:
    sys.exit(7)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals to a process group")
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 7), (signal.SIGKILL, -9)])
def test_ctrl_c_and_kill_leave_no_helper(tmp_path, sent, code):
    (picture,) = pictures(tmp_path, 1)
    (tmp_path / "script.py").write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py"), str(picture)],
        stdout=subprocess.PIPE,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"kept\n"
        if sent == signal.SIGINT:
            os.killpg(process.pid, sent)  # as a terminal does: to the whole group
        else:
            process.kill()
        process.stdout.read()
        assert process.wait(10) == code
    deadline = time.monotonic() + 10
    while group_lives(process.pid):
        assert time.monotonic() < deadline, "helpers are still running"
        time.sleep(0.05)


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
