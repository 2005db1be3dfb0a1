"""Adding to a bundle the figures of the test pictures, which were scored with the bundle itself."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

from saccade import files
from saccade.bundle.manifest import MANIFEST, MEMBERS
from saccade.bundle.read import read_bundle
from saccade.bundle.write import manifest_file, write_members
from saccade.evaluation import Evaluation, LabelEvaluation, Refused


def record_evaluation(
    path: Path,
    evaluation: Evaluation | LabelEvaluation,
    *,
    refused: tuple[Refused, ...] | None = None,
) -> None:
    """Put `evaluation` into the bundle at `path`, in one step; the model in it stays as it is.

    And what share of other pictures it calls unknown, as `refused`; None keeps what is there.

    Raises BundleError where the bundle is damaged, ValueError where the classes are others.
    """
    held = read_bundle(path).manifest
    told = held.refused if refused is None else refused
    manifest = replace(held, evaluation=evaluation, refused=told)
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in MEMBERS if name != MANIFEST}
    with files.atomic_path(path) as temporary:
        write_members(temporary, {MANIFEST: manifest_file(manifest)} | contents)
