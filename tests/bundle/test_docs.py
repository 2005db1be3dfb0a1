"""What docs/bundle.md says, held against the code."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from saccade.bundle import Manifest
from saccade.bundle.builder import OPSET
from saccade.bundle.manifest import FORMAT_VERSION, MEMBERS
from saccade.bundle.write import MAX_DIFFERENCE, MEAN_DIFFERENCE

PAGE = (Path(__file__).parents[2] / "docs" / "bundle.md").read_text()


def rows_of(heading: str) -> list[str]:
    """Return the first column of the table below a heading."""
    section = PAGE.split(heading, 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^\| `([\w.]+)` \|", section, flags=re.MULTILINE)


def test_program_runs_without_saccade(tmp_path: Path, bundle_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert "import saccade" not in program
    assert len([line for line in program.splitlines() if line]) <= 12
    shutil.copy(bundle_path, tmp_path / "model.saccade")
    # Grey of 153 is a brightness of 0.6: z = 10 * 0.1, so light has 1 / (1 + e^-(2 / 2)).
    Image.fromarray(np.full((20, 30, 3), 153, dtype=np.uint8)).save(tmp_path / "cat.png")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    label, share = done.stdout.split()
    assert label == "light"
    assert abs(float(share) - 0.7310586) < 1e-5


def test_tables_name_every_field(manifest: Manifest) -> None:
    assert rows_of("# The bundle") == list(MEMBERS)
    assert rows_of("## manifest.json") == list(manifest.to_json())


def test_numbers_are_the_codes_numbers() -> None:
    assert f"more than {MAX_DIFFERENCE:g}," in PAGE
    assert f"not exceed {MEAN_DIFFERENCE:g}." in PAGE
    assert f"Opset {OPSET}," in PAGE
    assert f"Version {FORMAT_VERSION} is the newest" in PAGE
