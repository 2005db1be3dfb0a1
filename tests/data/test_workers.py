from __future__ import annotations

import io
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saccade.data.picture import Preprocessing
from saccade.data.rowwriter import Result, RowWriter, Target, decoded, encoded
from saccade.data.workers import Task, Workers

WANTED = Preprocessing(height_px=4, width_px=4, channels=3)
ROW_BYTES = 4 * 4 * 3


def target_of(tmp_path: Path, num_rows: int = 200) -> Target:
    path = tmp_path / "rows"
    path.write_bytes(bytes(10 + num_rows * ROW_BYTES))
    return Target(preprocessing=WANTED, path=path, offset=10)


def rows_of(target: Target) -> np.ndarray:
    return np.fromfile(target.path, np.uint8, offset=target.offset).reshape(-1, 4, 4, 3)


def png(colour: int, side: int = 4) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (colour, 0, 0)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def task(row: int, payload) -> Task:
    return Task(row=row, payload=payload, num_pixels=16)


LARGE = png(7, 9000)  # takes a worker a second or more


def large_task(row: int) -> Task:
    return Task(row=row, payload=LARGE, num_pixels=9000 * 9000)


def children_of_this_process() -> list[int]:
    return [
        int(child)
        for listed in Path("/proc/self/task").glob("*/children")
        for child in listed.read_text().split()
    ]


@pytest.mark.parametrize("num_workers", [1, 3])
def test_every_task_has_one_result_and_its_row(tmp_path, num_workers):
    target = target_of(tmp_path)
    tasks = [task(row, png(row) if row % 5 else b"no picture") for row in range(200)]
    with Workers(target, num_workers=num_workers) as workers:
        results = sorted(workers.run(tasks))
    assert [result.row for result in results] == list(range(200))
    for result in results:
        assert (result.reason == "") == (result.row % 5 != 0)
        assert (rows_of(target)[result.row, :, :, 0] == (result.row if result.row % 5 else 0)).all()


def test_full_scale_only_digests(tmp_path):
    target = target_of(tmp_path)
    with Workers(target, num_workers=1) as workers:
        full = Task(row=3, payload=png(9), num_pixels=16, full_scale=True)
        (result,) = workers.run([full])
    assert result.digest
    assert not rows_of(target).any()


def test_workers_serve_a_second_run_and_none(tmp_path):
    with Workers(target_of(tmp_path), num_workers=2) as workers:
        assert list(workers.run([])) == []
        assert len(list(workers.run([task(0, png(1))]))) == 1
        assert len(list(workers.run([task(1, png(2))]))) == 1


def test_no_process_is_left_after_an_error(tmp_path):
    def tasks():
        yield from (task(row, png(row)) for row in range(100))
        raise KeyError("the source broke")

    with pytest.raises(KeyError), Workers(target_of(tmp_path), num_workers=2) as workers:
        list(workers.run(tasks()))
    assert children_of_this_process() == []


def kill_the_workers() -> None:
    deadline = time.monotonic() + 30
    while not (children := children_of_this_process()) and time.monotonic() < deadline:
        time.sleep(0.01)
    for child in children:
        os.kill(child, signal.SIGKILL)


def test_a_picture_that_kills_its_worker_costs_that_picture_alone(tmp_path):
    """The kernel ends a worker that runs out of memory, or whose decoder crashes, like this."""

    def tasks():
        yield large_task(0)
        kill_the_workers()  # at work on row 0 alone
        yield from (task(row, png(row)) for row in range(1, 50))

    with Workers(target_of(tmp_path), num_workers=1) as workers:
        results = {result.row: result.reason for result in workers.run(tasks())}
    assert results.pop(0) == "damaged: it crashes the decoder (exit code -9)"
    assert results == dict.fromkeys(range(1, 50), "")


def test_what_a_killed_worker_had_beside_it_is_done_again(tmp_path):
    def tasks():
        yield from (Task(row=row, payload=LARGE, num_pixels=2**22) for row in range(2))  # a chunk
        kill_the_workers()
        yield task(2, png(2))

    with Workers(target_of(tmp_path), num_workers=1) as workers:
        results = {result.row: result.reason for result in workers.run(tasks())}
    assert results == dict.fromkeys(range(3), "")


def test_a_picture_that_takes_for_ever_is_given_up(tmp_path):
    with Workers(target_of(tmp_path), num_workers=1, patience_s=0.05) as workers:
        (result,) = workers.run([large_task(0)])
    assert result == Result(0, 0, False, "damaged: decoding it takes too long")


def test_a_bug_of_ours_keeps_its_traceback(tmp_path):
    target = Target(preprocessing=WANTED, path=tmp_path / "absent", offset=0)
    with (
        pytest.raises(RuntimeError, match="ended with code 1:\n(.|\n)*FileNotFoundError"),
        Workers(target, num_workers=1) as workers,
    ):
        list(workers.run([task(0, png(1))]))


def test_the_row_writer_reports_a_disk_that_takes_no_more(tmp_path):
    target = Target(preprocessing=WANTED, path=Path("/dev/full"), offset=0)
    if not target.path.exists():
        pytest.skip("this system has no /dev/full")
    with RowWriter(target) as writer, pytest.raises(OSError, match="No space left"):
        writer.write(0, png(1))


@pytest.mark.parametrize(
    "payload", [b"\0\n\xff", Path("a/\udcff b.png"), np.arange(6, dtype=">u2").reshape(2, 3)]
)
def test_payloads_survive_the_pipe(payload):
    back = decoded(*encoded(payload))
    assert type(back) is type(payload)
    assert np.array_equal(back, payload) if isinstance(payload, np.ndarray) else back == payload
