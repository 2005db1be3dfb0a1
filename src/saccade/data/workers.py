"""Processes that look at pictures side by side: the one pool, of the scan and of the cache.

    with Workers(Inspector) as workers:
        for some in workers.run(chunks(tasks)):
            ...  # a list of Done

The workers are plain `python -c` children that speak a small protocol of our own over pipes, not
`multiprocessing`: nothing is pickled, nothing is forked from a process with threads, the caller's
main module is not imported again (scripts need no `if __name__` guard), and when the caller dies,
even by `kill -9`, its pipes close and they end. A picture that kills its worker, or holds it up
for minutes, costs that picture alone. What C libraries print on standard error is not shown.
Where no worker can be started, this process does the work: slower, as right.

To a worker: a JSON line ``[[kind, length, argument], …]``, then the payloads. From it: a greeting,
and a JSON line for each chunk, ``[[value, …] or "reason", …]`` or ``{"errno", "text"}``.
"""

from __future__ import annotations

import io
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from saccade.data.quiet import QUIET
from saccade.data.raster import Payload
from saccade.errors import PictureError
from saccade.machine import usable_cores

_START: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from saccade.data.workers import serve; from {module} import {name} as work; "
    "serve(work, json.loads(sys.argv[2]))"
)
_GREETING: Final = b"saccade worker\n"
_MAX_WORKERS: Final = 32
_CHUNK_TASKS: Final = 64  # enough to hide the pipe's cost; few enough to move the progress bar
_CHUNK_BYTES: Final = 2**23
_CHUNK_PIXELS: Final = 2**23
_BUFFER_BYTES: Final = 2**16
_PATIENCE_S: Final = 120.0  # for one chunk, which takes a second or so on a slow machine


class Task(NamedTuple):
    """One picture to work on."""

    row: int
    payload: Payload
    argument: Any = None  # of `Work.do`; a JSON value
    num_pixels: int = 0  # to decode, so that the work is shared out evenly


class Done(NamedTuple):
    """What became of one picture: what `Work.do` returned, or the reason why it cannot be used."""

    row: int
    values: Sequence[Any]  # empty where there is a reason
    reason: str


class Work(ABC):
    """What is done with each picture; a class of a module, since each worker makes its own."""

    def __init__(self, settings: Any = None) -> None:  # noqa: B027  (some take none)
        """Take settings that are a JSON document."""

    @abstractmethod
    def do(self, payload: Payload, argument: Any) -> Sequence[Any]:
        """Return JSON values; raise PictureError, or OSError where all work must end."""

    def close(self) -> None:  # noqa: B027  (nothing to release unless a subclass says so)
        """Release what it holds."""


def chunks(tasks: Iterable[Task]) -> Iterator[list[Task]]:
    """Group tasks so that each group takes about as long, and little memory."""
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


def do_here(work: Work, chunk: list[Task]) -> list[Done]:
    """Do a chunk in this process."""
    outcomes = _outcomes(work, ((task.payload, task.argument) for task in chunk))
    return _done(chunk, outcomes)


class Workers:
    """Does chunks of tasks in child processes; use as a context manager, which ends them."""

    def __init__(
        self,
        work: type[Work],
        settings: Any = None,
        *,
        num_workers: int | None = None,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._work, self._settings, self._patience_s = work, settings, patience_s
        self._replies: queue.SimpleQueue[tuple[_Worker, bytes]] = queue.SimpleQueue()
        self._num_workers = num_workers or min(_MAX_WORKERS, usable_cores())
        self._workers: list[_Worker] = []
        self._own: Work | None = None  # where no worker can be started

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self._workers:
            worker.stop()
        if self._own is not None:
            self._own.close()

    def run(self, chunks: Iterator[list[Task]]) -> Iterator[list[Done]]:
        """Yield one result for every task, in any order; raise OSError where all work must end."""
        again: deque[list[Task]] = deque()
        pending: list[Task] | None = None
        while True:
            pending = pending or (again.popleft() if again else next(chunks, None))
            if pending and (worker := self._idle_worker()):
                worker.send(pending)
                pending = None
            elif any(worker.tasks for worker in self._workers):
                yield self._collect(again)
            elif pending:
                yield self._do_here(pending)
                pending = None
            else:
                return

    def _idle_worker(self) -> _Worker | None:
        for worker in self._workers:
            if not worker.tasks:
                return worker
        if len(self._workers) >= self._num_workers:
            return None
        try:
            worker = _Worker(self._work, self._settings, self._replies)
        except OSError:  # no Python to start: an application that carries its own
            self._num_workers = len(self._workers)
            return None
        self._workers.append(worker)
        return worker

    def _do_here(self, chunk: list[Task]) -> list[Done]:
        if self._own is None:
            self._own = self._work(self._settings)
        return do_here(self._own, chunk)

    def _collect(self, again: deque[list[Task]]) -> list[Done]:
        """Wait for a worker's reply; what a worker died over is done again, one by one."""
        try:
            worker, line = self._replies.get(timeout=min(1.0, self._patience_s))
        except queue.Empty:
            for worker in self._workers:
                worker.stop_if_late(self._patience_s)
            return []
        if worker not in self._workers:  # no Python, and given up: the rest of what it said
            return []
        if line and (worker.greeted or line == _GREETING):
            return worker.receive(line)
        self._workers.remove(worker)
        if not worker.greeted:  # what was started is no Python, or cannot do our work
            worker.stop()
            self._num_workers -= 1
            again.append(worker.tasks)
            return []
        reason = worker.cause_of_death()
        if len(worker.tasks) > 1:
            again.extend([task] for task in worker.tasks)
            return []
        return [Done(task.row, (), reason) for task in worker.tasks]


class _Worker:
    """One child process; `tasks` is what it is working on.

    A thread waits for its replies, because Windows cannot wait for several pipes at once; an
    empty line says that it has died.
    """

    def __init__(
        self, work: type[Work], settings: Any, replies: queue.SimpleQueue[tuple[_Worker, bytes]]
    ) -> None:
        self.tasks: list[Task] = []
        self.greeted = False
        self._started, self._late = 0.0, False
        self._errors = tempfile.TemporaryFile()
        start = _START.format(module=work.__module__, name=work.__name__)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", start, json.dumps(sys.path), json.dumps(settings)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},  # starts sooner
            )
        except OSError:
            self._errors.close()
            raise
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
            (kind, len(content), task.argument)
            for task, (kind, content) in zip(tasks, payloads, strict=True)
        ]
        pipe = self._process.stdin
        with suppress(BrokenPipeError):  # it died, and its reader says so
            if pipe is not None:
                pipe.write(json.dumps(header).encode() + b"\n")
                pipe.write(b"".join(content for _, content in payloads))
                pipe.flush()

    def receive(self, line: bytes) -> list[Done]:
        """Return the results in a reply; raise OSError where the worker says that all must end."""
        if not self.greeted:
            self.greeted, self._started = True, time.monotonic()
            return []
        reply = json.loads(line)
        if isinstance(reply, dict):
            raise OSError(reply["errno"], reply["text"])
        tasks, self.tasks = self.tasks, []
        return _done(tasks, reply)

    def stop_if_late(self, patience_s: float) -> None:
        """End a worker that has been at one chunk, or at starting, for too long."""
        if not self.greeted:
            patience_s = _PATIENCE_S
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
            raise RuntimeError(f"a worker that looks at pictures ended with code {code}:\n{errors}")
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


def serve(make: type[Work], settings: Any) -> None:
    """Do what arrives on standard input until it closes: what a worker process runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; our input closes
    requests = os.fdopen(os.dup(0), "rb", _BUFFER_BYTES)
    replies = os.fdopen(os.dup(1), "wb", _BUFFER_BYTES)
    os.dup2(2, 1)  # a library that prints must not garble the replies
    work = make(settings)
    try:
        replies.write(_GREETING)
        replies.flush()
        while line := requests.readline():
            pictures = [
                (decoded(kind, requests.read(length)), argument)
                for kind, length, argument in json.loads(line)
            ]
            replies.write(_reply(work, pictures))
            replies.flush()
    except BrokenPipeError:
        os._exit(0)  # the parent is gone; nobody is left to tell
    work.close()


def _reply(work: Work, pictures: list[tuple[Payload, Any]]) -> bytes:
    reply: Any
    try:
        reply = _outcomes(work, pictures)
    except OSError as error:
        reply = {"errno": error.errno, "text": error.strerror}
    return json.dumps(reply).encode() + b"\n"


def _outcomes(work: Work, pictures: Iterable[tuple[Payload, Any]]) -> list[Sequence[Any] | str]:
    """Return for each picture its values, or its reason."""
    outcomes: list[Sequence[Any] | str] = []
    with QUIET:
        for payload, argument in pictures:
            try:
                outcomes.append(work.do(payload, argument))
            except PictureError as error:
                outcomes.append(str(error))
    return outcomes


def _done(tasks: list[Task], outcomes: Sequence[Sequence[Any] | str]) -> list[Done]:
    return [
        Done(task.row, (), outcome) if isinstance(outcome, str) else Done(task.row, outcome, "")
        for task, outcome in zip(tasks, outcomes, strict=True)
    ]


def encoded(payload: Payload) -> tuple[str, bytes]:
    """Return a payload as its kind and bytes, for a pipe."""
    if isinstance(payload, bytes):
        return "bytes", payload
    if isinstance(payload, str | Path):
        return "path", os.fsencode(payload)
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, payload, allow_pickle=False)
    return "array", buffer.getvalue()


def decoded(kind: str, content: bytes) -> Payload:
    """Return the payload that `encoded` gave."""
    if kind == "bytes":
        return content
    if kind == "path":
        return os.fsdecode(content)
    array: Payload = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    return array


def _num_bytes(payload: Payload) -> int:
    if isinstance(payload, bytes):
        return len(payload)
    return 0 if isinstance(payload, str | Path) else payload.nbytes  # the worker reads a path
