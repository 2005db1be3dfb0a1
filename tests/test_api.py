from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

HEAVY = ("keras", "torch", "tensorflow", "plotly", "pyarrow", "sklearn", "matplotlib", "jinja2")


def loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}


@pytest.mark.parametrize(
    "code",
    [
        "import saccade",
        "import saccade; saccade.load; saccade.evaluate; saccade.Run",
        "from typer.testing import CliRunner; from saccade.cli import app; "
        "CliRunner().invoke(app, ['--help'])",
        "from typer.testing import CliRunner; from saccade.cli import app; "
        "CliRunner().invoke(app, ['train', '--help'])",
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(code):
    assert not loaded_by(code) & set(HEAVY)


def test_warm_names_stay_out_of_a_bare_import():
    assert not loaded_by("import saccade") & {"numpy", "PIL", "onnxruntime", "typer", "rich"}


@pytest.mark.parametrize("package", ["", ".data", ".bundle", ".report", ".training", ".transfer"])
def test_lazy_names_are_all_there(package):
    module = importlib.import_module(f"saccade{package}")
    assert list(module.__all__) == sorted(module.__all__, key=_as_ruff_sorts)
    assert set(module.__all__) == set(module._HOME) <= set(dir(module))
    for name in module.__all__:
        getattr(module, name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = module.nothing


def _as_ruff_sorts(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions, each by name."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name
