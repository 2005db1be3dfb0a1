"""Whether, and how, a training step is compiled.

Compiling costs 5 seconds where an earlier run left its result on disk and 5 to 15 where not, so it
must be earned back. What it gains depends on what bounds a step. In float32 the products do, and
those are PyTorch's own kernels either way: nothing, measured, once freed memory is kept for the
next step (`models.process`). Where the processor multiplies bf16, products are so quick that the
rest weighs as much: about half.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable
from typing import Any

from saccade.data.cachefolder import compiled_folder
from saccade.training.precision import Format

_COST_S = 15.0
_GAIN: dict[Format, float] = {"float32": 0.0, "bf16": 0.45}  # share of a step's time
_MARGIN = 1.5  # gains vary; a loss would be noticed
_CXX = ("c++", "g++", "clang++", "cl")

Forward = Callable[[Any, Any, Any], Any]  # (inputs, labels, weights or None), all tensors


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


class Compilable:
    """A function of a batch that can be compiled: for batches of the first one's shape.

    Other batches, such as the last of an epoch, run as they are, and so do all where compiling
    fails, which `notes` then says. What was compiled stays in the user's cache for the next run.
    """

    def __init__(self, function: Forward) -> None:
        self._function = function
        self._graph: Forward | None = None
        self._built = False
        self._shape: Any = None
        self.notes: tuple[str, ...] = ()

    @property
    def compiled(self) -> bool:
        """Whether the function is compiled, or will be at the next batch."""
        return self._graph is not None

    def compile(self, refused: str) -> None:
        """Compile at the next batch, unless there is a reason, `refused` or another, not to."""
        reason = refused or obstacle()
        if reason:
            self.notes += (f"not compiled: {reason}",)
            return
        import torch

        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(compiled_folder()))
        self._graph = torch.compile(self._function, fullgraph=True, dynamic=False)

    def __call__(self, x: Any, y: Any, weight: Any) -> Any:
        """Return the function's result."""
        shape = (x.shape, x.dtype, weight is None)
        self._shape = self._shape or shape
        if self._graph is None or shape != self._shape:
            return self._function(x, y, weight)
        try:
            if self._built:
                return self._graph(x, y, weight)
            with warnings.catch_warnings():  # what the compiler warns of is its own affair
                warnings.simplefilter("ignore")
                result = self._graph(x, y, weight)
            self._built = True
            return result
        except Exception as error:  # noqa: BLE001  (compilers fail in many ways; not compiled
            # is always right, and an error that is not the compiler's comes again there)
            self._graph = None
            cause = str(error).strip().partition("\n")[0]
            self.notes += (f"not compiled: {type(error).__name__}: {cause}",)
            return self._function(x, y, weight)
