"""The kernels as a loaded library: compiled for this very processor, once, and kept.

Compiling takes a few seconds, and the result stays in the user's cache under a name that holds a
digest of the sources, the compiler, its flags and the processor. Where there is no compiler, or it
fails, `load_kernels` answers None, PyTorch's own kernels do the work, and the run says so.

``SACCADE_KERNELS=off`` does without.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from saccade.config import switch
from saccade.data.cachefolder import cannot_keep, compiled_folder
from saccade.errors import SettingsError
from saccade.files import TEMPORARY, atomic_path
from saccade.machine import usable_cores

_SOURCES: Final = (
    "blocks.cpp",
    "convolutions.cpp",
    "dense.cpp",
    "normalisation.cpp",
    "muon.cpp",
    "pictures.cpp",
    "pooling.cpp",
    "stem.cpp",
    "steps.cpp",
    "weights.cpp",
)
_HEADERS: Final = ("pooling.h", "products.h", "tiles.h")
_FLAGS: Final = (
    "-std=c++17",
    "-O3",
    "-march=native",
    "-fopenmp",
    "-fno-math-errno",
    "-fno-trapping-math",  # a comparison of what is not a number need not raise a flag
    "-fPIC",
)
_COMPILERS: Final = ("g++", "c++", "clang++", "cl")
_TIMEOUT_S: Final = 120
_HALF_WRITTEN: Final = re.compile(re.escape(TEMPORARY) + r"[a-z0-9_]{8}\.so")  # as mkstemp names
# Of what a process left that was killed. One at work, on one core, is done or gives up before.
_LEFT_OVER_S: Final = 2 * _TIMEOUT_S * (len(_SOURCES) + 1)


def load_kernels() -> ctypes.CDLL | None:
    """Return the kernels' library, compiled now if need be; None where there can be none.

    Raises SettingsError for a wrong ``SACCADE_KERNELS``.
    """
    found = find_kernels()
    return None if isinstance(found, str) else found


@cache
def find_kernels() -> ctypes.CDLL | str:
    """Return the kernels' library, as `load_kernels` does, or in a few words why there is none."""
    if switch("SACCADE_KERNELS") is False:
        return "SACCADE_KERNELS is off"
    if find_spec("torch") is None:  # whose threads they share
        return "PyTorch is not installed"
    compiler = find_compiler()
    if not compiler:
        return "there is no C++ compiler"
    import torch  # noqa: F401  (first, so that both use one and the same thread pool)

    try:
        path = compiled_folder() / f"kernels-{_digest(compiler)}.so"
        return _kept(path) or _made(compiler, path)
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        return f"{' '.join(compiler)} failed: {next(iter(said), f'code {error.returncode}')}"
    except (OSError, SettingsError, subprocess.TimeoutExpired) as error:
        return str(error).partition("\n")[0]


def has_tiles() -> bool:
    """Whether the library holds the kernels that multiply tiles of bfloat16, and may use them."""
    return _tiles_there_are() > 0


def has_tile_unit() -> bool:
    """Whether these use a unit for tiles (AMX), which multiplies faster by far."""
    return _tiles_there_are() > 1


@cache
def _tiles_there_are() -> int:
    library = load_kernels()
    return 0 if library is None else int(library.tiles_there_are())


def find_compiler() -> tuple[str, ...]:
    """Return the words that start the C++ compiler; none where there is none.

    They are those of ``CXX``, such as ``ccache g++``, as make understands it, or a usual name.
    """
    wanted = [shlex.split(os.environ["CXX"])] if "CXX" in os.environ else [[c] for c in _COMPILERS]
    for program, *options in filter(None, wanted):
        if path := shutil.which(program):
            return (path, *options)
    return ()


def _digest(compiler: tuple[str, ...]) -> str:
    """What the result depends on; a home folder may be shared by machines of several kinds."""
    version = subprocess.run(
        [*compiler, "--version"], capture_output=True, timeout=_TIMEOUT_S, check=False
    ).stdout
    parts = [_read(name) for name in _SOURCES + _HEADERS]
    parts += [" ".join([*compiler[1:], *_FLAGS]).encode(), version, _processor().encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = {line for line in lines if line.startswith(("model name", "flags", "Features"))}
    return "\n".join(sorted(named)) or f"{platform.machine()} {platform.processor()}"


def _read(name: str) -> bytes:
    return files(__package__).joinpath(name).read_bytes()


def _kept(path: Path) -> ctypes.CDLL | None:
    with suppress(OSError):  # there is none yet, or a damaged one
        return ctypes.CDLL(str(path))
    return None


def _made(compiler: tuple[str, ...], path: Path) -> ctypes.CDLL:
    """Compile the library, or wait until another process has."""
    from filelock import FileLock

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        alone = FileLock(path.with_name(f".{path.stem}.lock")).acquire()
    except OSError as error:
        raise cannot_keep(path.parent, error) from error
    with alone:
        if (kept := _kept(path)) is not None:
            return kept
        _sweep(path.parent)
        _compile(compiler, path)
    return ctypes.CDLL(str(path))


def _sweep(folder: Path) -> None:
    """Delete what processes that were killed left half-written.

    Another's lock, for another compiler, may guard a file here: only old ones are deleted.
    """
    old = time.time() - _LEFT_OVER_S
    for path in folder.iterdir():
        if _HALF_WRITTEN.fullmatch(path.name):
            with suppress(OSError):  # another swept it, or it is another user's
                if path.lstat().st_mtime < old:
                    path.unlink()


def _compile(compiler: tuple[str, ...], path: Path) -> None:
    with atomic_path(path) as temporary, tempfile.TemporaryDirectory() as folder:
        for name in _SOURCES + _HEADERS:
            (Path(folder) / name).write_bytes(_read(name))

        def run(*arguments: str) -> None:
            subprocess.run(
                [*compiler, *_FLAGS, *arguments],
                cwd=folder,
                capture_output=True,
                timeout=_TIMEOUT_S,
                check=True,
            )

        with ThreadPoolExecutor(usable_cores()) as pool:  # a compiler uses one core
            list(pool.map(lambda name: run("-c", name, "-o", f"{name}.o"), _SOURCES))
        run("-shared", *(f"{name}.o" for name in _SOURCES), "-o", str(temporary))
