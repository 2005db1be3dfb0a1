"""Which number format the engine multiplies in: bf16 where the processor does so in hardware.

bfloat16 halves what memory must carry and, on AMX, AVX512-BF16 and recent GPUs, multiplies two to
sixteen times faster. Elsewhere PyTorch imitates it in software, slower than float32, so the machine
is asked. Weights, optimiser and loss stay float32 in either case; only products are rounded.

``SACCADE_PRECISION=float32`` (or ``bf16``) overrides what the machine says.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

from saccade.errors import SettingsError
from saccade.training.kernels.library import load_kernels

Format = Literal["float32", "bf16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """The format of products, and the part of the machine that decided it."""

    format: Format
    reason: str  # such as "AMX" or "the processor has no bf16 instructions"

    def __str__(self) -> str:
        return f"{self.format} ({self.reason})"

    def autocast(self, device: str) -> AbstractContextManager[Any]:
        """Return the context in which PyTorch multiplies in this format on "cpu" or "cuda"."""
        import torch

        if self.format == "float32":
            return nullcontext()
        return torch.autocast(device, dtype=torch.bfloat16)  # type: ignore[no-any-return]


FLOAT32 = Precision(format="float32", reason="as asked")
BF16 = Precision(format="bf16", reason="as asked")


def choose_precision(device: str) -> Precision:
    """Ask the machine: bf16 where `device` ("cpu" or "cuda") multiplies it in hardware.

    Raises SettingsError where ``SACCADE_PRECISION`` is set to no format.
    """
    asked = os.environ.get("SACCADE_PRECISION")
    if asked == "float32":
        return FLOAT32
    if asked == "bf16":
        return BF16
    if asked:
        raise SettingsError(f"SACCADE_PRECISION is float32 or bf16, got {asked!r}")
    name = bf16_unit(device)
    if name:
        return Precision(format="bf16", reason=name)
    owner = "processor" if device == "cpu" else "graphics card"
    return Precision(format="float32", reason=f"the {owner} has no bf16 instructions")


def bf16_unit(device: str) -> str:
    """Return what multiplies bf16 on `device` ("cpu" or "cuda"); empty where only software does."""
    import torch

    if device == "cuda":
        major, _ = torch.cuda.get_device_capability()
        return "tensor cores" if major >= 8 else ""  # Ampere was the first with bf16
    if torch.cpu._is_amx_tile_supported():
        return "AMX"
    if torch.cpu._is_avx512_bf16_supported():
        return "AVX512-BF16"
    return ""


def arithmetic(number_format: Format, device: str) -> str:
    """Return what decides how a step's numbers are rounded: where it is equal, so are they.

    `device` is "cpu" or "cuda"; of one machine, whose processor is not named.
    """
    import torch

    ours = device == "cpu" and load_kernels() is not None
    threads = torch.get_num_threads()
    parts = (
        f"{number_format} with {'our own' if ours else 'the usual'} kernels",
        f"{threads} thread{'s' if threads > 1 else ''}",
        f"PyTorch {torch.__version__}",
    )
    return ", ".join(parts)
