"""What the base install promises: NumPy, Pillow and ONNX Runtime predict and evaluate."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import saccade
from saccade.progress import Silence

# As if nothing but the base install's packages were there.
WITHOUT = """
import sys
ABSENT = {"keras", "torch", "tensorflow", "onnx", "onnxscript", "pyarrow", "filelock", "sklearn",
          "scipy", "jinja2", "plotly",
          "simplejpeg"}  # of the base install where it has a wheel

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in ABSENT else found(name, *rest)
from saccade.cli import main
main()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures, dark or light above, and a model trained on them."""
    root = tmp_path_factory.mktemp("base")
    random = np.random.default_rng(1)
    for part in ("seen", "new"):
        for name, shade in (("dark", 20), ("light", 170)):
            (root / part / name).mkdir(parents=True)
            for number in range(8):
                pixels = random.integers(0, 60, (12, 12), dtype=np.uint8) + np.uint8(shade)
                pixels[6:] = 240 - pixels[6:]
                Image.fromarray(pixels).save(root / part / name / f"{number}.png")
    saccade.train(root / "seen", model="t3", epochs=30, name="run", out=root, progress=Silence())
    return root


def base(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_base_install_predicts(folder):
    done = base("predict", folder / "run" / "model.saccade", folder / "new" / "dark")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("dark\n") + done.stdout.count("dark  unsure\n") == 8


def test_base_install_predicts_and_evaluates_several_labels(folder):
    table = folder / "labels.csv"
    paths = [path.relative_to(folder) for path in sorted(folder.glob("seen/*/*.png"))]
    names = {path: f"{path.parent.name};{'odd' if int(path.stem) % 2 else ''}" for path in paths}
    table.write_text("path,labels\n" + "".join(f"{path},{names[path]}\n" for path in paths))
    options = {"model": "t3", "epochs": 1, "name": "several", "progress": Silence()}
    run = saccade.train(table, multi_label=True, out=folder, **options)
    done = base("predict", run.model, folder / "new" / "dark", "--format", "json")
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert len(answers) == 8
    assert set(answers[0]["probabilities"]) == {"dark", "light", "odd"}
    done = base("evaluate", run.model, table, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["test"] == run.test.to_json()


def test_base_install_evaluates(folder):
    done = base("evaluate", folder / "run" / "model.saccade", folder / "new")
    assert done.returncode == 0, done.stderr
    assert "95 % interval" in done.stdout


@pytest.mark.parametrize("command", [["runs"], ["info"], ["cache", "list"], ["--help"]])
def test_base_install_tells(command):
    assert base(*command).returncode == 0


def test_base_install_says_what_training_needs(folder, tmp_path):
    done = base("train", folder / "seen", "--out", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("saccade: training (keras is missing) needs packages")
    assert "pip install 'saccade[train]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
