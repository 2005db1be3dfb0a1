"""From a run's folder to its report; so a report can be written again at any time."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from saccade.augmentation import Augmentation
from saccade.data import read_index, readable_set
from saccade.errors import DataError
from saccade.evaluation import LabelEvaluation
from saccade.report.content import Changes, LayerRow, Picture, ReliabilityBin, ReportContent
from saccade.report.page import write_report
from saccade.run import Run
from saccade.types import Interval


def write_run_report(run: Run) -> Path:
    """Write a finished run's ``report.html`` and return its path.

    Raises DataError where the run's folder lacks a part, SettingsError where it cannot be written.
    """
    write_report(run.report, _content(run))
    return run.report


def _content(run: Run) -> ReportContent:
    pictures = _pictures(run)
    chosen = {
        name: tuple(pictures[place] for place in places)
        for name, places in run.gallery_groups.items()
    }
    counts = run.images
    return ReportContent(
        name=run.name,
        evaluation=run.test,
        model_path=str(run.model),
        created=_readable(run.created),
        history=run.fit["history"],
        best_epoch=run.fit["best_epoch"],
        unknown=f"{run.unknown.sentence()}." if run.unknown else "",
        refused=run.refused,
        changes=_changes(run),
        images={"train": counts.train, "validation": counts.validation, **_tested(run)},
        reliability=tuple(_bin(row) for row in run.reliability),
        precision_recall=tuple((at["recall"], at["precision"]) for at in run.precision_recall),
        grid=chosen["grid"],
        mistakes=chosen["mistakes"],
        least_sure=chosen["least_sure"],
        left_out=_left_out(run),
        layers=tuple(_layer(layer) for layer in run.layers),
        data_notes=(*([run.leak.sentence()] if run.leak else []), *run.data_notes),
        notes=run.notes,
        made=_made(run),
        seconds=run.seconds,
        trainings=run.trainings,
        next_steps=run.next_steps,
        suspects=_suspects(run, pictures),
    )


def _tested(run: Run) -> dict[str, int]:
    """Return how many pictures judged, by what they are to the classifier that is shipped."""
    if run.trainings is None or run.trainings.folds is None:
        return {"test": run.images.test}
    return {"judged in folds": run.test.num_images}


def _pictures(run: Run) -> list[Picture]:
    pixels = _stored(run.folder / "gallery.npz")
    shown = readable_set if isinstance(run.test, LabelEvaluation) else str
    return [
        Picture(
            pixels=picture,
            path=entry["path"],
            label=shown(entry["label"]),
            predicted=shown(entry["predicted"]),
            probability=entry["probability"],
            unsure=entry["unsure"],
        )
        for picture, entry in zip(pixels, run.gallery, strict=True)
    ]


def _suspects(run: Run, pictures: list[Picture]) -> tuple[Picture, ...]:
    """Return the pictures with suspected labels that the gallery holds, which are test pictures."""
    if run.next_steps is None:
        return ()
    held = {picture.path: picture for picture in pictures}
    return tuple(held[one.path] for one in run.next_steps.suspects if one.path in held)


def _stored(path: Path) -> npt.NDArray[np.uint8]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            pixels: npt.NDArray[np.uint8] = arrays["pixels"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read: {error}; train again") from error
    return pixels


def _changes(run: Run) -> Changes:
    """Return what was done to training pictures."""
    augmentation = Augmentation.from_json(run.fit["augmentation"])
    if augmentation.is_none:
        return Changes()
    examples = _stored(run.folder / "augmented.npz")
    return Changes(phrases=augmentation.phrases(), examples=examples)


def _left_out(run: Run) -> list[tuple[str, str]]:
    index = read_index(run.folder / "index.parquet")
    return [(index.path[row], index.reason[row]) for row in np.flatnonzero(~index.usable)]


def _bin(row: Mapping[str, Any]) -> ReliabilityBin:
    return ReliabilityBin(
        confidence=row["confidence"],
        accuracy=Interval.from_json(row["accuracy"]),
        num_images=row["num_images"],
    )


def _layer(layer: Mapping[str, Any]) -> LayerRow:
    shape = layer["output_shape"]
    return LayerRow(
        name=layer["name"],
        kind=layer["kind"],
        output_shape=""
        if shape is None
        else " × ".join("?" if s is None else str(s) for s in shape),
        num_parameters=layer["num_parameters"],
    )


def _made(run: Run) -> dict[str, str]:
    """Return how the run was made, as rows of two strings."""
    settings, plan, fit, source = run.settings, run.plan, run.fit, run.provenance
    asked = (
        f"{settings['epochs']} epochs"
        if settings["budget_s"] is None
        else f"a budget of {settings['budget_s']:.0f} s"
    )
    versions = ", ".join(f"{name} {version}" for name, version in source["versions"].items())
    return {
        "data": source["data"],
        "data digest": source["data_digest"],
        "asked": asked,
        "model": settings["model"],
        "augmentation asked": settings["augment"],
        "seed": str(settings["seed"]),
        "operating point asked": settings["operating_point"] or "none",
        "picture size": f"{plan['width_px']} × {plan['height_px']} px, {plan['channels']} channels",
        "batch size": str(plan["batch_size"]),
        "learning rate": f"{plan['learning_rate']:.3g}",
        "epochs": f"{fit['num_epochs']}, the best is number {fit['best_epoch']}",
        "engine": f"{source['engine']}, {_compiling(fit)}",
        "precision": fit["precision"],
        "speed": f"{fit['images_per_second']:,.0f} pictures a second",
        "machine": source["machine"],
        "versions": versions,
    }


def _compiling(fit: Mapping[str, Any]) -> str:
    """Return whether the training step was compiled, and why, where that was weighed."""
    verdict = "compiled" if fit["compiled"] else "not compiled"
    reason = fit["compiled_reason"]
    return f"{verdict} ({reason})" if reason else verdict


def _readable(created: str) -> str:
    return datetime.fromisoformat(created).strftime("%-d %B %Y, %H:%M UTC")
