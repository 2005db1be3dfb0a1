from __future__ import annotations

import subprocess
import sys

import pytest

import saccade

HEAVY = ("keras", "torch", "tensorflow", "plotly", "pyarrow", "sklearn", "matplotlib", "jinja2")


def loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}


def test_public_names_agree_with_what_can_be_imported():
    assert list(saccade.__all__) == sorted(saccade.__all__)
    for name in saccade.__all__:
        assert getattr(saccade, name).__module__.startswith("saccade")


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = saccade.nothing


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
