"""The peers' own environment, and processes that measure on request.

Peers never share an environment with Saccade: each is made on first use under ``.venv-peers/``, or
is one that exists already, named by a variable such as ``SACCADE_PEER_TENSORFLOW_PYTHON``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
TENSORFLOW: Final = ("tensorflow==2.21.*", "keras==3.15.*", "pillow")
ANSWER: Final = "ANSWER "  # what a worker's own lines begin with, among what libraries print


class WorkerError(Exception):
    """A measuring process ended without an answer; the message holds what it printed last."""


def tensorflow_python() -> Path:
    """Return the Python that has the tutorials' TensorFlow; make its environment on first use."""
    given = os.environ.get("SACCADE_PEER_TENSORFLOW_PYTHON")
    if given:
        return Path(given)
    folder = ROOT / ".venv-peers" / "tensorflow"
    python = folder / "bin" / "python"
    stamp = folder / "stamp"
    if not stamp.is_file() or stamp.read_text() != " ".join(TENSORFLOW):
        print(f"making {folder} with {', '.join(TENSORFLOW)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *TENSORFLOW], check=True)
        stamp.write_text(" ".join(TENSORFLOW))
    return python


def peer_versions(python: Path) -> dict[str, str]:
    """Return the versions of TensorFlow, Keras and NumPy in a peer's environment."""
    code = (
        "import importlib.metadata as m, json;"
        "print(json.dumps({n: m.version(n) for n in ('tensorflow', 'keras', 'numpy')}))"
    )
    printed = subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True)
    found: dict[str, str] = json.loads(printed.stdout)
    return found


def run_json(
    command: Sequence[str | Path], environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run a program to its end and return the JSON document that it printed."""
    done = subprocess.run(
        [str(word) for word in command],
        env=os.environ | dict(environment or {}),
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    if done.returncode:
        words = " ".join(str(word) for word in command)
        raise WorkerError(f"{words} ended with {done.returncode}: {done.stderr[-2000:]}")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def saccade_command(*words: str | Path) -> list[str]:
    """Return the words that start Saccade's command line as installed beside this Python."""
    return [str(Path(sys.executable).parent / "saccade"), *(str(word) for word in words)]


class Worker:
    """A process that measures once each time it is asked, and waits meanwhile.

    Two workers can so take turns although each holds its own library and its own warm state.
    """

    def __init__(self, command: Sequence[str | Path], environment: Mapping[str, str]) -> None:
        self._errors = tempfile.TemporaryFile(mode="w+")
        self._process = subprocess.Popen(
            [str(word) for word in command],
            env=os.environ | dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=ROOT,
        )

    def ask(self) -> float:
        """Let the process measure once and return what it found."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write("go\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise WorkerError(self._last_words()) from None
        for line in self._process.stdout:
            if line.startswith(ANSWER):
                return float(line.removeprefix(ANSWER))
        raise WorkerError(self._last_words())

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass  # it had died before: whoever asked it has been told
        self._errors.close()

    def _last_words(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        return f"a worker ended with {self._process.returncode}: {self._errors.read()[-2000:]}"
