"""What is left of compiling the kernels: nothing but the library, whatever became of a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from saccade.training.kernels import library

# It compiles nothing and links what was linked before, or, where it is to hang, dies with its user.
COMPILER = """#!/bin/sh
for last; do :; done
case "$*" in
  *-shared*) if [ -e "{hang}" ]; then : > "{linking}"; exec sleep 60; fi; cp "{real}" "$last" ;;
  *) : > "$last" ;;
esac
"""
MAKE = (
    "import sys; from pathlib import Path; from saccade.training.kernels import library; "
    "library._made((sys.argv[1],), Path(sys.argv[2]))"
)


def killed_while_linking(compiler: Path, path: Path, linking: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", MAKE, compiler, path],
        start_new_session=True,
        env=os.environ | {"TMPDIR": str(linking.parent)},
    ) as process:
        try:
            for _ in range(600):
                if linking.exists():
                    break
                time.sleep(0.05)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    assert linking.exists()


@pytest.mark.skipif(library.load_kernels() is None, reason="no C++ compiler")
@pytest.mark.skipif(sys.platform == "win32", reason="the compiler is a script")
def test_what_a_killed_process_left_is_swept_by_the_next_that_compiles(tmp_path: Path) -> None:
    compiler, hang, linking = (tmp_path / name for name in ("compiler", "hang", "linking"))
    real = library.load_kernels()._name
    compiler.write_text(COMPILER.format(hang=hang, linking=linking, real=real))
    compiler.chmod(0o755)
    hang.touch()
    path = tmp_path / "compiled" / "kernels-0.so"
    killed_while_linking(compiler, path, linking)
    (left,) = path.parent.glob(".tmp-*.so")
    hang.unlink()
    at_work, *others = (
        path.with_name(name)
        for name in (".tmp-a1b2c3d4.so", ".tmp-mine.so", "mine.so", ".tmp-a1b2c3d4.txt")
    )
    for one in (at_work, *others):
        one.touch()
    long_ago = time.time() - 86_400
    for one in (left, *others):
        os.utime(one, (long_ago, long_ago))
    library._made((str(compiler),), path)
    there = {one.name for one in path.parent.iterdir()}
    assert there == {one.name for one in (path, at_work, *others)} | {".kernels-0.lock"}
