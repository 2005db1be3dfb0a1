"""Decoding pictures straight into their rows of one file; what runs in a worker process.

Rows are written with `write`, not through a memory map: on a full disk `write` raises OSError,
where a memory map would kill the process.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from saccade.data.picture import Payload, Preprocessing, digest_of
from saccade.errors import PictureError


class Result(NamedTuple):
    """What became of one picture."""

    row: int
    digest: int  # of the pixels, 64 bits; 0 where there are none
    reduced: bool  # a JPEG's reduced scale served
    reason: str  # why it cannot be used; "" where it can


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The file that the rows go to; row 0 begins at `offset`."""

    preprocessing: Preprocessing
    path: Path
    offset: int

    def to_json(self) -> dict[str, Any]:
        """Return the target as a JSON document."""
        return {
            "preprocessing": self.preprocessing.to_json(),
            "path": str(self.path),
            "offset": self.offset,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Target:
        """Read what `to_json` wrote."""
        return cls(
            preprocessing=Preprocessing.from_json(document["preprocessing"]),
            path=Path(document["path"]),
            offset=document["offset"],
        )


class RowWriter:
    """Writes rows of one target; use as a context manager."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._row_bytes = int(np.prod(target.preprocessing.shape))
        self._file = target.path.open("r+b", buffering=0)

    def __enter__(self) -> RowWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def write(self, row: int, payload: Payload, *, full_scale: bool = False) -> Result:
        """Decode a picture into its row; with `full_scale`, only digest its full-scale pixels."""
        try:
            decoded = self._target.preprocessing.decode(payload, full_scale=full_scale)
        except PictureError as error:
            return Result(row=row, digest=0, reduced=False, reason=str(error))
        if not full_scale:
            self.write_bytes(row, decoded.pixels.tobytes())
        return Result(row, digest_of(decoded.pixels), decoded.reduced, "")

    def write_bytes(self, row: int, content: bytes) -> None:
        """Write the pixels of one or more rows, from `row` on."""
        self._file.seek(self._target.offset + row * self._row_bytes)
        rest = memoryview(content)
        while rest:  # a nearly full disk takes a part, and then raises OSError
            rest = rest[self._file.write(rest) :]


def encoded(payload: Payload) -> tuple[str, bytes]:
    """Return a payload as its kind and bytes, for a pipe."""
    if isinstance(payload, bytes):
        return "bytes", payload
    if isinstance(payload, Path):
        return "path", os.fsencode(payload)
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, payload, allow_pickle=False)
    return "array", buffer.getvalue()


def decoded(kind: str, content: bytes) -> Payload:
    """Return the payload that `encoded` gave."""
    if kind == "bytes":
        return content
    if kind == "path":
        return Path(os.fsdecode(content))
    array: Payload = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    return array


def serve(settings: str) -> None:
    """Do what arrives on standard input until it closes; see `workers` for the protocol."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; our input closes
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not garble the replies
    with replies, RowWriter(Target.from_json(json.loads(settings))) as writer:
        while line := requests.readline():
            header = json.loads(line)
            tasks = [
                (row, decoded(kind, requests.read(length)), full_scale)
                for row, kind, length, full_scale in header
            ]
            reply: dict[str, Any]
            try:
                reply = {"rows": [writer.write(r, p, full_scale=f) for r, p, f in tasks]}
            except OSError as error:
                reply = {"errno": error.errno, "text": error.strerror}
            try:
                replies.write(json.dumps(reply).encode() + b"\n")
                replies.flush()
            except BrokenPipeError:
                os._exit(0)  # the parent is gone; nobody is left to tell
