"""What a person should know of a network before training it.

    findings = check_model("own_networks:build", data="photos/", progress=progress)

The model is loaded or built and looked at; nothing is trained. With data, the doctor knows also
how many classes there are and that pixels go from 0 to 255, as `saccade train` gives them.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from saccade.data import Index, build_index, open_source
from saccade.doctor import Case, DataFacts, examine
from saccade.errors import DataError, SettingsError
from saccade.finding import Finding
from saccade.models import AUTO, read_model
from saccade.progress import Progress, Silence

# For a function or a tutorial's network without data; every one of them can be built for these.
_SHAPE: Final = (64, 64, 3)
_NUM_CLASSES: Final = 2
_LARGEST_SIDE_PX: Final = 224  # larger pictures are made smaller for training, so here too


def check_model(
    name: str, *, data: Any = None, progress: Progress | None = None
) -> tuple[Finding, ...]:
    """Return what is wrong with a model, by itself and for `data` where that is given.

    `name` is a ``.keras`` file, ``module:function`` or a tutorial's network, as for `build_model`;
    `data` is anything that `open_source` takes. Raises SettingsError where the name gives no model,
    and DataError where there is nothing to read.
    """
    if name == AUTO:
        raise SettingsError(
            "the model 'auto' is designed for the data in `saccade train`; there is nothing to "
            "check: give a .keras file, module:function or a tutorial's network such as t5"
        )
    if data is None:
        model = read_model(name, input_shape=_SHAPE, num_classes=_NUM_CLASSES)
        return examine(Case.of(model))
    progress = progress or Silence()
    index = build_index(open_source(data, progress=progress), progress=progress)
    facts = _facts(index)
    model = read_model(name, input_shape=_shape(index), num_classes=len(index.classes))
    return examine(Case.of(model, data=facts))


def _facts(index: Index) -> DataFacts:
    if not index.usable.any():
        raise DataError("none of the pictures can be read; `saccade check DATA` says why")
    return DataFacts(
        low=0.0,
        high=255.0,
        num_rows=int(index.usable.sum()),
        are_pictures=True,
        num_classes=len(index.classes),
    )


def _shape(index: Index) -> tuple[int, int, int]:
    rows = np.flatnonzero(index.usable)
    sides = (int(np.median(side[rows])) for side in (index.height_px, index.width_px))
    height, width = (min(side, _LARGEST_SIDE_PX) for side in sides)
    return height, width, 1 if index.flagged("grey")[rows].all() else 3
