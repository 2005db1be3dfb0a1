"""Processes that decode pictures and write their pixels into one file, side by side.

    with Workers(target, num_workers=2) as workers:
        for result in workers.run(tasks):
            ...

The workers are plain `python -c` children that speak a small protocol of our own over pipes, not
`multiprocessing`: nothing is pickled, nothing is forked from a process with threads, the caller's
main module is not imported again (scripts need no `if __name__` guard), and when the caller dies,
even by `kill -9`, its pipes close and they end. A picture that kills its worker, or holds it up
for minutes, costs that picture alone. What C libraries print on standard error is not shown.

To a worker: a JSON line ``[[row, kind, length, full_scale], …]``, then the payloads. From it: a
JSON line, ``{"rows": [[row, digest, reduced, reason], …]}`` or ``{"errno", "text"}``.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from saccade.data.picture import Payload
from saccade.data.rowwriter import Result, Target, encoded

_START: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from saccade.data.rowwriter import serve; serve(sys.argv[2])"
)
_CHUNK_TASKS: Final = 64  # enough to hide the pipe's cost; few enough to move the progress bar
_CHUNK_BYTES: Final = 2**23
_CHUNK_PIXELS: Final = 2**23
_PATIENCE_S: Final = 120.0  # for one chunk, which takes a second or so on a slow machine


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """One picture to decode into its row."""

    row: int
    payload: Payload
    num_pixels: int  # of the picture as it is stored, to share the work out
    full_scale: bool = False  # decode a JPEG at full scale, for its digest; write nothing


def num_cores() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        return os.cpu_count() or 1


class Workers:
    """Decodes tasks in child processes; use as a context manager, which ends them."""

    def __init__(
        self, target: Target, *, num_workers: int | None = None, patience_s: float = _PATIENCE_S
    ) -> None:
        self._target, self._patience_s = target, patience_s
        self._replies: queue.SimpleQueue[tuple[_Worker, bytes]] = queue.SimpleQueue()
        self._num_workers = num_workers or min(32, num_cores())
        self._workers: list[_Worker] = []

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self._workers:
            worker.stop()

    def run(self, tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield one result for every task, in any order; raise OSError where writing fails."""
        chunks, again = _chunks(tasks), deque[list[Task]]()
        pending: list[Task] | None = None
        while True:
            if pending is None:
                pending = again.popleft() if again else next(chunks, None)
            if pending is not None and (worker := self._idle_worker()) is not None:
                worker.send(pending)
                pending = None
            elif pending is not None or any(worker.tasks for worker in self._workers):
                yield from self._collect(again)
            else:
                return

    def _idle_worker(self) -> _Worker | None:
        for worker in self._workers:
            if not worker.tasks:
                return worker
        if len(self._workers) == self._num_workers:
            return None
        self._workers.append(_Worker(self._target, self._replies))
        return self._workers[-1]

    def _collect(self, again: deque[list[Task]]) -> list[Result]:
        """Wait for a worker's reply; what a worker died over is done again, one by one."""
        try:
            worker, line = self._replies.get(timeout=min(1.0, self._patience_s))
        except queue.Empty:
            for worker in self._workers:
                worker.stop_if_late(self._patience_s)
            return []
        if line:
            return worker.receive(line)
        self._workers.remove(worker)
        reason = worker.cause_of_death()
        if len(worker.tasks) > 1:
            again.extend([task] for task in worker.tasks)
            return []
        return [_failure(task, reason) for task in worker.tasks]


class _Worker:
    """One child process; `tasks` is what it is working on.

    A thread waits for its replies, because Windows cannot wait for several pipes at once; an
    empty line says that it has died.
    """

    def __init__(self, target: Target, replies: queue.SimpleQueue[tuple[_Worker, bytes]]) -> None:
        self.tasks: list[Task] = []
        self._started, self._late = 0.0, False
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, json.dumps(sys.path), json.dumps(target.to_json())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        )
        self._reader = threading.Thread(target=self._read, args=(replies,), daemon=True)
        self._reader.start()

    def _read(self, replies: queue.SimpleQueue[tuple[_Worker, bytes]]) -> None:
        for line in self._process.stdout or ():
            replies.put((self, line))
        replies.put((self, b""))

    def send(self, tasks: list[Task]) -> None:
        """Give an idle worker its next chunk."""
        self.tasks, self._started = tasks, time.monotonic()
        payloads = [encoded(task.payload) for task in tasks]
        header = [
            (task.row, kind, len(content), task.full_scale)
            for task, (kind, content) in zip(tasks, payloads, strict=True)
        ]
        pipe = self._process.stdin
        with suppress(BrokenPipeError):  # it died, and its reader says so
            if pipe is not None:
                pipe.write(json.dumps(header).encode() + b"\n")
                pipe.writelines(content for _, content in payloads)
                pipe.flush()

    def receive(self, line: bytes) -> list[Result]:
        """Return the results in a reply; raise OSError where the worker could not write."""
        reply = json.loads(line)
        if "errno" in reply:
            raise OSError(reply["errno"], reply["text"])
        self.tasks = []
        return [Result(*fields) for fields in reply["rows"]]

    def stop_if_late(self, patience_s: float) -> None:
        """End a worker that has been at one chunk for longer than `patience_s`."""
        if self.tasks and time.monotonic() - self._started > patience_s:
            self._late = True
            self._process.kill()

    def cause_of_death(self) -> str:
        """Return why a worker ended, as a picture's reason; raise RuntimeError for our own bug."""
        code = self._process.wait()
        self._errors.seek(0)
        errors = self._errors.read().decode(errors="replace")
        self.stop()
        if self._late:
            return "damaged: decoding it takes too long"
        if code in (0, 1):  # 1 is a Python traceback
            raise RuntimeError(f"a worker that decodes pictures ended with code {code}:\n{errors}")
        return f"damaged: it crashes the decoder (exit code {code})"

    def stop(self) -> None:
        """End the process, now, and release what belongs to it."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with suppress(BrokenPipeError):  # what was not yet sent
                if stream is not None:
                    stream.close()


def _chunks(tasks: Iterable[Task]) -> Iterator[list[Task]]:
    """Group tasks so that each group takes about as long."""
    chunk: list[Task] = []
    num_bytes = num_pixels = 0
    for task in tasks:
        chunk.append(task)
        num_bytes += _num_bytes(task.payload)
        num_pixels += task.num_pixels
        if len(chunk) == _CHUNK_TASKS or num_bytes >= _CHUNK_BYTES or num_pixels >= _CHUNK_PIXELS:
            yield chunk
            chunk, num_bytes, num_pixels = [], 0, 0
    if chunk:
        yield chunk


def _num_bytes(payload: Payload) -> int:
    if isinstance(payload, Path):
        return 0  # the worker reads it
    return len(payload) if isinstance(payload, bytes) else payload.nbytes


def _failure(task: Task, reason: str) -> Result:
    return Result(row=task.row, digest=0, reduced=False, reason=reason)
