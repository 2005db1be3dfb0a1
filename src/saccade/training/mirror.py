"""Whether pictures may be mirrored: asked of the training pictures themselves.

Mirroring helps with photographs and ruins digits, letters and arrows; neither colour nor size tells
which is which. Within each class, every picture looks for its nearest neighbour among the others as
they are and among the others mirrored. Where the class looks the same in a mirror, both are nearest
equally often; digits find the unmirrored one almost always. Only a share near one half, of enough
pictures to be sure, allows mirroring.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from saccade.training.plan import TrainPlan
from saccade.training.result import Pictures

_MOST_PICTURES: Final = 2_000
_AT_ONCE: Final = 64
_THUMBNAIL_SIDE: Final = 12
_MOST_SHARE: Final = 0.58  # upper end of the 95 % range of the share that still allows mirroring


def unmirrored_share(
    pixels: npt.NDArray[np.uint8],
    rows: npt.NDArray[np.intp],
    labels: npt.NDArray[np.integer[Any]],
    *,
    seed: int,
) -> tuple[float, int]:
    """Return how often the nearest of the same class is unmirrored, and of how many pictures.

    `pixels` is (N, H, W, C), and ``labels[i]`` belongs to ``pixels[rows[i]]``. Ties count half; a
    class with one picture says nothing.
    """
    random = np.random.default_rng(seed)
    chosen = np.sort(random.permutation(len(rows))[:_MOST_PICTURES])
    starts = range(0, len(chosen), _AT_ONCE)  # 2,000 pictures of 384 px would be gigabytes
    thumbnails = np.concatenate(
        [_thumbnails(pixels[rows[chosen[start : start + _AT_ONCE]]]) for start in starts]
    )
    mirrored = thumbnails[:, :, ::-1]
    flat, flat_mirrored = thumbnails.reshape(len(chosen), -1), mirrored.reshape(len(chosen), -1)
    wins, count = 0.0, 0
    for label in np.unique(labels[chosen]):
        same = np.flatnonzero(labels[chosen] == label)
        if len(same) < 2:
            continue
        as_is, in_mirror = flat[same] @ flat[same].T, flat[same] @ flat_mirrored[same].T
        for likeness in (as_is, in_mirror):  # a picture is no neighbour of its own
            np.fill_diagonal(likeness, -np.inf)
        difference = as_is.max(axis=1) - in_mirror.max(axis=1)
        wins += float(np.sum(difference > 1e-6) + 0.5 * np.sum(np.abs(difference) <= 1e-6))
        count += len(same)
    return (wins / count if count else 1.0), count


def may_mirror(share: float, count: int) -> bool:
    """Return whether the share, with its 95 % range, is near enough to one half."""
    return count > 0 and share + 2 * float(np.sqrt(0.25 / count)) < _MOST_SHARE


def _thumbnails(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return grey thumbnails of mean 0 and length 1, (N, 12, 12) or the smaller side there is."""
    _, height, width, channels = pixels.shape
    grey = pixels.mean(axis=3, dtype=np.float32) if channels > 1 else pixels[..., 0]
    thumbnails = _averaging(height) @ grey.astype(np.float32) @ _averaging(width).T
    thumbnails -= thumbnails.mean(axis=(1, 2), keepdims=True)
    length = np.sqrt((thumbnails**2).sum(axis=(1, 2), keepdims=True))
    scaled: npt.NDArray[np.float32] = thumbnails / np.maximum(length, 1e-6)
    return scaled


def _averaging(side: int) -> npt.NDArray[np.float32]:
    """Return the matrix that averages `side` pixels to at most 12, by the area each covers.

    It is the same read backwards, so a mirrored picture has the mirrored thumbnail.
    """
    num = min(side, _THUMBNAIL_SIDE)
    starts, pixel = np.arange(num)[:, None] * side / num, np.arange(side)[None, :]
    overlap = np.minimum(starts + side / num, pixel + 1) - np.maximum(starts, pixel)
    weights: npt.NDArray[np.float32] = (np.maximum(overlap, 0) * num / side).astype(np.float32)
    return weights


def decide_mirroring(plan: TrainPlan, train: Pictures) -> tuple[TrainPlan, str]:
    """Return the plan with its flip only where the pictures look alike mirrored, and a note."""
    if not plan.augmentation.flip:
        return plan, ""
    share, count = unmirrored_share(train.pixels, train.rows, train.labels, seed=plan.seed)
    allowed = may_mirror(share, count)
    augmentation = replace(plan.augmentation, flip=allowed)
    note = (
        f"pictures are {'' if allowed else 'not '}mirrored: of {count:,}, {share:.0%} are nearest "
        "to a picture of their class as it is, the others to one mirrored"
    )
    return replace(plan, augmentation=augmentation), note
