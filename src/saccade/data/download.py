"""Published files: found where the user keeps data sets, else downloaded with a checked digest.

A file is looked for in ``$SACCADE_DATASETS/<set>``, ``$SACCADE_DATASETS`` and the user's cache;
only one whose SHA-256 is the published one counts, since figures are compared by the set's name.
A download goes to the cache, and is visible there only when whole and right.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from saccade.data.cachefolder import user_cache
from saccade.errors import DataError
from saccade.files import atomic_path, sha256_of
from saccade.progress import Progress

_TIMEOUT_S: Final = 30.0  # without a byte, not in all
_STEP: Final = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFile:
    """One file of a published set."""

    name: str
    sha256: str
    size: int  # bytes


def locate(
    dataset: str, files: Sequence[PublishedFile], base_url: str, *, progress: Progress
) -> list[Path]:
    """Return where each of a set's files is, after downloading what is missing.

    Raises DataError, saying which files to put where, when a download fails.
    """
    found = {file: path for file in files if (path := _find(dataset, file))}
    missing = [file for file in files if file not in found]
    for file in missing:
        target = datasets_folder() / dataset / file.name
        try:
            _download(f"{base_url}/{file.name}", file, target, progress)
        except (OSError, ValueError) as error:
            raise DataError(_how_to_get(dataset, missing, base_url, error)) from error
        found[file] = target
    return [found[file] for file in files]


def datasets_folder() -> Path:
    """Return where downloaded sets are kept, in the user's cache."""
    return user_cache() / "datasets"


def _find(dataset: str, file: PublishedFile) -> Path | None:
    """Return the first place that holds the published file; say if only others are there."""
    wrong: Path | None = None
    for folder in _user_folders(dataset):
        path = folder / file.name
        if path.is_file():
            if _is_right(path, file):
                return path
            wrong = wrong or (path if folder.name == dataset else None)
    if wrong:
        raise DataError(
            f"{wrong} is not the published file (its SHA-256 is not {file.sha256[:12]}…); "
            "remove it or put the published one there"
        )
    cached = datasets_folder() / dataset / file.name
    return cached if cached.is_file() and _is_right(cached, file) else None


def _user_folders(dataset: str) -> Iterator[Path]:
    if root := os.environ.get("SACCADE_DATASETS"):
        yield Path(root) / dataset
        yield Path(root)


def _is_right(path: Path, file: PublishedFile) -> bool:
    return path.stat().st_size == file.size and sha256_of(path) == file.sha256


def _download(url: str, file: PublishedFile, target: Path, progress: Progress) -> None:
    """Download one file; raise OSError or ValueError, and leave nothing, when it is not right."""
    from http.client import HTTPException
    from urllib.request import urlopen

    digest, size = hashlib.sha256(), 0
    with atomic_path(target) as temporary, progress.stage(file.name, file.size) as stage:
        try:
            with urlopen(url, timeout=_TIMEOUT_S) as response, temporary.open("wb") as output:
                while size <= file.size and (content := response.read(_STEP)):
                    output.write(content)
                    digest.update(content)
                    size += len(content)
                    stage.advance(len(content))
        except HTTPException as error:
            raise ValueError(f"the download broke off: {error!r:.100}") from error
        except OSError as error:
            reason = getattr(error, "reason", error)  # urllib wraps the system's error
            raise ValueError(getattr(reason, "strerror", None) or str(reason)) from error
        if size != file.size:
            raise ValueError(f"got {size:,} bytes, wanted {file.size:,}")
        if digest.hexdigest() != file.sha256:
            raise ValueError(f"the SHA-256 of {file.name} is not the published one")


def _how_to_get(
    dataset: str, missing: Sequence[PublishedFile], base_url: str, error: Exception
) -> str:
    names = ", ".join(file.name for file in missing)
    root = os.environ.get("SACCADE_DATASETS")
    folder = Path(root) / dataset if root else datasets_folder() / dataset
    return f"{dataset} cannot be downloaded ({error}): put {names} from {base_url} into {folder}"
