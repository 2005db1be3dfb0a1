"""The folder of real pictures and weights, which the variable SACCADE_DATASETS names."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

WEIGHTS: Final = "weights/mobilenet_2_5_224_tf_no_top.h5"


def sets_folder(*needed: str) -> Path:
    """Return the folder; stop, saying so, where one of the `needed` files is not in it."""
    folder = Path(os.environ.get("SACCADE_DATASETS", ".")).resolve()
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        sys.exit(f"put {', '.join(missing)} into the folder that SACCADE_DATASETS names")
    return folder
