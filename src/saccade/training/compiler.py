"""Whether, and how, a training step is compiled.

Compiling costs 5 seconds where an earlier run left its result on disk and 5 to 15 where not, so it
must be earned back. What it gains depends on what bounds a step. In float32 the products do, and
those are PyTorch's own kernels either way: 5 to 10 %, measured. Where the processor multiplies
bf16, products are so quick that the rest weighs as much: about half.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from saccade.data.cachefolder import user_cache
from saccade.training.precision import Format

_COST_S = 15.0
_GAIN: dict[Format, float] = {"float32": 0.07, "bf16": 0.45}  # share of a step's time
_MARGIN = 1.5  # gains vary; a loss would be noticed
_CXX = ("c++", "g++", "clang++", "cl")

Function = TypeVar("Function", bound=Callable[..., Any])


def pays(seconds_a_step: float, num_steps: int, number_format: Format) -> bool:
    """Whether compiling is earned back over `num_steps` more steps of this length."""
    gained = seconds_a_step * num_steps * _GAIN[number_format]
    return gained > _MARGIN * _COST_S


def obstacle() -> str:
    """Return why nothing can be compiled on this machine; empty where it can."""
    wanted = (os.environ["CXX"],) if "CXX" in os.environ else _CXX
    if not any(shutil.which(name) for name in wanted):
        return "there is no C++ compiler"
    return ""


def compiled(function: Function) -> Function:
    """Return `function` as one compiled graph, built at its first call for that call's shapes.

    What was compiled stays in the user's cache folder for the next run. What the compiler warns of
    is its own affair.
    """
    import torch

    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(user_cache() / "compiled"))
    graph = torch.compile(function, fullgraph=True, dynamic=False)
    built = False

    @wraps(function)
    def call(*arguments: Any) -> Any:
        nonlocal built
        if built:
            return graph(*arguments)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = graph(*arguments)
        built = True
        return result

    return cast(Function, call)
