"""What every test starts from: an own cache and no settings of the person who runs it."""

from __future__ import annotations

import os
import signal

# One thread a test process: of two that each wait for two threads, all wait for one another.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import pytest

# Ctrl-C stops children too where a shell in the background, which ignores it, started the tests.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory):
    """Keep the tests' caches out of the user's; data sets stay where the variable points.

    The same goes for Keras's: which weights lie in it must not decide what `auto` trains. Kernels
    are compiled once for all processes of this session.
    """
    ours, keras = tmp_path_factory.mktemp("cache"), tmp_path_factory.mktemp("keras")
    session = tmp_path_factory.getbasetemp()
    session = session.parent if "PYTEST_XDIST_WORKER" in os.environ else session
    (session / "compiled").mkdir(exist_ok=True)
    (ours / "compiled").symlink_to(session / "compiled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SACCADE_CACHE", str(ours))
        patch.setenv("KERAS_HOME", str(keras))
        yield


@pytest.fixture
def datasets() -> Path:
    """The folder of real data sets; the test skips where there is none."""
    folder = os.environ.get("SACCADE_DATASETS")
    if not folder:
        pytest.skip("SACCADE_DATASETS is not set: no real data at hand")
    return Path(folder)
