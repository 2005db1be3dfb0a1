"""Predictions as a table, as CSV or as JSON, written picture by picture."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TextIO

from saccade.cli.text import one_line

if TYPE_CHECKING:
    from saccade.predict import Prediction

_COLUMNS: Final = ("path", "label", "probability", "unsure", "unusualness", "unknown")


@dataclass(slots=True)
class Tally:
    """How many of the pictures that went by could not be used, and how many are unknown."""

    failed: int = 0
    unknown: int = 0

    def counted(self, predictions: Iterable[Prediction]) -> Iterator[Prediction]:
        """Return the predictions as they come, counted."""
        for prediction in predictions:
            self.failed += prediction.error is not None
            self.unknown += prediction.unknown
            yield prediction


def write(
    stream: TextIO,
    predictions: Iterable[Prediction],
    form: str,
    classes: tuple[str, ...],
    *,
    several_labels: bool = False,
) -> Tally:
    """Write the predictions to `stream` as they come; return what became of them."""
    tally = Tally()
    counted = tally.counted(predictions)
    if form == "json":
        _write_json(stream, counted)
    elif form == "csv" and several_labels:
        _write_csv_of_labels(stream, counted, classes)
    elif form == "csv":
        _write_csv(stream, counted, classes)
    else:
        _write_table(stream, counted)
    return tally


def _write_json(stream: TextIO, predictions: Iterable[Prediction]) -> None:
    stream.write("[")
    for number, prediction in enumerate(predictions):
        stream.write((",\n " if number else "\n ") + json.dumps(prediction.to_json()))
    stream.write("\n]\n")


def _write_csv(stream: TextIO, predictions: Iterable[Prediction], classes: tuple[str, ...]) -> None:
    table = csv.writer(stream)
    table.writerow([*_COLUMNS, "error", *classes])
    for prediction in predictions:
        if prediction.error is not None:
            empty = [""] * (len(_COLUMNS) - 1)
            table.writerow([prediction.path, *empty, prediction.error, *("" for _ in classes)])
            continue
        shares = [f"{prediction.probabilities[name]:.6f}" for name in classes]
        row = [prediction.path, prediction.label, f"{prediction.probability:.6f}"]
        score = prediction.unusualness
        row += [str(prediction.unsure).lower(), "" if score is None else f"{score:.6f}"]
        table.writerow([*row, str(prediction.unknown).lower(), "", *shares])


def _write_csv_of_labels(
    stream: TextIO, predictions: Iterable[Prediction], classes: tuple[str, ...]
) -> None:
    """Write the labels that are said as a table for `train --multi-label` would hold them."""
    table = csv.writer(stream)
    table.writerow(["path", "labels", "unknown", "error", *classes])
    for prediction in predictions:
        given = prediction.probabilities
        shares = [f"{given[name]:.6f}" if given else "" for name in classes]
        labels = ";".join(prediction.labels or ())
        unknown = str(prediction.unknown).lower() if given else ""
        table.writerow([prediction.path, labels, unknown, prediction.error or "", *shares])


def _write_table(stream: TextIO, predictions: Iterable[Prediction]) -> None:
    for prediction in predictions:
        path = one_line(prediction.path or "")
        if prediction.error is not None:
            stream.write(f"{path}  cannot be used: {one_line(prediction.error)}\n")
            continue
        if prediction.labels is not None:
            doubt = "  unknown" if prediction.unknown else ""
            stream.write(f"{path}  {_said(prediction)}{doubt}\n")
            continue
        doubt = "  unsure" if prediction.unsure else ""
        doubt += "  unknown" if prediction.unknown else ""
        share = f"{100 * (prediction.probability or 0):5.1f} %"
        stream.write(f"{path}  {share}  {one_line(prediction.label or '')}{doubt}\n")


def _said(prediction: Prediction) -> str:
    """Return the labels that are said, the surest first, each with its probability."""
    labels = sorted(prediction.labels or (), key=lambda name: -prediction.probabilities[name])
    said = [f"{one_line(name)} {100 * prediction.probabilities[name]:.1f} %" for name in labels]
    return ", ".join(said) or "none"
