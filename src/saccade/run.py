"""One training run: a folder that holds everything that came of it.

runs/<name>/
  started.json       what was asked, so that a stopped run can go on
  checkpoint/        where training stands, and what finished folds say; gone once the run is
                     finished
  index.parquet      one row a picture: label, part, digest, flags, why it was left out
  predictions.parquet  what the finished model says of every test picture
  gallery.npz        the test pictures that the report shows, at training size
  augmented.npz      a few training pictures as training changed them, where it did
  model.saccade      the classifier: the one file to ship
  report.html        the report
  run.json           every figure and setting; written last: a run that has it is finished
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from saccade.errors import DataError, SettingsError
from saccade.evaluation import (
    Evaluation,
    LabelEvaluation,
    Leak,
    NextSteps,
    Refused,
    Trainings,
    Unknown,
    figures_from_json,
)
from saccade.files import TEMPORARY

VERSION: Final = 1
FINISHED: Final = "run.json"
STARTED: Final = "started.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """How many pictures a run used, by part, and how many it left out."""

    train: int
    validation: int
    test: int
    left_out: int

    @property
    def used(self) -> int:
        """Pictures in any part."""
        return self.train + self.validation + self.test


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A finished training run; `to_json` is ``run.json`` and what ``train --json`` prints."""

    folder: Path
    created: str  # ISO 8601, UTC
    classes: tuple[str, ...]  # or labels, where a picture has several
    test: Evaluation | LabelEvaluation
    images: Images
    seconds: Mapping[str, float]  # by stage, and "total"
    settings: Mapping[str, Any]  # what the user asked
    plan: Mapping[str, Any]  # what was derived from it
    fit: Mapping[str, Any]  # history, best epoch, precision, whether compiled, notes
    provenance: Mapping[str, Any]  # versions, machine, data digest
    layers: tuple[Mapping[str, Any], ...]  # name, output shape and parameters, in order
    reliability: tuple[Mapping[str, float], ...]  # confidence against accuracy, in bins
    gallery: tuple[Mapping[str, Any], ...]  # one entry a picture in gallery.npz
    gallery_groups: Mapping[str, Sequence[int]]  # "grid", "mistakes", "least_sure": places in it
    data_notes: tuple[str, ...]  # what a reader should know of the data
    notes: tuple[str, ...]  # and of the training
    precision_recall: tuple[Mapping[str, float], ...] = ()  # curve at an operating point's class
    next_steps: NextSteps | None = None  # None until they are worked out
    leak: Leak | None = None  # test pictures with a near copy in training or validation
    unknown: Unknown | None = None  # how many test pictures it calls unknown, if it can
    refused: tuple[Refused, ...] = ()  # which share of other pictures it calls unknown, if it can
    trainings: Trainings | None = None  # where several judge, in folds

    @property
    def name(self) -> str:
        """The run's name: its folder's."""
        return self.folder.name

    @property
    def model(self) -> Path:
        """The bundle."""
        return self.folder / "model.saccade"

    @property
    def report(self) -> Path:
        """The report."""
        return self.folder / "report.html"

    def to_json(self) -> dict[str, Any]:
        """Return the run as a document of version 1; docs/results.md describes it."""
        return {
            "version": VERSION,
            "run": str(self.folder),
            "model": str(self.model),
            "report": str(self.report),
            "created": self.created,
            "classes": list(self.classes),
            "test": self.test.to_json(),
            "images": {
                "used": self.images.used,
                "left_out": self.images.left_out,
                "train": self.images.train,
                "validation": self.images.validation,
                "test": self.images.test,
            },
            "seconds": dict(self.seconds),
            "settings": dict(self.settings),
            "plan": dict(self.plan),
            "fit": dict(self.fit),
            "provenance": dict(self.provenance),
            "layers": [dict(layer) for layer in self.layers],
            "reliability": [dict(row) for row in self.reliability],
            "precision_recall": [dict(point) for point in self.precision_recall],
            "gallery": [dict(entry) for entry in self.gallery],
            "gallery_groups": {name: list(rows) for name, rows in self.gallery_groups.items()},
            "data_notes": list(self.data_notes),
            "notes": list(self.notes),
            "leak": None if self.leak is None else self.leak.to_json(),
            "unknown": None if self.unknown is None else self.unknown.to_json(),
            "refused": [one.to_json() for one in self.refused],
            "trainings": None if self.trainings is None else self.trainings.to_json(),
            "next_steps": None if self.next_steps is None else self.next_steps.to_json(),
        }

    @classmethod
    def from_json(cls, folder: Path, document: Mapping[str, Any]) -> Run:
        """Read what `to_json` wrote, for a run that may have moved to `folder` since."""
        images = document["images"]
        return cls(
            folder=folder,
            created=document["created"],
            classes=tuple(document["classes"]),
            test=figures_from_json(document["test"]),
            images=Images(
                train=images["train"],
                validation=images["validation"],
                test=images["test"],
                left_out=images["left_out"],
            ),
            seconds=document["seconds"],
            settings=document["settings"],
            plan=document["plan"],
            fit=document["fit"],
            provenance=document["provenance"],
            layers=tuple(document["layers"]),
            reliability=tuple(document["reliability"]),
            gallery=tuple(document["gallery"]),
            gallery_groups=document["gallery_groups"],
            data_notes=tuple(document["data_notes"]),
            notes=tuple(document["notes"]),
            precision_recall=tuple(document["precision_recall"]),
            leak=Leak.from_json(leak) if (leak := document["leak"]) else None,
            unknown=Unknown.from_json(rate) if (rate := document["unknown"]) else None,
            refused=tuple(Refused.from_json(one) for one in document["refused"]),
            trainings=Trainings.from_json(several) if (several := document["trainings"]) else None,
            next_steps=NextSteps.from_json(steps) if (steps := document["next_steps"]) else None,
        )


def open_run(folder: Path | str) -> Run:
    """Read a finished run.

    Raises SettingsError where the folder holds no finished run, DataError where its ``run.json``
    is damaged or of a newer version.
    """
    folder = Path(folder)
    if not (folder / FINISHED).is_file():
        if (folder / STARTED).is_file():
            raise SettingsError(
                f"{folder} is not finished; go on with `saccade train --resume {folder}`"
            )
        raise SettingsError(f"{folder} is not a run's folder: it holds no {FINISHED}")
    document = read_document(folder / FINISHED)
    try:
        return Run.from_json(folder, document)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{folder / FINISHED} is damaged: {error!r}; train again") from error


def read_document(path: Path) -> dict[str, Any]:
    """Read one of a run's JSON documents, its version checked; raise DataError where damaged."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}; train again") from error
    if not isinstance(document, dict) or document.get("version") != VERSION:
        raise DataError(
            f"{path} is not of version {VERSION}; read it with the Saccade that wrote it"
        )
    return document


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEntry:
    """One line of the list of runs; `run` is None where it was not finished."""

    folder: Path
    run: Run | None
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the entry as it stands in ``runs --json``."""
        entry: dict[str, Any] = {"run": str(self.folder), "finished": self.run is not None}
        if self.run is not None:
            entry["accuracy"] = self.run.test.accuracy.to_json()
            entry["created"] = self.run.created
            entry["model"] = str(self.run.model)
        return entry | ({"error": self.error} if self.error else {})


def list_runs(out: Path) -> tuple[RunEntry, ...]:
    """Return the runs under a folder, oldest first; damaged ones with their error."""
    if not out.is_dir():
        return ()
    entries = [
        (started, path.name, _entry(path))
        for path in out.iterdir()
        if not path.name.startswith(TEMPORARY) and (started := _time_started(path)) is not None
    ]
    return tuple(entry for _, _, entry in sorted(entries, key=lambda found: found[:2]))


def _time_started(folder: Path) -> float | None:
    """Return when a run began, 0 where it cannot be looked at, None where it is no run."""
    try:
        return (folder / STARTED).stat().st_mtime
    except PermissionError:
        return 0.0
    except OSError:
        return None


def _entry(folder: Path) -> RunEntry:
    try:
        finished = (folder / FINISHED).is_file()
        return RunEntry(folder=folder, run=open_run(folder) if finished else None)
    except PermissionError as error:
        return RunEntry(folder=folder, run=None, error=f"cannot be read: {error.strerror}")
    except DataError as error:
        return RunEntry(folder=folder, run=None, error=str(error))
