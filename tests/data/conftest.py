"""What tests of reading and caching share."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def disk_of(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Make a folder that is a disk of its own, of a size such as "3m"; skip where none can be."""
    folder = tmp_path / "disk"

    def mounted(size: str) -> Path:
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if (
            not shutil.which("mount")
            or subprocess.run(mount, capture_output=True, check=False).returncode
        ):
            pytest.skip("a small disk cannot be mounted here: that needs root")
        return folder

    yield mounted
    if folder.is_mount():
        subprocess.run(["umount", str(folder)], check=True)
