from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saccade.cli import main


@pytest.fixture(scope="session")
def run_saccade():
    """Run the command as a person would: its own process, its own output."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "saccade.cli", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
        )

    return run


@pytest.fixture
def run_here(monkeypatch, capsys):
    """Run the command in this process: another one imports Keras and PyTorch anew, for seconds."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        words = ["saccade", *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            main()
        return subprocess.CompletedProcess(words, ended.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two classes of noisy squares, dark or light above, and one broken file."""
    root = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for name, shade in (("dark", 20), ("light", 180)):
        (root / name).mkdir()
        for number in range(12):
            pixels = random.integers(0, 60, (16, 16, 3), dtype=np.uint8) + np.uint8(shade)
            pixels[8:] = random.integers(0, 60, (8, 16, 3)) + 190 - shade
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    (root / "dark" / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    return root


@pytest.fixture(scope="session")
def trained(run_saccade, pictures, tmp_path_factory) -> dict:
    """The document that one real `train --json` printed."""
    import json

    out = tmp_path_factory.mktemp("runs")
    done = run_saccade(
        "train", pictures, "--model", "t3", "--epochs", 30, "--out", out, "--name", "mine", "--json"
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
