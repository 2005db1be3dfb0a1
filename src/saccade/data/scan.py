"""From a source to an index: the digest and the header of every picture, nothing decoded.

The first pictures are looked at in this process. When they show that the rest will take longer
than workers take to start, the rest is shared among workers (`workers.Workers`), one for each
processor that this process may use. Small sets so never pay for a start.

A picture that cannot be used stays as a row with its reason; rows come in the source's order, with
what the source left out at the end. The result does not depend on who looked at what.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from saccade.data.ahead import Ahead
from saccade.data.index import UNASSIGNED, Index
from saccade.data.inspector import Inspector
from saccade.data.raster import Pixels
from saccade.data.source import Source
from saccade.data.work import Done, Task, chunks, do_here
from saccade.data.workers import Workers
from saccade.progress import Progress, Stage
from saccade.types import PARTS

_FIRST_LOOK_S: Final = 0.25
_WORTH_WORKERS_S: Final = 1.5  # of work left; workers take about half a second to start
_WORTH_READY_WORKERS_S: Final = 0.1  # the same where some have started
_MODE_OF_CHANNELS: Final = {1: "L", 3: "RGB", 4: "RGBA"}
_FLAGS_OF_CHANNELS: Final = {1: "grey", 3: "", 4: "alpha"}


class Finding(NamedTuple):
    """What the scan says of one picture; `reason` is "" where it can be used."""

    sha256: str
    width_px: int
    height_px: int
    mode: str
    flags: str  # words with ";" between
    reason: str = ""


def build_index(
    source: Source,
    *,
    progress: Progress,
    workers: Workers | None = None,
    ahead: Ahead | None = None,
) -> Index:
    """Return one row for each picture of `source`, and for each file that it leaves out.

    `workers` are used where they are worth it, and left as they are; without, some may be started.
    They decode small pictures into `ahead`, for `build_cache`, where it is given and expects to
    save time so. Rows 0 to ``len(source.entries) - 1`` are the source's own, so they serve its
    `payloads`. Raises DataError where an archive is damaged, SettingsError where `ahead` cannot be
    written.
    """
    with progress.stage("scan", len(source.entries)) as stage:
        if source.arrays is not None:
            findings = _findings_of_arrays(source.arrays)
            stage.advance(len(findings))
        else:
            with nullcontext(workers) if workers else Workers() as pool:
                findings = _findings_of_files(source, stage, pool, ahead)
    return _assemble(source, findings)


def _findings_of_files(
    source: Source, stage: Stage, workers: Workers, ahead: Ahead | None
) -> list[Finding]:
    findings: list[Finding | None] = [None] * len(source.entries)
    work = chunks(_tasks(source, range(len(findings))))

    def keep(some: list[Done]) -> None:
        for row, values, reason in some:
            findings[row] = _unusable(reason) if reason else _usable(*values[:5])
        stage.advance(len(some))

    inspector, started, done = Inspector(), time.monotonic(), 0
    for chunk in work:
        keep(do_here(inspector, chunk))
        done += len(chunk)
        spent = time.monotonic() - started
        left = (len(findings) - done) * spent / done
        if workers.ready and left > _WORTH_READY_WORKERS_S:
            break
        if spent > _FIRST_LOOK_S and left > _WORTH_WORKERS_S:
            break
    if ahead is not None and done < len(findings):
        seen = {finding[1:4] for finding in findings if finding is not None}
        if ahead.begin(source, seen):
            rest = [row for row, finding in enumerate(findings) if finding is None]
            for some in ahead.run(workers, source, rest):
                keep(some)
            # As if nothing had been decoded: a picture that crashes its decoder has a header.
            work = chunks(_tasks(source, ahead.failed))
    for some in workers.run(work, Inspector):  # none is started where nothing is left
        keep(some)
    return [finding for finding in findings if finding is not None]


def _tasks(source: Source, rows: Iterable[int]) -> Iterator[Task]:
    """Yield the pictures in the source's cheapest order."""
    entries = source.entries
    for row, payload in source.payloads(rows):
        yield Task(row, payload, entries[row].path)


def _usable(sha256: str, width_px: int, height_px: int, mode: str, flags: str) -> Finding:
    """Keep the few words there are once, not once a picture."""
    return Finding(sha256, width_px, height_px, sys.intern(mode), sys.intern(flags))


def _unusable(reason: str) -> Finding:
    return Finding("", 0, 0, "", "", reason)


def _findings_of_arrays(pixels: Pixels) -> list[Finding]:
    """Return what `picture.inspect` would say of each row, a hundred times as fast."""
    _, height, width, channels = pixels.shape
    start = hashlib.sha256(f"{pixels.dtype.str}{pixels.shape[1:]}".encode())
    mode, flags = _MODE_OF_CHANNELS[channels], _FLAGS_OF_CHANNELS[channels]
    findings = []
    for picture in pixels:
        digest = start.copy()
        digest.update(np.ascontiguousarray(picture).data)
        findings.append(Finding(digest.hexdigest(), width, height, mode, flags))
    return findings


def _assemble(source: Source, findings: list[Finding]) -> Index:
    entries, left_out = source.entries, source.left_out
    classes = tuple(sorted({entry.label for entry in entries if entry.label is not None}))
    code = {name: number for number, name in enumerate(classes)}
    part_code = {part: number for number, part in enumerate(PARTS)}
    rows = [*findings, *(_unusable(reason) for _, reason in left_out)]
    unplaced = [UNASSIGNED] * len(left_out)
    return Index(
        classes=classes,
        path=_objects([*(entry.path for entry in entries), *(path for path, _ in left_out)]),
        label=np.array(
            [UNASSIGNED if e.label is None else code[e.label] for e in entries] + unplaced, np.int32
        ),
        part=np.array(
            [part_code[e.part] if e.part else UNASSIGNED for e in entries] + unplaced, np.int8
        ),
        sha256=_objects(row.sha256 for row in rows),
        width_px=np.array([row.width_px for row in rows], np.int32),
        height_px=np.array([row.height_px for row in rows], np.int32),
        mode=_objects(row.mode for row in rows),
        flags=_objects(row.flags for row in rows),
        reason=_objects(row.reason for row in rows),
    )


def _objects(values: Iterable[Any]) -> npt.NDArray[np.object_]:
    listed = list(values)
    column = np.empty(len(listed), dtype=object)
    column[:] = listed
    return column
