"""Numbers too small for float32's full precision, which a processor handles a hundred times slower.

Where a weight's gradient stays zero, as behind a border that is black in every picture or a ReLU
that nothing passes any more, its momentum shrinks step by step: by nine tenths in Adam, so that
after some 800 steps it is below 1.2e-38, and there it stays. A step of T6 takes twice as long then.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from saccade.training.kernels.calling import call
from saccade.training.kernels.library import load_kernels


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Let such numbers count as zero for as long as the block runs, on all of PyTorch's threads.

    Without our kernels it is the calling thread alone. What was set before is set again.
    """
    was_on = _are_flushed()
    _flush(True)
    try:
        yield
    finally:
        _flush(was_on)


def _flush(on: bool) -> None:
    if load_kernels() is None:
        torch.set_flush_denormal(on)
    else:
        call("flush_denormals", on)


def _are_flushed() -> bool:
    return bool(torch.tensor([2.0**-100]) * 2.0**-40 == 0)
