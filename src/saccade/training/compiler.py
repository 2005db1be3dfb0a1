"""Whether, and how, a training step is compiled.

Compiling costs some seconds and more with every layer (24 for MobileNetV2's 155), so it must be
earned back, and what it gains depends on what bounds a step. In float32 the products do, and those
are PyTorch's own kernels either way: nothing, measured. Where the processor multiplies bf16, the
rest weighs as much, and the compiler halves it; but so do our own kernels, by more: with them a
compiled step takes up to three quarters longer than one that is not (docs/performance.md), since
the compiler cannot see into them. So compiling is chosen for what it was measured to gain at:
bf16 on a processor for which our kernels could not be built.

On a graphics card it was not measured, and is not chosen. Where it is asked for there, the step
is compiled for CUDA graphs too: the card is told once what a step is, and then only to do it again.
PyTorch's compiler leaves them out, without a word, where it cannot make them.

``SACCADE_COMPILE=on`` (or ``off``) overrides the estimate.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from saccade.config import switch
from saccade.data.cachefolder import compiled_folder
from saccade.training.kernels.library import find_compiler, find_kernels
from saccade.training.precision import Format

ASKING: Final = "instructions"  # what the thread's name begins with that finds out about them
_SWITCH: Final = "SACCADE_COMPILE"
_START_S: Final = 10.0  # of compiling anything
_LAYER_S: Final = 0.1  # of compiling one layer more, forwards and backwards
_MOST_LAYERS: Final = 200  # more were not measured
_GAIN: Final = 0.45  # share of a step's time, bf16, without our kernels
_MARGIN: Final = 1.5  # gains vary; a loss would be noticed
_FROM_STEPS: Final = 1_000  # where no clock may decide

Forward = Callable[[Any, Any, Any], Any]  # (inputs, labels, weights or None), all tensors
Use = Callable[[Forward, Any, Any, Any], Any]  # what is done with it, and a batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What a step computes, as far as that decides whether compiling it pays."""

    number_format: Format
    device: str  # as PyTorch names its type, such as "cpu" or "cuda"
    num_layers: int

    @property
    def cost_s(self) -> float:
        """The seconds that compiling takes, about."""
        return _START_S + _LAYER_S * self.num_layers


def settled(work: Workload) -> str:
    """Return why no such step is compiled, however many are left; empty where these decide.

    Raises SettingsError for a wrong ``SACCADE_COMPILE``.
    """
    asked = switch(_SWITCH)
    if asked is not None:
        return "" if asked else f"{_SWITCH} is off"
    if work.number_format != "bf16":
        return "float32 gains nothing by it"
    if work.device != "cpu":
        return "its gain on a graphics card was not measured"
    if work.num_layers > _MOST_LAYERS:
        return f"its gain with more than {_MOST_LAYERS} layers was not measured"
    return obstacle() if isinstance(find_kernels(), str) else "our own kernels gain more"


def objection(work: Workload, *, seconds_a_step: float | None, num_steps: int) -> str:
    """Return why not to compile a step for the `num_steps` that are left; empty where it pays.

    Without `seconds_a_step` no clock decides, so that a run can be repeated to the last digit:
    a compiled step rounds otherwise. Raises SettingsError for a wrong ``SACCADE_COMPILE``.
    """
    reason = settled(work)
    if reason or switch(_SWITCH):
        return reason
    if seconds_a_step is None:
        if num_steps >= _FROM_STEPS:
            return ""
        return f"it pays from {_FROM_STEPS:,} steps on, and {num_steps:,} are left"
    saved_s = seconds_a_step * num_steps * _GAIN
    if saved_s > _MARGIN * work.cost_s:
        return ""
    return f"it takes about {work.cost_s:.0f} s, and would save {saved_s:.0f}"


@contextmanager
def _whole_result_kept() -> Iterator[None]:
    """Let the next process find the whole of what PyTorch's compiler makes, the way back included.

    Without this it keeps the C++ code, but derives the gradients anew wherever a gradient is
    written by hand, as our pooling's is, or numbers are rounded to bf16: half of what a kept
    step costs. Both are in the graph that its key is made of, with all that they are given.
    """
    from torch import __version__ as version
    from torch._functorch import config as gradients
    from torch._inductor import config as code

    rounding = [f"torch.amp.autocast_mode.{name}" for name in ("_enter_autocast", "_exit_autocast")]
    by_hand = "autograd_cache_allow_custom_autograd_functions"
    if not hasattr(gradients, by_hand) or not hasattr(code, "unsafe_marked_cacheable_functions"):
        yield  # an older PyTorch
        return
    safe = dict.fromkeys(rounding, version)
    with gradients.patch(by_hand, True), code.patch(unsafe_marked_cacheable_functions=safe):
        yield


def _ask_for_instructions_beside() -> None:
    """Let PyTorch find out which instructions it may use while it reads the step: a second less.

    It starts a Python for each kind, one after another, and remembers the answer.
    """
    try:
        for needed in ("codecache", "cpp_builder"):  # imported here, not by two threads at once
            import_module(f"torch._inductor.{needed}")
        from torch._inductor.cpu_vec_isa import pick_vec_isa
    except ImportError:  # another PyTorch, which asks when it comes to it
        return
    asking = ThreadPoolExecutor(1, thread_name_prefix=ASKING)
    asking.submit(pick_vec_isa)
    asking.shutdown(wait=False)


def kernels_missing(work: Workload) -> tuple[str, ...]:
    """Return a note where steps go without our own kernels, and nobody asked for that."""
    if work.device != "cpu" or switch("SACCADE_KERNELS") is False:
        return ()
    kernels = find_kernels()
    return (f"slower, without our own kernels: {kernels}",) if isinstance(kernels, str) else ()


def obstacle() -> str:
    """Return why nothing can be compiled on this machine; empty where it can."""
    return "" if find_compiler() else "there is no C++ compiler"


class Compilable:
    """A function of a batch that can be compiled: for batches of the first one's shape.

    `use` calls it, and does what belongs to it, such as the way back. Other batches, such as the
    last of an epoch, run as they are, and so do all where compiling fails, or what was compiled,
    which `notes` then says. What was compiled stays in the user's cache for the next run. `reason`
    is why it is compiled or not, in a few words; empty where that is open.
    """

    def __init__(self, function: Forward, work: Workload, use: Use) -> None:
        self._function, self._work, self._use = function, work, use
        self.reason = settled(work)
        self._graph: Forward | None = None
        self._built = False
        self._shape: Any = None
        refused = switch(_SWITCH) is False
        self.notes: tuple[str, ...] = ("not compiled: SACCADE_COMPILE is off",) if refused else ()
        self.notes += kernels_missing(work)

    @property
    def compiled(self) -> bool:
        """Whether the function is compiled, or will be at the next batch."""
        return self._graph is not None

    @property
    def reuses_memory(self) -> bool:
        """Whether what the function returned is overwritten when it is called again."""
        return self.compiled and self._work.device == "cuda"

    def pays(self, *, seconds_a_step: float | None, num_steps: int) -> bool:
        """Weigh compiling for the `num_steps` that are left, as `objection` does."""
        self.reason = objection(self._work, seconds_a_step=seconds_a_step, num_steps=num_steps)
        return not self.reason

    def compile(self, refused: str) -> None:
        """Compile at the next batch, unless there is a reason, `refused` or another, not to."""
        reason = refused or obstacle()
        if reason:
            self._give_up(reason)
            return
        import torch

        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(compiled_folder()))
        if self._work.device == "cpu":
            _ask_for_instructions_beside()
        mode = "reduce-overhead" if self._work.device == "cuda" else None  # by CUDA graphs
        self._graph = torch.compile(self._function, fullgraph=True, dynamic=False, mode=mode)
        how = f"{_SWITCH} is on" + (", for CUDA graphs" if mode else "")
        self.reason = how if switch(_SWITCH) else ""
        if self.reason:
            self.notes += (f"compiled: {self.reason}",)

    def _give_up(self, reason: str) -> None:
        self._graph, self.reason = None, reason
        self.notes += (f"not compiled: {reason}",)

    def __call__(self, x: Any, y: Any, weight: Any) -> Any:
        """Return the function's result."""
        shape = (x.shape, x.dtype, weight is None)
        self._shape = self._shape or shape
        if self._graph is not None and shape == self._shape:
            try:
                return self._by_graph(self._graph, x, y, weight)
            except Exception as error:  # noqa: BLE001  (compilers fail in many ways, and an
                # error that is not the compiler's comes again below)
                cause = str(error).strip().partition("\n")[0]
                reason = f"{type(error).__name__}: {cause}"
            # Not before the error is gone: it keeps what may have filled the memory. Where it was
            # the way back that failed, BatchNormalization counts this one batch twice.
            self._give_up(reason)
        return self._use(self._function, x, y, weight)

    def _by_graph(self, graph: Forward, x: Any, y: Any, weight: Any) -> Any:
        if self._built:
            return self._use(graph, x, y, weight)
        # What the compiler warns of is its own affair.
        with warnings.catch_warnings(), _whole_result_kept():
            warnings.simplefilter("ignore")
            result = self._use(graph, x, y, weight)
        self._built = True
        return result
