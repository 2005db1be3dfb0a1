"""A few training pictures, each with versions as training showed them, for the report."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from saccade.augmentation import Augmentation
from saccade.recipe.judge import write_gallery
from saccade.training import Pictures, augment
from saccade.training.draws import changed

_PICTURES: Final = 4
_VERSIONS: Final = 5


def write_preview(
    path: Path, train: Pictures, augmentation: Augmentation, *, num_classes: int, seed: int
) -> None:
    """Write (4 or fewer, 6, H, W, C) uint8: a training picture as it is, then five versions of it.

    Pictures are drawn blindly, of different classes as far as there are; nothing is written where
    nothing changes.
    """
    if augmentation.is_none:
        return
    random = np.random.default_rng(seed)
    order = random.permutation(len(train.rows))
    _, first = np.unique(train.kinds[order], return_index=True)
    places = np.concatenate([np.sort(first), np.setdiff1d(np.arange(len(order)), first)])
    chosen = order[places[:_PICTURES]]
    pixels, labels = train.taken(chosen)
    versions = [
        changed(augment, pixels, labels, augmentation, random, num_classes)[0]
        for _ in range(_VERSIONS)
    ]
    write_gallery(path, np.stack([pixels, *versions], axis=1))
