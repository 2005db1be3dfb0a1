"""Helper processes that look at pictures: a line of JSON and the bytes in, a line of JSON out.

    with Helpers() as helpers:
        helpers.share(batches, keep)

Why not `multiprocessing`: its fork is unsafe once torch has threads; its spawn runs the user's
script again, which breaks every script without ``if __name__ == "__main__"``; and both send
pickles. A helper here is this Python with `main` of this module. It ends when its input ends, so
it outlives neither an error, nor Ctrl-C (which it leaves to its parent), nor ``kill -9`` of it.

Each helper is served by a thread that hands it a batch and reads the answer. Where a helper cannot
be started, or breaks, the thread does the batch itself: slower, as right.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, NamedTuple

import numpy as np

from saccade.data.picture import inspect
from saccade.data.raster import Payload
from saccade.errors import PictureError

Batch = list[tuple[int, Payload, str]]  # row, content, the picture's path


class Finding(NamedTuple):
    """What the scan says of one picture; `reason` is "" where it can be used."""

    sha256: str
    width_px: int
    height_px: int
    mode: str
    flags: str  # words with ";" between
    reason: str


Keep = Callable[[Batch, list[Finding]], None]

_READY: Final = b"saccade helper\n"
_BOOT: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from saccade.data.helpers import main; main()"
)
_MAX_HELPERS: Final = 16


def look_at(batch: Batch) -> list[Finding]:
    """Return a finding for each picture of a batch, in order."""
    return [_finding(payload, path) for _, payload, path in batch]


class Helpers:
    """Helper processes, started by `share`; a context manager that leaves none behind."""

    def __init__(self, count: int | None = None) -> None:
        self._count = count or min(_MAX_HELPERS, _num_processors())
        self._idle: queue.SimpleQueue[_Helper] = queue.SimpleQueue()
        self._helpers: list[_Helper] = []

    def share(self, batches: Iterable[Batch], keep: Keep) -> None:
        """Look at all batches; `keep` gets each with its findings, in order, in this thread."""
        pending: deque[tuple[Batch, Future[list[Finding]]]] = deque()
        pool = ThreadPoolExecutor(self._count)
        try:
            for batch in batches:
                self._start()
                pending.append((batch, pool.submit(self._ask, batch)))
                if len(pending) > 2 * self._count:
                    done, future = pending.popleft()
                    keep(done, future.result())
            for done, future in pending:
                keep(done, future.result())
        finally:
            # Stopped first, so that no thread waits for an answer after an error or Ctrl-C.
            self.close()
            pool.shutdown(cancel_futures=True)

    def close(self) -> None:
        """End all helpers; their input ends, and what lingers is killed."""
        for helper in self._helpers:
            helper.stop()
        self._helpers = []

    def __enter__(self) -> Helpers:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _start(self) -> None:
        while len(self._helpers) < self._count:
            self._helpers.append(_Helper())
            self._idle.put(self._helpers[-1])

    def _ask(self, batch: Batch) -> list[Finding]:
        helper = self._idle.get()
        try:
            return helper.ask(batch)
        finally:
            self._idle.put(helper)


class _Helper:
    """One process, or none where it could not be started or broke."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", _BOOT, json.dumps(sys.path)]
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # it only looks; starts sooner
        self._greeted = self._stopped = False
        self._process: subprocess.Popen[bytes] | None
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
        except OSError:  # no Python to start: an application that carries its own
            self._process = None

    def ask(self, batch: Batch) -> list[Finding]:
        """Return what the process says of a batch, or what this one does if it cannot."""
        if self._process and not any(isinstance(content, np.ndarray) for _, content, _ in batch):
            try:
                return self._exchange(self._process, batch)
            except (OSError, ValueError, EOFError):  # it was killed, or is not ours
                self.close()
                if self._stopped:
                    raise
        return look_at(batch)

    def stop(self) -> None:
        """End the process, and let whoever waits for its answer fail."""
        self._stopped = True
        self.close()

    def close(self) -> None:
        """End the process; safe to call twice and from any thread."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()  # it writes nothing and holds nothing
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                with suppress(OSError):  # what it did not read any more
                    pipe.close()

    def _exchange(self, process: subprocess.Popen[bytes], batch: Batch) -> list[Finding]:
        if process.stdin is None or process.stdout is None:
            raise EOFError
        if not self._greeted and process.stdout.readline() != _READY:
            raise EOFError
        self._greeted = True
        _send(process.stdin, batch)
        answer = process.stdout.readline()
        findings = [Finding(*finding) for finding in json.loads(answer or b"null") or ()]
        if len(findings) != len(batch):
            raise EOFError
        return findings


def main() -> None:
    """Answer batches on standard input until it ends: what a helper process runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group
    questions, answers = sys.stdin.buffer, sys.stdout.buffer
    with suppress(BrokenPipeError):  # the parent is gone
        answers.write(_READY)
        answers.flush()
        while line := questions.readline():
            batch = _receive(json.loads(line), questions)
            answers.write(json.dumps(look_at(batch)).encode() + b"\n")
            answers.flush()


def _send(pipe: IO[bytes], batch: Batch) -> None:
    """Write a line with (name, path or number of bytes) for each picture, then all the bytes."""
    heads = [(name, len(p) if isinstance(p, bytes) else str(p)) for _, p, name in batch]
    pipe.write(json.dumps(heads).encode() + b"\n")
    pipe.writelines(payload for _, payload, _ in batch if isinstance(payload, bytes))
    pipe.flush()


def _receive(heads: list[tuple[str, int | str]], pipe: IO[bytes]) -> Batch:
    return [
        (row, pipe.read(what) if isinstance(what, int) else Path(what), name)
        for row, (name, what) in enumerate(heads)
    ]


def _finding(payload: Payload, path: str) -> Finding:
    try:
        facts = inspect(payload, name=path)
    except PictureError as error:
        return Finding("", 0, 0, "", "", str(error))
    return Finding(
        facts.sha256, facts.width_px, facts.height_px, facts.mode, ";".join(facts.flags), ""
    )


def _num_processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        return os.cpu_count() or 1
