from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saccade.data.picture import Preprocessing, digest_of
from saccade.data.rowwriter import RowWriter, Target
from saccade.data.scan import Inspector
from saccade.data.work import Done, Task, chunks, decoded, do_here, encoded
from saccade.data.workers import Workers

WANTED = Preprocessing(height_px=4, width_px=4, channels=3)
ROW_BYTES = 4 * 4 * 3


def target_of(tmp_path: Path, num_rows: int = 200) -> Target:
    path = tmp_path / "rows"
    path.write_bytes(bytes(10 + num_rows * ROW_BYTES))
    return Target(preprocessing=WANTED, path=path, offset=10)


def rows_of(target: Target) -> np.ndarray:
    return np.fromfile(target.path, np.uint8, offset=target.offset).reshape(-1, 4, 4, 3)


def decode(workers: Workers, tasks, target: Target) -> list[Done]:
    """Decode into the rows of a target."""
    return sorted(chain.from_iterable(workers.run(chunks(tasks), RowWriter, target.to_json())))


def look_at(workers: Workers, tasks) -> list[Done]:
    """Read headers."""
    return sorted(chain.from_iterable(workers.run(chunks(tasks), Inspector)))


def png(colour: int, side: int = 4) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (colour, 0, 0)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def task(row: int, payload, num_pixels: int = 16) -> Task:
    return Task(row, payload, row, num_pixels)


LARGE = png(7, 9000)  # takes a worker a second or more
LARGE_PIXELS = 9000 * 9000


def children_of_this_process() -> list[int]:
    return [
        int(child)
        for listed in Path("/proc/self/task").glob("*/children")
        for child in listed.read_text().split()
    ]


# What is done ----------------------------------------------------------------------------------


@pytest.mark.parametrize("num_workers", [1, 3])
def test_every_task_has_one_result_and_its_row(tmp_path, num_workers):
    tasks = [task(row, png(row) if row % 5 else b"no picture") for row in range(200)]
    with Workers(num_workers=num_workers) as workers:
        results = decode(workers, tasks, target_of(tmp_path))
        assert len(children_of_this_process()) == num_workers
    assert [result.row for result in results] == list(range(200))
    pixels = rows_of(same_target(tmp_path))
    for row, values, reason in results:
        assert (reason == "") == (row % 5 != 0)
        assert list(values) == ([digest_of(pixels[row]), False] if row % 5 else [])
        assert (pixels[row, :, :, 0] == (row if row % 5 else 0)).all()


def same_target(tmp_path: Path) -> Target:
    return Target(preprocessing=WANTED, path=tmp_path / "rows", offset=10)


def payloads_of_every_kind(folder: Path, count: int) -> list[Task]:
    """Paths, bytes, arrays, what is no picture and what is not there, in turn."""
    tasks = []
    for row in range(count):
        path = folder / f"ü{row}.png"
        Image.new("RGB", (3 + row, 5)).save(path)
        array = np.full((4, 6, 1), row, np.uint8)
        payload = [path, path.read_bytes(), array, b"", path.with_name("absent.png")][row % 5]
        tasks.append(Task(row, payload, path.name))
    return tasks


def plain(results: list[Done]) -> list[tuple]:
    return [(row, list(values), reason) for row, values, reason in results]


def test_workers_say_what_this_process_says(tmp_path):
    tasks = payloads_of_every_kind(tmp_path, 150)
    with Workers(num_workers=2) as workers:
        results = look_at(workers, tasks)
        assert len(children_of_this_process()) == 2
    assert plain(results) == plain(do_here(Inspector(), tasks))
    assert {result.reason == "" for result in results} == {True, False}


def test_full_scale_only_digests(tmp_path):
    with Workers(num_workers=1) as workers:
        (result,) = decode(workers, [Task(3, png(9), None)], target_of(tmp_path))
    assert result.values[0] == digest_of(WANTED.read(png(9)))
    assert not rows_of(same_target(tmp_path)).any()


def test_workers_serve_a_second_run_and_none(tmp_path):
    with Workers(num_workers=2) as workers:
        assert decode(workers, [], target_of(tmp_path)) == []
        assert children_of_this_process() == []
        assert len(decode(workers, [task(0, png(1))], target_of(tmp_path))) == 1
        assert len(decode(workers, [task(1, png(2))], target_of(tmp_path))) == 1
        assert len(children_of_this_process()) == 1


def test_one_pool_serves_the_scan_and_then_the_cache(tmp_path):
    tasks = [task(row, png(row)) for row in range(100)]
    with Workers(num_workers=2) as workers:
        headers = look_at(workers, [Task(row, payload, "") for row, payload, *_ in tasks])
        first = children_of_this_process()
        pixels = decode(workers, tasks, target_of(tmp_path))
        assert children_of_this_process() == first
        again = look_at(workers, [Task(row, payload, "") for row, payload, *_ in tasks])
    assert plain(headers) == plain(again)
    assert [values[0] for _, values, _ in pixels] == [
        digest_of(WANTED.read(png(r))) for r in range(100)
    ]


def start(workers: Workers) -> None:
    workers.start()
    deadline = time.monotonic() + 60
    while not workers.ready and time.monotonic() < deadline:
        time.sleep(0.01)
    assert workers.ready


def test_workers_start_before_there_is_work(tmp_path):
    with Workers(num_workers=1) as workers:
        assert not workers.ready
        start(workers)
        (child,) = children_of_this_process()
        decode(workers, [task(0, png(1))], target_of(tmp_path))
        assert children_of_this_process() == [child]
    assert children_of_this_process() == []


def test_chunks_are_bounded_by_number_bytes_and_pixels():
    small = [task(row, b"") for row in range(130)]
    assert [len(chunk) for chunk in chunks(small)] == [64, 64, 2]
    large = [task(row, b"", 2**20) for row in range(5)]
    assert [len(chunk) for chunk in chunks(large)] == [2, 2, 1]
    heavy = [task(row, bytes(3 << 20)) for row in range(4)]
    assert [len(chunk) for chunk in chunks(heavy)] == [2, 2]


@pytest.mark.parametrize(
    "payload", [b"\0\n\xff", "a/\udcff b.png", np.arange(6, dtype=">u2").reshape(2, 3)]
)
def test_payloads_survive_the_pipe(payload):
    back = decoded(*encoded(payload))
    assert type(back) is type(payload)
    assert np.array_equal(back, payload) if isinstance(payload, np.ndarray) else back == payload


# What goes wrong -------------------------------------------------------------------------------


def test_what_a_killed_worker_had_at_hand_is_done_again(tmp_path):
    def tasks():
        yield from (task(row, png(row)) for row in range(1, 65))
        yield task(0, LARGE, LARGE_PIXELS)
        threading.Timer(0.2, kill_the_workers).start()  # at work on row 0, the next chunk at hand
        yield from (task(row, png(row)) for row in range(65, 129))

    with Workers(num_workers=1) as workers:
        results = {row: reason for row, _, reason in decode(workers, tasks(), target_of(tmp_path))}
    assert results.pop(0) == "damaged: it crashes the decoder (exit code -9)"
    assert results == dict.fromkeys(range(1, 129), "")


@pytest.mark.skipif(sys.platform == "win32", reason="stops a process")
def test_a_worker_that_hangs_does_not_hold_up_who_sends_to_it(tmp_path):
    """What is sent fills the pipe, and would block until the worker reads on."""
    with Workers(num_workers=1, patience_s=2.0) as workers:
        start(workers)
        kill_the_workers(signal.SIGSTOP)
        tasks = [task(row, png(row) + bytes(2**20)) for row in range(9)]
        results = decode(workers, tasks, target_of(tmp_path))
    assert [reason for *_, reason in results] == [""] * 9


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_no_process_is_left_after_an_error(tmp_path, error):
    def tasks():
        yield from (task(row, png(row)) for row in range(100))
        raise error("the source broke")

    with pytest.raises(error), Workers(num_workers=2) as workers:
        decode(workers, tasks(), target_of(tmp_path))
    assert children_of_this_process() == []


def kill_the_workers(sent: signal.Signals = signal.SIGKILL) -> None:
    deadline = time.monotonic() + 30
    while not (children := children_of_this_process()) and time.monotonic() < deadline:
        time.sleep(0.01)
    for child in children:
        os.kill(child, sent)


def test_a_picture_that_kills_its_worker_costs_that_picture_alone(tmp_path):
    """The kernel ends a worker that runs out of memory, or whose decoder crashes, like this."""

    def tasks():
        yield from (task(row, png(row)) for row in range(1, 65))  # one chunk, so it has started
        yield task(0, LARGE, LARGE_PIXELS)
        kill_the_workers()  # at work on row 0 alone
        yield from (task(row, png(row)) for row in range(65, 130))

    with Workers(num_workers=1) as workers:
        results = {row: reason for row, _, reason in decode(workers, tasks(), target_of(tmp_path))}
    assert results.pop(0) == "damaged: it crashes the decoder (exit code -9)"
    assert results == dict.fromkeys(range(1, 130), "")


def test_ctrl_c_is_left_to_the_parent(tmp_path):
    """A terminal sends it to every process, and a parent may choose to go on."""

    def tasks():
        yield from (task(row, png(row)) for row in range(64))
        yield task(64, LARGE, LARGE_PIXELS)  # taken by the one worker, which has started
        kill_the_workers(signal.SIGINT)

    with Workers(num_workers=1) as workers:
        results = decode(workers, tasks(), target_of(tmp_path))
    assert [reason for _, _, reason in results] == [""] * 65


def test_what_a_killed_worker_had_beside_it_is_done_again(tmp_path):
    def tasks():
        yield from (task(row, png(row)) for row in range(64))
        yield from (task(row, LARGE, 2**20) for row in range(64, 66))  # a chunk
        kill_the_workers()
        yield task(66, png(2))

    with Workers(num_workers=1) as workers:
        results = {row: reason for row, _, reason in decode(workers, tasks(), target_of(tmp_path))}
    assert results == dict.fromkeys(range(67), "")


def test_a_picture_that_takes_for_ever_is_given_up(tmp_path):
    with Workers(num_workers=1, patience_s=0.05) as workers:
        (result,) = decode(workers, [task(0, LARGE, LARGE_PIXELS)], target_of(tmp_path))
    assert result == Done(0, (), "damaged: decoding it takes too long")


def test_a_bug_of_ours_keeps_its_traceback(tmp_path):
    with (
        pytest.raises(RuntimeError, match="ended with code 1:\n(.|\n)*TypeError"),
        Workers(num_workers=1) as workers,
    ):
        decode(workers, [Task(0, png(1), "no row")], target_of(tmp_path))


def test_work_that_cannot_begin_says_why(tmp_path):
    target = Target(preprocessing=WANTED, path=tmp_path / "absent", offset=0)
    with (
        pytest.raises(FileNotFoundError, match="absent"),
        Workers(num_workers=1) as workers,
    ):
        decode(workers, [task(0, png(1))], target)
    assert children_of_this_process() == []


@pytest.mark.parametrize("python", ["/nowhere/python", "/bin/true", "/bin/echo"])
def test_without_a_python_to_start_this_process_does_it(tmp_path, monkeypatch, python):
    monkeypatch.setattr(sys, "executable", python)
    tasks = payloads_of_every_kind(tmp_path, 100)
    with Workers(num_workers=2) as workers:
        results = look_at(workers, tasks)
    assert plain(results) == plain(do_here(Inspector(), tasks))
    assert children_of_this_process() == []


def test_the_disk_that_takes_no_more_ends_all_work():
    target = Target(preprocessing=WANTED, path=Path("/dev/full"), offset=0)
    if not target.path.exists():
        pytest.skip("this system has no /dev/full")
    with (
        pytest.raises(OSError, match="No space left"),
        Workers(num_workers=1) as workers,
    ):
        decode(workers, [task(0, png(1))], target)


def test_what_decoders_print_is_not_shown(tmp_path, capfd):
    """libtiff says on standard error what it thinks of a damaged file."""
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "TIFF", compression="tiff_adobe_deflate")
    content = bytearray(buffer.getvalue())
    content[100:600] = bytes(500)
    with Workers(num_workers=1) as workers:
        (result,) = decode(workers, [task(0, bytes(content))], target_of(tmp_path))
    assert result.reason
    assert capfd.readouterr() == ("", "")


SCRIPT = """
import sys, time
from pathlib import Path
from saccade.data.scan import Inspector
from saccade.data.work import Task
from saccade.data.workers import Workers

def endless():
    path = Path(sys.argv[1])
    while True:
        yield [Task(0, path, path.name)]
        time.sleep(0.01)

try:
    with Workers(num_workers=2) as workers:  # no guard: a learner's script has none
        for some in workers.run(endless(), Inspector):
            if some:
                print("kept", flush=True)
except KeyboardInterrupt:
    sys.exit(7)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals to a process group")
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 7), (signal.SIGKILL, -9)])
def test_ctrl_c_and_kill_leave_no_worker(tmp_path, sent, code):
    (tmp_path / "picture.png").write_bytes(png(1))
    (tmp_path / "script.py").write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "picture.png")],
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
        assert time.monotonic() < deadline, "workers are still running"
        time.sleep(0.05)


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
