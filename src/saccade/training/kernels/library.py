"""The kernels as a loaded library: compiled for this very processor, once, and kept.

Compiling takes a few seconds, and the result stays in the user's cache under a name that holds a
digest of the sources, the compiler, its flags and the processor. Where there is no compiler, or it
fails, `load_kernels` answers None and PyTorch's own kernels do the work.

``SACCADE_KERNELS=off`` does without.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from saccade.config import switch
from saccade.data.cachefolder import compiled_folder
from saccade.errors import SettingsError
from saccade.files import atomic_path
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


@cache
def load_kernels() -> ctypes.CDLL | None:
    """Return the kernels' library, compiled now if need be; None where there can be none.

    Raises SettingsError for a wrong ``SACCADE_KERNELS``.
    """
    if switch("SACCADE_KERNELS") is False:
        return None
    compiler = find_compiler()
    if not compiler or find_spec("torch") is None:  # whose threads they share
        return None
    import torch  # noqa: F401  (first, so that both use one and the same thread pool)

    try:
        path = compiled_folder() / f"kernels-{_digest(compiler)}.so"
        with suppress(OSError):  # there is none yet, or a damaged one
            return ctypes.CDLL(str(path))
        _compile(compiler, path)
        return ctypes.CDLL(str(path))
    except (OSError, SettingsError, subprocess.SubprocessError):
        return None


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


def find_compiler() -> str:
    """Return the path of the C++ compiler, $CXX or a usual one; empty where there is none."""
    wanted = (os.environ["CXX"],) if "CXX" in os.environ else _COMPILERS
    return next((path for path in map(shutil.which, wanted) if path), "")


def _digest(compiler: str) -> str:
    """What the result depends on; a home folder may be shared by machines of several kinds."""
    version = subprocess.run(
        [compiler, "--version"], capture_output=True, timeout=_TIMEOUT_S, check=False
    ).stdout
    parts = [_read(name) for name in _SOURCES + _HEADERS]
    parts += [" ".join(_FLAGS).encode(), version, _processor().encode()]
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


def _compile(compiler: str, path: Path) -> None:
    with atomic_path(path) as temporary, tempfile.TemporaryDirectory() as folder:
        for name in _SOURCES + _HEADERS:
            (Path(folder) / name).write_bytes(_read(name))

        def run(*arguments: str) -> None:
            subprocess.run(
                [compiler, *_FLAGS, *arguments],
                cwd=folder,
                capture_output=True,
                timeout=_TIMEOUT_S,
                check=True,
            )

        with ThreadPoolExecutor(usable_cores()) as pool:  # a compiler uses one core
            list(pool.map(lambda name: run("-c", name, "-o", f"{name}.o"), _SOURCES))
        run("-shared", *(f"{name}.o" for name in _SOURCES), "-o", str(temporary))
