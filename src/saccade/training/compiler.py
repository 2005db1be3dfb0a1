"""Whether, and how, a training step is compiled.

Compiling costs some seconds and more with every layer (24 for MobileNetV2's 155), so it must be
earned back, and what it gains depends on what bounds a step. In float32 the products do, and those
are PyTorch's own kernels either way: nothing, measured. Where the processor multiplies bf16, the
rest weighs as much, and the compiler halves it; but so do our own kernels, by more: with them a
compiled step takes up to three quarters longer than one that is not (docs/performance.md), since
the compiler cannot see into them. So compiling is chosen for what it was measured to gain at:
bf16 on a processor for which our kernels could not be built.

``SACCADE_COMPILE=on`` (or ``off``) overrides the estimate.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from saccade.config import switch
from saccade.data.cachefolder import compiled_folder
from saccade.training.kernels.library import find_compiler, load_kernels
from saccade.training.precision import Format

_SWITCH: Final = "SACCADE_COMPILE"
_START_S: Final = 10.0  # of compiling anything
_LAYER_S: Final = 0.1  # of compiling one layer more, forwards and backwards
_MOST_LAYERS: Final = 200  # more were not measured
_GAIN: Final = 0.45  # share of a step's time, bf16, without our kernels
_MARGIN: Final = 1.5  # gains vary; a loss would be noticed
_FROM_STEPS: Final = 1_000  # where no clock may decide

Forward = Callable[[Any, Any, Any], Any]  # (inputs, labels, weights or None), all tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What a step computes, as far as that decides whether compiling it pays."""

    number_format: Format
    device: str  # "cpu" or "cuda"
    num_layers: int

    @property
    def cost_s(self) -> float:
        """The seconds that compiling takes, about."""
        return _START_S + _LAYER_S * self.num_layers

    @property
    def gain(self) -> float:
        """The share of a step's time that compiling saves; 0 where none was measured."""
        slow = self.number_format == "bf16" and self.device == "cpu" and load_kernels() is None
        return _GAIN if slow and self.num_layers <= _MOST_LAYERS else 0.0


def pays(work: Workload, *, seconds_a_step: float | None, num_steps: int) -> bool:
    """Whether to compile a step for the `num_steps` that are left, or the user asks for it.

    Without `seconds_a_step` no clock decides, so that a run can be repeated to the last digit:
    a compiled step rounds otherwise. Raises SettingsError for a wrong ``SACCADE_COMPILE``.
    """
    asked = switch(_SWITCH)
    if asked is not None:
        return asked
    if seconds_a_step is None:
        return work.gain > 0 and num_steps >= _FROM_STEPS
    return seconds_a_step * num_steps * work.gain > _MARGIN * work.cost_s


def obstacle() -> str:
    """Return why nothing can be compiled on this machine; empty where it can."""
    return "" if find_compiler() else "there is no C++ compiler"


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
        refused = switch(_SWITCH) is False
        self.notes: tuple[str, ...] = ("not compiled: SACCADE_COMPILE is off",) if refused else ()

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
        if switch(_SWITCH):
            self.notes += ("compiled: SACCADE_COMPILE is on",)

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
