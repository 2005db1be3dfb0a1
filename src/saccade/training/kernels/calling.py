"""Calls of the kernels from Python: what their arguments become in C."""

from __future__ import annotations

import ctypes
from functools import cache, lru_cache
from typing import Any, Final

import torch

from saccade.training.kernels.library import load_kernels

Tensor = Any  # torch has no type information here

_C_TYPES: Final = {bool: ctypes.c_int, int: ctypes.c_int64, float: ctypes.c_float}


def call(name: str, *arguments: Any) -> None:
    """Call a kernel on tensors and arrays, None for none, and numbers; the threads come last.

    A bool becomes an int of C, an int its int64_t, a float its float.
    """
    given = [a.data_ptr() if isinstance(a, torch.Tensor) else a for a in arguments]
    _kernel(name, tuple(map(type, arguments)))(*given, torch.get_num_threads())


@cache
def _kernel(name: str, types: tuple[type, ...]) -> Any:
    """Return a kernel that knows its arguments: to tell it at every call takes as long as some."""
    function = load_kernels()[name]  # type: ignore[index]  # an object of its own for each form
    function.argtypes = [_C_TYPES.get(kind, ctypes.c_void_p) for kind in types] + [ctypes.c_int]
    return function


@lru_cache(maxsize=256)
def geometry(
    x: tuple[int, ...],
    kernel: tuple[int, ...],
    padding: tuple[int, ...],
    size: tuple[int, ...],
) -> Any:
    """Return the struct of the same name in tiles.h: maps read, window, and maps written.

    `x` and `kernel` are shapes (N, H, W, C) and (height, width, C, maps).
    """
    tall, wide, _, maps = kernel
    numbers = (*x, maps, tall, wide, *padding, *size)
    return (ctypes.c_int64 * len(numbers))(*numbers)
