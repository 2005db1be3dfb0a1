"""From a classifier and labelled pictures to the classifier's score on them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from saccade.data import Index, LabelSets, Source, build_index, open_source
from saccade.data.picture import digest_of
from saccade.errors import DataError, PictureError
from saccade.evaluation import Evaluation, LabelEvaluation, Unknown
from saccade.machine import usable_cores
from saccade.predict import Classifier, load
from saccade.progress import Progress, Stage, for_terminal
from saccade.recipe.clock import Clock
from saccade.recipe.judge import score
from saccade.recipe.unknown import rate_of_unknown
from saccade.run import FINISHED, VERSION
from saccade.types import TEST

_AT_ONCE: Final = 256
_SEEN: Final = "the model was trained on it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """How a classifier fares on some pictures; `to_json` is what ``evaluate --json`` prints."""

    model: Path
    run: Path | None  # the run's folder where the model lies in it
    classes: tuple[str, ...]
    test: Evaluation | LabelEvaluation
    images_used: int
    images_left_out: int  # everything not scored, those seen in training among them
    images_seen: int
    unknown: Unknown | None  # how many of the scored it calls unknown, if it can
    seconds: Mapping[str, float | None]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the score as a document of version 1; docs/results.md describes it."""
        return {
            "version": VERSION,
            "run": None if self.run is None else str(self.run),
            "model": str(self.model),
            "report": None if self.run is None else str(self.run / "report.html"),
            "classes": list(self.classes),
            "test": self.test.to_json(),
            "images": {
                "used": self.images_used,
                "left_out": self.images_left_out,
                "seen": self.images_seen,
            },
            "unknown": None if self.unknown is None else self.unknown.to_json(),
            "seconds": dict(self.seconds),
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Read:
    """The pictures that were scored: (N, C) probabilities, labels, and how many were not."""

    probabilities: npt.NDArray[np.float32]
    unusualness: npt.NDArray[np.float32] | None  # (N,)
    labels: npt.NDArray[np.intp]
    num_seen: int
    num_failed: int


def evaluate(
    model: str | os.PathLike[str], data: Any, *, progress: Progress | None = None
) -> Scored:
    """Score a bundle, or a run's folder, on labelled pictures that it was not trained on.

    Where `data` has a test part, that part is scored, else all of it. Pictures that the model was
    trained on are left out: a score on them says nothing. Labels bind by name. Raises DataError
    for a class, or a label, that the model does not know, or where no picture is left.
    """
    clock = Clock()
    path = Path(model)
    classifier = load(path)
    bundle = path / "model.saccade" if path.is_dir() else path
    with progress or for_terminal() as shown:
        several = classifier.manifest.several_labels
        source = open_source(data, multi_label=several, progress=shown)
        index = build_index(source, progress=shown)
        rows, notes = _rows_to_score(index)
        labels = _labels_by_name(index, rows, classifier, source.name)
        with shown.stage("evaluate", total=len(rows)) as stage:
            read = _read(classifier, source, dict(zip(rows.tolist(), labels, strict=True)), stage)
    if not len(read.labels):
        why = _SEEN if read.num_seen else "none can be used"
        raise DataError(f"{source.name}: no picture is left to score: {why}")
    if read.num_seen:
        notes = (*notes, f"{read.num_seen:,} pictures are not scored: {_SEEN}")
    provenance = classifier.manifest.provenance
    in_run = (bundle.parent / FINISHED).is_file()
    return Scored(
        model=bundle,
        run=bundle.parent if in_run else None,
        classes=classifier.classes,
        test=score(
            read.probabilities,
            _targets(index, read.labels, classifier) if several else read.labels,
            classifier=classifier,
            baseline_class=provenance.get("baseline_class", classifier.classes[0]),
        ),
        images_used=len(read.labels),
        images_left_out=read.num_seen + read.num_failed + int((~index.usable).sum()),
        images_seen=read.num_seen,
        unknown=rate_of_unknown(classifier, read.unusualness),
        seconds={"total": clock.elapsed_s, "train": provenance.get("train_seconds")},
        notes=notes,
    )


def _rows_to_score(index: Index) -> tuple[npt.NDArray[np.intp], tuple[str, ...]]:
    test = index.rows_of(TEST)
    if len(test):
        return test, (f"scored on the test part: {len(test):,} pictures",)
    return np.flatnonzero(index.usable & (index.label >= 0)), ()


def _labels_by_name(
    index: Index, rows: npt.NDArray[np.intp], classifier: Classifier, name: str
) -> list[int]:
    """Return each row's class as the model counts them; its set of labels as the index does."""
    code = {name: number for number, name in enumerate(classifier.classes)}
    several = classifier.manifest.several_labels
    present = tuple(index.classes[label] for label in np.unique(index.label[rows]))
    if several:
        present = LabelSets.of(present).names
    if unknown := [label for label in present if label not in code]:
        raise DataError(
            f"{name}: the model does not know the {'label' if several else 'class'} {unknown[0]!r} "
            f"({len(unknown)} such); it knows {', '.join(classifier.classes[:20])}"
        )
    labels: list[int] = index.label[rows].tolist()
    return labels if several else [code[index.classes[label]] for label in labels]


def _targets(
    index: Index, codes: npt.NDArray[np.intp], classifier: Classifier
) -> npt.NDArray[np.bool_]:
    """Return which of the model's labels each scored picture has, (N, L)."""
    known = classifier.classes
    others = sorted({*LabelSets.of(index.classes).names} - {*known})  # of pictures not scored
    sets = LabelSets.of(index.classes, names=(*known, *others))
    return sets.targets(codes)[:, : len(known)]


def _read(classifier: Classifier, source: Source, labels: Mapping[int, int], stage: Stage) -> _Read:
    seen, probabilities, scores, kept = classifier.seen, [], [], []
    num_seen = num_failed = 0
    for batch in _pixels(classifier, source, list(labels)):
        stage.advance(len(batch))
        fresh = []
        for row, pixels in batch:
            if pixels is None:
                num_failed += 1
            elif _holds(seen, digest_of(pixels)):
                num_seen += 1
            else:
                fresh.append(pixels)
                kept.append(labels[row])
        if fresh:
            said, unusualness = classifier.run_batch(np.stack(fresh))
            probabilities.append(said)
            if unusualness is not None:
                scores.append(unusualness)
    return _Read(
        probabilities=np.concatenate(probabilities or [np.empty((0, 1), np.float32)]),
        unusualness=np.concatenate(scores) if scores else None,
        labels=np.array(kept, dtype=np.intp),
        num_seen=num_seen,
        num_failed=num_failed,
    )


def _pixels(
    classifier: Classifier, source: Source, rows: list[int]
) -> Iterator[list[tuple[int, npt.NDArray[np.uint8] | None]]]:
    """Yield batches of (row, pixels), decoded side by side; None for what cannot be decoded."""

    def decode(item: tuple[int, Any]) -> tuple[int, npt.NDArray[np.uint8] | None]:
        row, payload = item
        try:
            return row, classifier.preprocessing.read(payload)
        except PictureError:
            return row, None

    payloads = source.payloads(rows)
    with ThreadPoolExecutor(usable_cores()) as readers:
        while batch := list(islice(payloads, _AT_ONCE)):
            yield list(readers.map(decode, batch))


def _holds(sorted_digests: npt.NDArray[np.uint64], digest: int) -> bool:
    place = int(np.searchsorted(sorted_digests, np.uint64(digest)))
    return place < len(sorted_digests) and int(sorted_digests[place]) == int(digest)
