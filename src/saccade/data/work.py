"""What is done with pictures one by one, here or in a worker process, and how a worker serves it.

    for done in do_here(Inspector(), chunk):
        ...

A worker (`workers.Workers`) imports this and little else, so that it starts soon. To a worker: a
JSON line ``[job, [[kind, length, argument], …]]``, then the payloads; ``job`` is ``[module, class,
settings]`` where the work changes, else null. From it: a greeting, and a JSON line for each chunk,
``[[value, …] or "reason", …]`` or ``{"errno", "text", "file"}``.
"""

from __future__ import annotations

import io
import json
import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import numpy as np

from saccade.data.quiet import QUIET
from saccade.data.raster import Payload
from saccade.errors import PictureError

GREETING: Final = b"saccade worker\n"
_CHUNK_TASKS: Final = 64  # enough to hide the pipe's cost; few enough to move the progress bar
_CHUNK_BYTES: Final = 2**22
_CHUNK_PIXELS: Final = 2**21
_BUFFER_BYTES: Final = 2**16


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

    def finish_chunk(self) -> None:  # noqa: B027  (likewise)
        """Write what it holds; what was returned so far is then told. Raises OSError as `do`."""

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
    return done_of(chunk, outcomes)


def done_of(tasks: list[Task], outcomes: Sequence[Sequence[Any] | str]) -> list[Done]:
    """Return what became of the tasks of a chunk; an outcome is its values or its reason."""
    return [
        Done(task.row, (), outcome) if isinstance(outcome, str) else Done(task.row, outcome, "")
        for task, outcome in zip(tasks, outcomes, strict=True)
    ]


def serve() -> None:
    """Do what arrives on standard input until it closes: what a worker process runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; our input closes
    requests = os.fdopen(os.dup(0), "rb", _BUFFER_BYTES)
    replies = os.fdopen(os.dup(1), "wb", _BUFFER_BYTES)
    os.dup2(2, 1)  # a library that prints must not garble the replies
    try:
        replies.write(GREETING)
        replies.flush()
        for reply in _replies(requests):
            replies.write(reply)
            replies.flush()
    except BrokenPipeError:
        os._exit(0)  # the parent is gone; nobody is left to tell


def _replies(requests: IO[bytes]) -> Iterator[bytes]:
    work: Work | None = None
    while line := requests.readline():
        job, header = json.loads(line)
        pictures = [
            (decoded(kind, requests.read(length)), argument) for kind, length, argument in header
        ]
        reply: Any
        try:
            if work is None or job is not None:
                if work is not None:
                    work.close()
                module, name, settings = job
                work = getattr(import_module(module), name)(settings)
            reply = _outcomes(work, pictures)
        except OSError as error:
            reply = {"errno": error.errno, "text": error.strerror, "file": error.filename}
        yield json.dumps(reply).encode() + b"\n"
    if work is not None:
        work.close()


def request(job: Sequence[Any] | None, tasks: list[Task]) -> bytes:
    """Return the bytes that ask a worker for a chunk."""
    payloads = [encoded(task.payload) for task in tasks]
    header = [
        (kind, len(content), task.argument)
        for task, (kind, content) in zip(tasks, payloads, strict=True)
    ]
    line = json.dumps([job, header]).encode() + b"\n"
    return b"".join([line, *(content for _, content in payloads)])


def _outcomes(work: Work, pictures: Iterable[tuple[Payload, Any]]) -> list[Sequence[Any] | str]:
    """Return for each picture its values, or its reason."""
    outcomes: list[Sequence[Any] | str] = []
    with QUIET:
        for payload, argument in pictures:
            try:
                outcomes.append(work.do(payload, argument))
            except PictureError as error:
                outcomes.append(str(error))
    work.finish_chunk()
    return outcomes


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
