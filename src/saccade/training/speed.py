"""How fast this machine multiplies: the one fact about it that the plan needs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import numpy as np

from saccade.models.backend import engine_name

_SIDE: Final = 1024
_REPEATS: Final = 5  # the best counts: a busy machine only ever slows a product down


def measure_gigaflops() -> float:
    """Return 10^9 operations a second of a large matrix product, as training multiplies."""
    if engine_name() == "torch":
        return _by_torch()
    matrix = np.random.default_rng(0).standard_normal((_SIDE, _SIDE)).astype(np.float32)
    return _rate(min(_timed(lambda: matrix @ matrix) for _ in range(_REPEATS)))


def _by_torch() -> float:
    import torch

    from saccade.training.precision import choose_precision

    device = "cuda" if torch.cuda.is_available() else "cpu"
    matrix = torch.randn(_SIDE, _SIDE, device=device)
    with choose_precision(device).autocast(device):
        return _rate(min(_timed(lambda: float((matrix @ matrix)[0, 0])) for _ in range(_REPEATS)))


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _rate(seconds: float) -> float:
    return 2 * _SIDE**3 / seconds / 1e9
