import os
import subprocess
import sys

PROGRAM = """
import sys
sys.modules[{blocked!r}] = None  # what a missing package looks like
from saccade.models.backend import engine_name
print(engine_name())
"""


def run(blocked: str, backend: str | None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    if backend is not None:
        environment["KERAS_BACKEND"] = backend
    program = PROGRAM.format(blocked=blocked)
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )


def test_backend_is_torch_where_the_user_chose_none() -> None:
    assert run("tensorflow", None).stdout.strip() == "torch"


def test_backend_that_is_missing_names_its_extra() -> None:
    assert "pip install 'saccade[train]'" in run("keras", None).stderr
    assert "pip install 'saccade[tensorflow]'" in run("tensorflow", "tensorflow").stderr
