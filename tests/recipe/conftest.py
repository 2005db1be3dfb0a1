from __future__ import annotations

import pytest

import saccade
from saccade.progress import Silence


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> saccade.Run:
    """One real run on the embedded set, trained for a few epochs."""
    out = tmp_path_factory.mktemp("runs")
    return saccade.train("digits", model="t5", epochs=5, name="digits", out=out, progress=Silence())
