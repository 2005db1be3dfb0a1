"""Predictions as a table, as CSV or as JSON, written picture by picture."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, TextIO

from saccade.cli.text import one_line

if TYPE_CHECKING:
    from saccade.predict import Prediction

_COLUMNS: Final = ("path", "label", "probability", "unsure", "unusualness", "unknown")


def write(
    stream: TextIO, predictions: Iterable[Prediction], form: str, classes: tuple[str, ...]
) -> int:
    """Write the predictions to `stream` as they come; return how many pictures failed."""
    if form == "json":
        return _write_json(stream, predictions)
    if form == "csv":
        return _write_csv(stream, predictions, classes)
    return _write_table(stream, predictions)


def _write_json(stream: TextIO, predictions: Iterable[Prediction]) -> int:
    failed = 0
    stream.write("[")
    for number, prediction in enumerate(predictions):
        failed += prediction.error is not None
        stream.write((",\n " if number else "\n ") + json.dumps(prediction.to_json()))
    stream.write("\n]\n")
    return failed


def _write_csv(stream: TextIO, predictions: Iterable[Prediction], classes: tuple[str, ...]) -> int:
    failed = 0
    table = csv.writer(stream)
    table.writerow([*_COLUMNS, "error", *classes])
    for prediction in predictions:
        failed += prediction.error is not None
        if prediction.error is not None:
            empty = [""] * (len(_COLUMNS) - 1)
            table.writerow([prediction.path, *empty, prediction.error, *("" for _ in classes)])
            continue
        shares = [f"{prediction.probabilities[name]:.6f}" for name in classes]
        row = [prediction.path, prediction.label, f"{prediction.probability:.6f}"]
        score = prediction.unusualness
        row += [str(prediction.unsure).lower(), "" if score is None else f"{score:.6f}"]
        table.writerow([*row, str(prediction.unknown).lower(), "", *shares])
    return failed


def _write_table(stream: TextIO, predictions: Iterable[Prediction]) -> int:
    failed = 0
    for prediction in predictions:
        failed += prediction.error is not None
        path = one_line(prediction.path or "")
        if prediction.error is not None:
            stream.write(f"{path}  cannot be used: {one_line(prediction.error)}\n")
            continue
        doubt = "  unsure" if prediction.unsure else ""
        doubt += "  unknown" if prediction.unknown else ""
        share = f"{100 * (prediction.probability or 0):5.1f} %"
        stream.write(f"{path}  {share}  {one_line(prediction.label or '')}{doubt}\n")
    return failed
