"""A folder of class folders on disk.

Symbolic links: a link to a file is followed where the file lies inside the folder given; a link
out of it, a broken one, and every link to a folder is left out with its reason. Nothing is lost
by the last, since a folder inside is read where it really stands, and no loop of links can hang
the walk. Pipes, sockets and devices are left out: opening one could wait for ever.

Folders that may not be read are listed with the system's reason, and the rest is used. The walk
keeps its own stack and goes no deeper than `layout.MAX_DEPTH`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from saccade.data.layout import MAX_DEPTH, TOO_DEEP, arrange
from saccade.data.raster import Payload
from saccade.data.source import Source, is_clutter, printable
from saccade.errors import DataError


class FolderSource(Source):
    """Pictures in class folders; `payloads` are paths."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise DataError(f"{folder} is not a folder; give a folder that holds class folders")
        root = Path(os.path.realpath(folder))
        paths, left_out = _walk(str(root))
        found = arrange(str(folder), paths, left_out)
        super().__init__(folder.name or root.name, found.entries, found.left_out)
        self._root = os.path.join(root, "")
        self._paths = [paths[position] for position in found.origin]

    def payloads(self, rows: Iterable[int]) -> Iterator[tuple[int, Payload]]:
        """Yield each picture's path."""
        for row in rows:
            yield row, self._root + self._paths[row]


def _walk(root: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the relative paths of the files below `root`, and what was left out."""
    paths: list[str] = []
    left_out: list[tuple[str, str]] = []
    folders = [("", 0)]  # relative path with its "/" at the end, depth
    while folders:
        folder, depth = folders.pop()
        try:
            with os.scandir(os.path.join(root, folder)) as listing:
                found = [entry for entry in listing if not is_clutter(entry.name)]
        except OSError as error:
            left_out.append(
                (printable(folder) or "the folder", f"cannot be listed: {error.strerror}")
            )
            continue
        for entry in found:
            path = folder + entry.name
            if entry.is_dir(follow_symlinks=False):
                if depth >= MAX_DEPTH:
                    left_out.append((printable(path), TOO_DEEP))
                else:
                    folders.append((path + "/", depth + 1))
            elif reason := _refusal(entry, root):
                left_out.append((printable(path), reason))
            else:
                paths.append(path)
    return paths, left_out


def _refusal(entry: os.DirEntry[str], root: str) -> str:
    """Return why a file is not read, or nothing."""
    if not entry.is_symlink():
        return "" if entry.is_file(follow_symlinks=False) else "not a file (a pipe or device)"
    target = os.path.realpath(entry.path)
    if os.path.commonpath([root, target]) != root:
        return "a link that leads out of the folder"
    try:
        mode = os.stat(target).st_mode
    except OSError as error:
        return f"a broken link: {error.strerror}"
    if stat.S_ISDIR(mode):
        return "a link to a folder; links to folders are not followed"
    return "" if stat.S_ISREG(mode) else "a link to a pipe or device"
