"""How this process waits and keeps memory, set once, before PyTorch is loaded.

Both matter because a training step is a few dozen short operations, each shared out over threads
and each with a result of some megabytes, thousands of times a minute.
"""

from __future__ import annotations

import ctypes
import os
import platform
from typing import Final

# Rounds that an OpenMP thread waits awake. Without end (the default), a step was measured 3 to 10
# times slower beside other work; with none, a quarter slower on a quiet machine (performance.md).
_SPIN_ROUNDS: Final = 10_000
_KEPT_BYTES: Final = 2**30  # freed memory that is kept for the next step
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # as malloc.h of the GNU C library numbers them


def tune_process() -> None:
    """Make the settings, but for those that the user made."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ.setdefault("GOMP_SPINCOUNT", str(_SPIN_ROUNDS))
    if not any(name.startswith("MALLOC_") for name in os.environ):
        _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Let results reuse the last step's memory.

    The GNU C library else hands large blocks back to the system at once and is given them again
    page by page, cleared: 1,700 page faults a step, a fifth of its time, measured.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    library.mallopt(_M_MMAP_MAX, 0)
    library.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
