from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

from saccade.progress import Lines, Silence

JOB = """
from saccade.progress import for_terminal
with for_terminal() as progress:
    progress.note("plan: [bold] is no markup")
    with progress.stage("scan", total=1000) as stage:
        stage.advance(600)
        stage.describe("halfway")
        stage.advance(400)
print("result")
"""


def test_lines_say_what_was_done_and_go_to_standard_error(capsys):
    with Lines() as progress:
        progress.note("plan: small")
        with progress.stage("scan", total=2000) as stage:
            stage.advance(1500)
            stage.describe("nearly there")
    told = capsys.readouterr()
    assert told.out == ""
    plan, scan = told.err.splitlines()
    assert plan == "plan: small"
    assert scan.startswith("scan: 1,500 of 2,000, 0.0 s")
    assert scan.endswith("nearly there")


@pytest.mark.parametrize(
    ("done", "total", "line"),
    [
        (500, 2000, r"scan: 500 of 2,000, 3\d.\d s, loss 0.3, about 9\d s left"),
        (20, 2000, r"scan: 20 of 2,000, 3\d.\d s, loss 0.3, about [23],\d{3} s left"),
        (19, 2000, r"scan: 19 of 2,000, 3\d.\d s, loss 0.3"),  # not 1 % yet: a guess
        (2000, 2000, r"scan: 2,000 of 2,000, 3\d.\d s, loss 0.3"),
        (500, None, r"scan: 500, 3\d.\d s, loss 0.3"),
    ],
)
def test_lines_say_what_time_is_left(capsys, done, total, line):
    stage = Lines().start("scan", total)
    stage.started -= 30  # as if half a minute had gone by, nothing of it shown yet
    stage.shown -= 30
    stage.describe("loss 0.3")
    stage.advance(done)
    assert re.fullmatch(line, capsys.readouterr().err.strip())


def test_stage_ends_although_its_work_fails(capsys):
    with pytest.raises(KeyError), Lines().stage("scan", total=2):
        raise KeyError
    assert capsys.readouterr().err.startswith("scan: ")


def test_silence_is_silent(capsys):
    with Silence() as progress:
        progress.note("plan")
        with progress.stage("scan") as stage:
            stage.advance()
            stage.describe("text")
    assert capsys.readouterr() == ("", "")


def test_bars_are_drawn_on_a_terminal_and_results_stay_apart():
    screen, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", JOB],
        stderr=terminal,
        stdout=subprocess.PIPE,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "100"},
    ) as child:
        assert child.stdout is not None
        result = child.stdout.read()
    os.close(terminal)
    drawn = os.read(screen, 65536).decode()
    os.close(screen)
    assert result == b"result\n"
    assert "plan: [bold] is no markup" in drawn
    assert "1000/1000" in drawn
    assert "halfway" in drawn


def test_pipe_gets_plain_lines():
    done = subprocess.run([sys.executable, "-c", JOB], capture_output=True, text=True, check=True)
    assert done.stdout == "result\n"
    assert "\x1b" not in done.stderr
    assert "scan: 1,000 of 1,000" in done.stderr
