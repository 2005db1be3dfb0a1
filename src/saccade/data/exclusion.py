"""Pictures that the user wants left out: the exclude.csv of `saccade check`, or any such list.

    index, digest = excluded(index, Path("checked/exclude.csv"))

A CSV file with a column ``path``, whose cells are paths as `saccade check` shows them for the same
data; ``other`` and ``detail``, where they are there, say why. Other columns are passed over. A path
that several rows of a table name stands for them all.
"""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import Final

import numpy as np

from saccade.data.index import Index
from saccade.errors import DataError, SettingsError

_WHY_LENGTH: Final = 200
_BY: Final = "excluded by"


def excluded(index: Index, file: Path) -> tuple[Index, str]:
    """Return the index with the file's pictures left out, and a digest of the list.

    A row that is left out already keeps its reason. Raises SettingsError where the file is no such
    list, DataError where it names a picture that is not in the data.
    """
    reasons = _reasons(file)
    known = set(index.path)
    unknown = [path for path in reasons if path not in known]
    if unknown:
        raise DataError(
            f"{file} names {len(unknown):,} of {len(reasons):,} pictures that are not in the data, "
            f"the first is {unknown[0]!r}; check the same DATA, which has such as "
            f"{index.path[0]!r}"
        )
    reason = index.reason.copy()
    for row in np.flatnonzero(index.usable):
        if (why := reasons.get(index.path[row])) is not None:
            reason[row] = why
    digest = hashlib.sha256("\n".join(sorted(reasons)).encode("utf-8", "backslashreplace"))
    return index.with_columns(reason=reason), digest.hexdigest()


def exclusion_note(index: Index) -> str:
    """Say how many rows a list left out, where these are more than its paths; else ""."""
    paths = [
        path for path, why in zip(index.path, index.reason, strict=True) if why.startswith(_BY)
    ]
    num_paths = len(set(paths))
    if len(paths) == num_paths:
        return ""
    are = "path, which the data names" if num_paths == 1 else "paths, some of which the data names"
    return (
        f"the list left out {len(paths):,} rows for {num_paths:,} {are} more than once: all rows "
        "of a picture go; to keep one of them, delete the others from the table instead"
    )


def _reasons(file: Path) -> dict[str, str]:
    """Return why each listed path is left out."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            lines = csv.DictReader(stream)
            if "path" not in (lines.fieldnames or ()):
                header = ", ".join(lines.fieldnames or ())[:200] or "none"
                raise SettingsError(
                    f"{file} has no column path among {header}; give the exclude.csv that "
                    "`saccade check --out` writes, or a CSV file with a column path"
                )
            return {row["path"]: _why(file, row) for row in lines if row["path"]}
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{file} is not UTF-8 text ({error.reason}); save it as UTF-8"
        ) from error
    except csv.Error as error:
        raise SettingsError(f"{file} cannot be read as CSV: {error}") from error
    except OSError as error:
        raise SettingsError(f"--exclude {file} cannot be read: {error.strerror}") from error


def _why(file: Path, row: dict[str, str]) -> str:
    other, detail = row.get("other"), row.get("detail")
    why = f"copy of {other}" if other else detail
    return f"{_BY} {file.name}" + (f": {why[:_WHY_LENGTH]}" if why else "")
