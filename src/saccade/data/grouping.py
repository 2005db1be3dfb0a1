r"""Groups that the user names: of one patient, product or burst, never split over two parts.

    number = group_rows(source, index, "patient")         # a column of the user's table
    number = group_rows(source, index, r"patient(\d+)")   # a pattern on each picture's path

A pattern is a Python regular expression with one group, ``( )``, and is looked for anywhere in the
path as `saccade check` shows it. Pictures where it finds the same text belong together; a picture
where it finds nothing, or whose cell is empty, stands alone. Where the data is a table that has a
column of the name given, in any case, the column is meant.

A pattern such as ``(a+)+$`` may take longer than the age of the world, and Python cannot stop it in
its own process. So patterns run in another, which is ended after `_PATIENCE_S`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Final

import numpy as np
import numpy.typing as npt

from saccade.data.index import Index
from saccade.data.source import Source
from saccade.errors import SettingsError

ALONE: Final = "none"  # in place of a group: every picture by itself, series too
_PATIENCE_S: Final = 20.0
_LONGEST: Final = 500
_SEARCH: Final = """
import json, re, sys
pattern, paths = json.load(sys.stdin)
find = re.compile(pattern).search
json.dump([found[1] if (found := find(path)) else None for path in paths], sys.stdout)
"""


def check_pattern(text: str) -> None:
    """Raise SettingsError where a group's text can be neither a column's name nor a pattern."""
    if not text.strip() or len(text) > _LONGEST:
        raise SettingsError(f"--group is a column or a pattern of up to {_LONGEST} characters")
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise SettingsError(f"--group {text!r} is no regular expression: {error}") from error


def group_rows(source: Source, index: Index, text: str) -> npt.NDArray[np.intp]:
    """Return an (N,) group number for each row; -1 for a row that stands alone.

    Raises SettingsError where `text` is no pattern with one group, or finds nothing anywhere.
    """
    found = source.column(text)
    if found is None:
        found = _searched(text, index)
    found = [*found, *[""] * (len(index) - len(found))]  # rows that the source leaves out
    values = np.array([value or "" for value in found], dtype=object)
    if not (index.usable & (values != "")).any():
        example = next(iter(index.path[index.usable]), "none")
        raise SettingsError(
            f"--group {text!r} finds nothing in any picture's path, such as {example!r}; "
            "mark what they share with ( ), as in 'patient(\\d+)', or name a table's column"
        )
    number = np.unique(values.astype(str), return_inverse=True)[1].reshape(-1).astype(np.intp)
    number[values == ""] = -1
    return number


def _searched(text: str, index: Index) -> list[str]:
    """Return what a pattern's group finds in each row's path; nothing where it is not there."""
    check_pattern(text)
    if (count := re.compile(text).groups) != 1:
        example = next(iter(index.path), "none")
        raise SettingsError(
            f"--group {text!r} is no column here, and as a pattern it has {count} groups ( ), "
            f"wanted one, as in 'patient(\\d+)'; a path is such as {example!r}"
        )
    request = json.dumps([text, index.path.tolist()])
    try:
        done = subprocess.run(
            [sys.executable, "-c", _SEARCH],
            input=request.encode(),
            capture_output=True,
            timeout=_PATIENCE_S,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        raise SettingsError(
            f"--group {text!r} takes longer than {_PATIENCE_S:.0f} s to look for; "
            "write it without repeats inside of repeats"
        ) from error
    except OSError:  # no Python to start: an application that carries its own
        find = re.compile(text).search
        return [found[1] or "" if (found := find(path)) else "" for path in index.path]
    return [value or "" for value in json.loads(done.stdout)]
