"""What tests of training share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from saccade.training.kernels.library import find_kernels


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Let PyTorch and our kernels share their work out, whatever the suite runs with."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def no_kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that does without our kernels."""
    monkeypatch.setenv("SACCADE_KERNELS", "off")
    find_kernels.cache_clear()
    yield
    find_kernels.cache_clear()
