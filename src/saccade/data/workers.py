"""Processes that look at pictures side by side: the one pool, of the scan and of the cache.

    with Workers() as workers:
        workers.start()  # where there is something else to do meanwhile
        for some in workers.run(chunks(tasks), Inspector):
            ...  # a list of Done

The workers are plain `python -c` children that speak a small protocol of our own over pipes
(`work`), not `multiprocessing`: nothing is pickled, nothing is forked from a process with threads,
the caller's main module is not imported again (scripts need no `if __name__` guard), and when the
caller dies, even by `kill -9`, its pipes close and they end. A picture that kills its worker, or
holds it up for minutes, costs that picture alone. What C libraries print on standard error is not
shown. Where no worker can be started, this process does the work: slower, as right.

A worker has a second chunk at hand while it is at its first, so that it never waits for us.
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
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from saccade.data.work import GREETING, Done, Task, Work, do_here, done_of, request
from saccade.machine import usable_cores

_START: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); import saccade.data.picture; "
    "from saccade.data.work import serve; serve()"
)
_MAX_WORKERS: Final = 32
_EARLY_WORKERS: Final = 2  # before it is known how much there is to do
_CHUNKS_AT_HAND: Final = 2
_PATIENCE_S: Final = 120.0  # for one chunk, which takes a second or so on a slow machine


class Workers:
    """Does chunks of tasks in child processes; use as a context manager, which ends them."""

    def __init__(self, *, num_workers: int | None = None, patience_s: float = _PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._replies: queue.SimpleQueue[tuple[_Worker, bytes]] = queue.SimpleQueue()
        self._num_workers = num_workers or min(_MAX_WORKERS, usable_cores())
        self._workers: list[_Worker] = []

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exception: object) -> None:
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.stop()

    def start(self) -> None:
        """Start the first workers, so that they are ready when there is work."""
        while len(self._workers) < min(_EARLY_WORKERS, self._num_workers):
            if self._new_worker() is None:
                return

    @property
    def ready(self) -> bool:
        """Whether a worker has started up."""
        return any(worker.greeted for worker in self._workers)

    def run(
        self, chunks: Iterator[list[Task]], work: type[Work], settings: Any = None
    ) -> Iterator[list[Done]]:
        """Yield one result for every task, in any order; raise OSError where all work must end.

        Exhaust it before another begins.
        """
        job = (work.__module__, work.__name__, settings)
        again: deque[list[Task]] = deque()
        own: Work | None = None  # where no worker can be started
        try:
            while True:
                chunk = None
                if self._has_room():
                    chunk = again.popleft() if again else next(chunks, None)
                if chunk and (worker := self._free_worker()):
                    worker.send(job, chunk)
                elif chunk:
                    own = own or work(settings)
                    yield do_here(own, chunk)
                elif any(worker.chunks for worker in self._workers):
                    yield self._collect(again)
                else:
                    return
        finally:
            if own is not None:
                own.close()

    def _has_room(self) -> bool:
        return len(self._workers) < max(1, self._num_workers) or any(
            len(worker.chunks) < _CHUNKS_AT_HAND for worker in self._workers
        )

    def _free_worker(self) -> _Worker | None:
        """Return the worker with the least at hand, a new one before any has two chunks."""
        least = min(self._workers, key=lambda worker: len(worker.chunks), default=None)
        if least is not None and not least.chunks:
            return least
        if len(self._workers) < self._num_workers and (worker := self._new_worker()):
            return worker
        return least if least is not None and len(least.chunks) < _CHUNKS_AT_HAND else None

    def _new_worker(self) -> _Worker | None:
        try:
            worker = _Worker(self._replies)
        except OSError:  # no Python to start: an application that carries its own
            self._num_workers = len(self._workers)
            return None
        self._workers.append(worker)
        return worker

    def _collect(self, again: deque[list[Task]]) -> list[Done]:
        """Wait for a worker's reply; what a worker died over is done again, one by one."""
        try:
            worker, line = self._replies.get(timeout=min(1.0, self._patience_s))
        except queue.Empty:
            for worker in self._workers:
                worker.stop_if_late(self._patience_s)
            return []
        if worker not in self._workers:  # given up: the rest of what it said
            return []
        if line:
            return worker.receive(line)
        self._workers.remove(worker)
        if not worker.greeted:  # what was started is no Python, or cannot do our work
            worker.stop()
            self._num_workers -= 1
            again.extend(worker.chunks)
            return []
        reason = worker.cause_of_death()
        died_over, *rest = worker.chunks or [[]]
        again.extend(rest)
        if len(died_over) > 1:
            again.extend([task] for task in died_over)
            return []
        return [Done(task.row, (), reason) for task in died_over]


class _Worker:
    """One child process; `chunks` is what it has at hand, and it is at work on the first.

    Threads write to it and wait for its replies, because Windows cannot wait for several pipes at
    once, and because a worker that hangs must not hold us up; an empty line says that it has died.
    """

    def __init__(self, replies: queue.SimpleQueue[tuple[_Worker, bytes]]) -> None:
        self.chunks: deque[list[Task]] = deque()
        self.greeted = False
        self._job: object = None
        self._since, self._late = 0.0, False  # it has been at its first chunk
        self._requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._errors = tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},  # starts sooner
            )
        except OSError:
            self._errors.close()
            raise
        self._threads = [
            threading.Thread(target=self._write, daemon=True),
            threading.Thread(target=self._read, args=(replies,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _write(self) -> None:
        pipe = self._process.stdin
        with suppress(OSError):  # it died, and its reader says so
            while pipe is not None and (content := self._requests.get()):
                pipe.write(content)
                pipe.flush()

    def _read(self, replies: queue.SimpleQueue[tuple[_Worker, bytes]]) -> None:
        lines = iter(self._process.stdout or ())
        if next(lines, b"") == GREETING:
            self.greeted, self._since = True, time.monotonic()
            for line in lines:
                replies.put((self, line))
        replies.put((self, b""))

    def send(self, job: tuple[Any, ...], tasks: list[Task]) -> None:
        """Give a worker its next chunk."""
        if not self.chunks:
            self._since = time.monotonic()
        self.chunks.append(tasks)
        self._requests.put(request(None if job == self._job else job, tasks))
        self._job = job

    def receive(self, line: bytes) -> list[Done]:
        """Return the results in a reply; raise OSError where the worker says that all must end."""
        reply = json.loads(line)
        if isinstance(reply, dict):
            raise OSError(reply["errno"], reply["text"], reply["file"])
        self._since = time.monotonic()
        return done_of(self.chunks.popleft(), reply)

    def stop_if_late(self, patience_s: float) -> None:
        """End a worker that has been at one chunk, or at starting, for too long."""
        if not self.greeted:
            patience_s = _PATIENCE_S
        if self.chunks and time.monotonic() - self._since > patience_s:
            self._late = True
            self.kill()

    def cause_of_death(self) -> str:
        """Return why a worker ended, as a picture's reason; raise RuntimeError for our own bug."""
        code = self._process.wait()
        self._errors.seek(0)
        errors = self._errors.read().decode(errors="replace")
        self.stop()
        if self._late:
            return "damaged: decoding it takes too long"
        if code in (0, 1):  # 1 is a Python traceback
            raise RuntimeError(f"a worker that looks at pictures ended with code {code}:\n{errors}")
        return f"damaged: it crashes the decoder (exit code {code})"

    def kill(self) -> None:
        """End the process, now."""
        self._process.kill()

    def stop(self) -> None:
        """End the process, and release what belongs to it."""
        self.kill()
        self._process.wait()
        self._requests.put(b"")
        for thread in self._threads:
            thread.join()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with suppress(BrokenPipeError):  # what was not yet sent
                if stream is not None:
                    stream.close()
