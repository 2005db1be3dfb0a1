"""What machine this is and what is installed, for provenance and for `saccade info`."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

# That decide what training and prediction give.
PACKAGES: Final = (
    "numpy",
    "pillow",
    "simplejpeg",
    "onnxruntime",
    "keras",
    "torch",
    "tensorflow",
)


def describe_machine() -> str:
    """Return such as ``Linux x86_64, AMD EPYC, 2 cores, 23 GiB``."""
    parts = [f"{platform.system()} {platform.machine()}", _processor()]
    parts += [f"{usable_cores()} cores", _memory()]
    return ", ".join(part for part in parts if part)


def installed() -> dict[str, str | None]:
    """Return the version of each of `PACKAGES`; None where it is not installed."""
    from importlib.metadata import PackageNotFoundError, version  # a quarter of the help's imports

    versions: dict[str, str | None] = dict.fromkeys(PACKAGES)
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def usable_cores() -> int:
    """Return how many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _memory() -> str:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return ""
    return f"{size / 2**30:.0f} GiB"


def measure_gigaflops() -> float:
    """Return the rate of a large float32 matrix product here, in 10^9 operations a second."""
    import numpy as np

    side = 768
    left = np.ones((side, side), np.float32)
    return 2 * side**3 / least_seconds(lambda: left @ left, times=3) / 1e9


def least_seconds(work: Callable[[], object], *, times: int) -> float:
    """Return the least time of some runs of a piece of work, after one that starts the threads.

    The least, since whatever else the machine does can only slow it down.
    """
    work()
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)
