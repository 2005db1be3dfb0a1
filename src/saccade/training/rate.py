"""How fast this machine trains our own family: what the plan reckons with, measured in a moment.

A training step multiplies, which a large matrix product measures, and it moves feature maps through
memory between the products. In float32 the products dominate, and training sustains about half of
the measured rate. In bf16 they are so much faster that the maps count as well: little where a
convolution is pooled in the same pass, several times as much where normalisation and addition are
passes of their own. The constants were fitted to steps of the family, on a unit for matrices and on
a processor with AVX512-BF16 but none (`python -m benchmarks steps` prints how far they are off).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from saccade.machine import least_seconds, measure_gigaflops
from saccade.models.backend import engine_name
from saccade.models.compact import CompactDesign, Shape, multiply_adds, num_entries

# Of a matrix product's rate; our tiles multiply faster by a unit than the library's large product.
_SUSTAINED: Final = {"float32": 0.5, "bf16": 1.15, "bf16 by a unit": 1.5}
# Of one entry of a feature map: pooled in the pass that writes it, and others.
_POOLED_S: Final = {"float32": 0.0, "bf16": 2.4e-9, "bf16 by a unit": 0.71e-9}
_OTHER_S: Final = {"float32": 0.0, "bf16": 7.5e-9, "bf16 by a unit": 6.1e-9}
_SIDE: Final = 2_048  # of the matrices; smaller ones do not fill a matrix unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What training sustains."""

    gigaflops: float  # 10^9 operations a second of convolutions, forward and backward
    pooled_s: float = 0.0  # seconds for each entry of feature maps that is pooled at once
    other_s: float = 0.0  # and for each other one

    def seconds(self, design: CompactDesign, input_shape: Shape) -> float:
        """Return the time that training on one picture takes a network of this design."""
        products_s = 6 * multiply_adds(design, input_shape) / (self.gigaflops * 1e9)
        pooled, others = num_entries(design, input_shape)
        return products_s + pooled * self.pooled_s + others * self.other_s


NOMINAL: Final = Rate(gigaflops=50.0)  # of a modest processor, where no clock may decide


def measure_rate() -> Rate:
    """Return the rate of this machine, for the number format that the engine multiplies in."""
    device = _narrow_device() if engine_name() == "torch" else None
    if device is None:
        kind, gigaflops = "float32", measure_gigaflops()
    else:
        kind, gigaflops = _narrow_kind(device), _bf16_gigaflops(device)
    return Rate(
        gigaflops=_SUSTAINED[kind] * gigaflops,
        pooled_s=_POOLED_S[kind],
        other_s=_OTHER_S[kind],
    )


def _narrow_device() -> str | None:
    """Return where PyTorch multiplies in a narrow format; None where in float32 on a processor."""
    import torch

    from saccade.training.precision import choose_precision

    device = "cuda" if torch.cuda.is_available() else "cpu"
    is_wide = choose_precision(device).format == "float32" and device == "cpu"
    return None if is_wide else device


def _narrow_kind(device: str) -> str:
    """Return which constants are those of products in bf16 there."""
    from saccade.training.precision import bf16_unit

    return "bf16 by a unit" if bf16_unit(device) in ("AMX", "tensor cores") else "bf16"


def _bf16_gigaflops(device: str) -> float:
    """Return the rate of a large product of bf16 matrices, in 10^9 operations a second."""
    import torch

    matrix = torch.ones(_SIDE, _SIDE, dtype=torch.bfloat16, device=device)
    # Reading one entry waits for a card to have it.
    seconds = least_seconds(lambda: float((matrix @ matrix)[0, 0]), times=20)
    return 2 * _SIDE**3 / seconds / 1e9
