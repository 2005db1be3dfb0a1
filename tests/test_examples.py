"""Every tutorial's example runs, at its reduced size, and asserts its own result."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
DATA_OF = {
    "quickstart_digits": None,
    "t1_line": None,
    "t2_convolution": None,
    "t3_clothes_dense": "fashion-mnist",
    "t4_clothes_valid": "fashion-mnist",
    "t5_clothes_same": "fashion-mnist",
    "t6_small_colour": "cifar10-lossless-2000",
    "t7_horses_or_humans": "horses-or-humans-100px-gray.tar",
    "t8_cats_and_dogs": "cats-vs-dogs-192px.tar",
    "t9_transfer": "cats-vs-dogs-192px.tar",
    "t10_rock_paper_scissors": "rock-paper-scissors-28px.tar",
}
MAX_LINES = 60  # what a reader takes in as one lesson, blank lines not counted


def test_examples_are_all_listed() -> None:
    found = {path.stem for path in EXAMPLES.glob("*.py")} - {"__main__", "tutorial_data"}
    assert found == set(DATA_OF)


@pytest.mark.parametrize("name", DATA_OF)
def test_example_is_short(name: str) -> None:
    lines = (EXAMPLES / f"{name}.py").read_text().splitlines()
    assert sum(bool(line.strip()) for line in lines) <= MAX_LINES


@pytest.mark.parametrize("name", [name for name in DATA_OF if name != "t1_line"])
def test_example_asserts_its_result(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As `python examples/NAME.py --quick`, but in this process, which has Keras loaded."""
    data = DATA_OF[name]
    datasets = os.environ.get("SACCADE_DATASETS")
    if data and not (datasets and (Path(datasets) / data).exists()):
        pytest.skip(f"needs {data} in the folder that SACCADE_DATASETS names")
    script = EXAMPLES / f"{name}.py"
    monkeypatch.setattr(sys, "argv", [str(script), "--quick"])
    monkeypatch.syspath_prepend(EXAMPLES)  # as Python does for a script
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(script), run_name="__main__")
    assert capsys.readouterr().out.strip(), "it prints what came out"
    assert {path.name for path in tmp_path.iterdir()} <= {
        "runs",
        "horses-or-humans",
        "cats-and-dogs",
        "cats-vs-dogs",
    }


def asks_for_data(name: str, folder: Path) -> list[str]:
    return [f"{name}.py: put {DATA_OF[name]} into {folder}, which SACCADE_DATASETS names"]


def test_example_without_data_says_what_to_put_where(tmp_path: Path) -> None:
    name = "t7_horses_or_humans"
    result = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), "--quick"],
        cwd=tmp_path,
        env=os.environ | {"SACCADE_DATASETS": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (result.returncode, result.stderr.splitlines()) == (2, asks_for_data(name, tmp_path))


def test_all_examples_run_by_one_command(tmp_path: Path) -> None:
    """T1 asserts its own result, T10 lacks its data."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    environment = os.environ | {"SACCADE_DATASETS": str(tmp_path), "PYTHONPATH": path}
    result = subprocess.run(
        [sys.executable, "-m", "examples", "--quick", "t1", "t10"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 2
    assert result.stderr.splitlines() == asks_for_data("t10_rock_paper_scissors", tmp_path)
    assert "learnt y = " in result.stdout
    assert list(tmp_path.iterdir()) == []
    assert re.findall(r"^--- (\w+): (\w+)", result.stdout, re.MULTILINE) == [
        ("t1_line", "done"),
        ("t10_rock_paper_scissors", "not"),
    ]


def test_every_tutorial_row_is_in_the_docs() -> None:
    page = (ROOT / "docs" / "tutorials.md").read_text()
    named = re.findall(r"^\| (T\d+) \|.*\(\.\./examples/(\w+)\.py\)", page, re.MULTILINE)
    assert [row for row, _ in named] == [
        "T1",
        "T2",
        "T3",
        "T4",
        "T5",
        "T6",
        "T7",
        "T8",
        "T9",
        "T10",
    ]
    assert all(name.startswith(f"{row.lower()}_") and name in DATA_OF for row, name in named)
