"""What the README shows is run as it stands there, the Python with a smaller budget."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def test_readme_fits_a_screen():
    assert len(README.splitlines()) <= 60


def test_readme_python_runs(tmp_path):
    (code,) = blocks(README, "python")
    assert code.count('budget="20s"') == 1
    code = code.replace("20s", "5s")  # the commands below take all of it
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Interval(value=")


def test_readme_commands_run(tmp_path):
    commands = [
        line
        for block in blocks(README, "sh")
        for line in block.splitlines()
        if line.startswith("saccade ")
    ]
    assert len(commands) == 3
    for command in commands:
        words = shlex.split(command)[1:]
        done = subprocess.run(
            [sys.executable, "-m", "saccade.cli", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"


def test_make_has_the_targets_that_are_named():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert {"demo", "test", "check", "bench", "examples"} <= targets
    named = re.findall(r"^make (\w+)", README + CONTRIBUTING, flags=re.MULTILINE)
    assert set(named) <= targets


def test_every_folder_has_its_line_and_every_path_exists():
    named = set(re.findall(r"^\| `(src/saccade/\w+)`", CONTRIBUTING, flags=re.MULTILINE))
    package = ROOT / "src" / "saccade"
    folders = {path.parent for path in package.glob("*/__init__.py")}
    assert {ROOT / name for name in named} == folders
    assert all((ROOT / path).is_file() for path in re.findall(r"tests/[\w/]+\.py", CONTRIBUTING))


@pytest.mark.parametrize("page", sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")]))
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


def test_changelog_begins_with_this_version():
    import saccade

    found = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert found is not None
    assert found[1] == saccade.__version__
