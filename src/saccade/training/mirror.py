"""Whether pictures may be mirrored or turned: asked of the training pictures themselves.

Mirroring helps with photographs and ruins digits, letters and arrows; neither colour nor size tells
which is which. Two questions are put, each to thumbnails by their nearest neighbours:

1. Within each class, every picture looks for its nearest neighbour among the others as they are and
   among the others mirrored. Where the class looks the same in a mirror, both are nearest equally
   often; digits find the unmirrored one almost always. Only a share near one half, of enough
   pictures to be sure, allows mirroring.
2. Among all classes, no two may be nearest to each other more often in a mirror than as they are:
   left hands become right hands, and right hands left ones. Two such classes among twenty others
   hardly move the share of the first question.

Pictures of one group are no neighbours: the nearest would be the next frame of the same film, as it
is, and say nothing of mirrors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from saccade.training.plan import TrainPlan
from saccade.training.result import Pictures

Array = npt.NDArray[np.float32]

_MOST_PICTURES: Final = 2_000
_AT_ONCE: Final = 64
_THUMBNAIL_SIDE: Final = 12
_MOST_SHARE: Final = 0.58  # upper end of the 95 % range of the share that still allows mirroring
_DEVIATIONS: Final = 3.0  # by which two classes must be taken for each other more often, to be sure

CHANGES: Final[Mapping[str, Callable[[Array], Array]]] = {  # of thumbnails (N, side, side)
    "flip": lambda thumbnails: thumbnails[:, :, ::-1],
    "flip_vertical": lambda thumbnails: thumbnails[:, ::-1],
    "turn": lambda thumbnails: np.rot90(thumbnails, axes=(1, 2)),
}
_SAID: Final = {"flip": "mirrored", "flip_vertical": "turned upside down", "turn": "turned by 90°"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """How much alike pictures and their changed versions are."""

    share: float  # of pictures whose nearest of the same class is unchanged; ties count half
    num_images: int  # that this rests on; a class with one picture says nothing
    exchanged: tuple[int, int] | None = None  # two classes that the change turns into each other
    names: tuple[str, str] | None = None  # of these two

    @property
    def allows(self) -> bool:
        """Whether the classes survive the change, as far as these pictures can tell."""
        if not self.num_images or self.exchanged is not None:
            return False
        return self.share + 2 * float(np.sqrt(0.25 / self.num_images)) < _MOST_SHARE

    def __str__(self) -> str:
        """Return what was found, as a clause."""
        if self.exchanged is not None:
            first, second = self.names or (f"class {label + 1}" for label in self.exchanged)
            return f"that turns {first} and {second} into each other"
        return (
            f"of {self.num_images:,}, {self.share:.0%} are nearest to a picture of their class "
            "as it is, the others to a changed one"
        )


def likeness(pictures: Pictures, change: str, *, seed: int) -> Likeness:
    """Return how alike pictures are to themselves changed by one of `CHANGES`.

    `turn` needs square pictures.
    """
    random = np.random.default_rng(seed)
    chosen = np.sort(random.permutation(len(pictures.rows))[:_MOST_PICTURES])
    starts = range(0, len(chosen), _AT_ONCE)  # 2,000 pictures of 384 px would be gigabytes
    thumbnails = np.concatenate(
        [
            _thumbnails(pictures.pixels[pictures.rows[chosen[start : start + _AT_ONCE]]])
            for start in starts
        ]
    )
    flat = thumbnails.reshape(len(chosen), -1)
    as_is, changed = flat @ flat.T, flat @ CHANGES[change](thumbnails).reshape(len(chosen), -1).T
    no_neighbours = _one_group(pictures, chosen)
    for alike in (as_is, changed):
        alike[no_neighbours] = -np.inf
    kinds, labels = np.unique(pictures.kinds[chosen], return_inverse=True)
    exchanged = _exchanged(labels[as_is.argmax(axis=1)], labels[changed.argmax(axis=1)], labels)
    share, num_images = _unchanged_share(as_is, changed, labels)
    found = Likeness(share=share, num_images=num_images)
    if exchanged is None:
        return found
    first, second = (int(kinds[number]) for number in exchanged)
    named = (_name(pictures, first), _name(pictures, second)) if pictures.names else None
    return replace(found, exchanged=(first, second), names=named)


def _name(pictures: Pictures, kind: int) -> str:
    """Return the quoted name of a class, or the names of a set of labels."""
    if not pictures.several_labels:
        return repr(pictures.names[kind])
    (first, *_) = np.flatnonzero(pictures.kinds == kind)
    found = [repr(pictures.names[label]) for label in np.flatnonzero(pictures.labels[first])]
    return " with ".join(found) or "pictures without a label"


def _one_group(pictures: Pictures, chosen: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Return which of the chosen pictures, (n, n), are no neighbours: of one group, or the same."""
    same = np.eye(len(chosen), dtype=bool)
    if pictures.group is None:
        return same
    group = pictures.group[chosen]
    joined: npt.NDArray[np.bool_] = same | ((group[:, None] == group) & (group >= 0))
    return joined


def _unchanged_share(as_is: Array, changed: Array, labels: npt.NDArray[Any]) -> tuple[float, int]:
    """Return how often the nearest of the same class is unchanged, and of how many pictures."""
    wins, count = 0.0, 0
    for label in range(labels.max(initial=-1) + 1):
        same = np.flatnonzero(labels == label)
        if len(same) < 2:
            continue
        nearest = as_is[np.ix_(same, same)].max(axis=1)
        has_neighbour = np.isfinite(nearest)
        nearest_changed = changed[np.ix_(same, same)].max(axis=1)
        difference = nearest[has_neighbour] - nearest_changed[has_neighbour]
        wins += float(np.sum(difference > 1e-6) + 0.5 * np.sum(np.abs(difference) <= 1e-6))
        count += len(difference)
    return (wins / count if count else 1.0), count


def _exchanged(
    nearest: npt.NDArray[Any], nearest_changed: npt.NDArray[Any], labels: npt.NDArray[Any]
) -> tuple[int, int] | None:
    """Return the two classes most surely taken for each other when changed, and not as they are.

    Both ways: a mirrored boot that is nearest to a bag is only a boot unlike the others.
    """
    num = int(labels.max(initial=-1)) + 1
    before, after = (
        np.bincount(labels * num + found, minlength=num * num).reshape(num, num)
        for found in (nearest, nearest_changed)
    )
    surplus = (after - before) / np.sqrt(np.maximum(after + before, 1))
    surplus = np.minimum(surplus, surplus.T)
    np.fill_diagonal(surplus, 0)
    if not num or surplus.max() <= _DEVIATIONS:
        return None
    first, second = np.unravel_index(surplus.argmax(), surplus.shape)
    return int(first), int(second)


def _thumbnails(pixels: npt.NDArray[np.uint8]) -> Array:
    """Return grey thumbnails of mean 0 and length 1, (N, 12, 12) or the smaller side there is."""
    _, height, width, channels = pixels.shape
    grey = pixels[..., 0].astype(np.float32)
    for channel in range(1, channels):  # 7 times as quick as NumPy's mean over a short axis
        grey += pixels[..., channel]
    grey /= channels
    thumbnails = _averaging(height) @ grey @ _averaging(width).T
    thumbnails -= thumbnails.mean(axis=(1, 2), keepdims=True)
    length = np.sqrt((thumbnails**2).sum(axis=(1, 2), keepdims=True))
    scaled: Array = thumbnails / np.maximum(length, 1e-6)
    return scaled


def _averaging(side: int) -> Array:
    """Return the matrix that averages `side` pixels to at most 12, by the area each covers.

    It is the same read backwards, so a mirrored picture has the mirrored thumbnail.
    """
    num = min(side, _THUMBNAIL_SIDE)
    starts, pixel = np.arange(num)[:, None] * side / num, np.arange(side)[None, :]
    overlap = np.minimum(starts + side / num, pixel + 1) - np.maximum(starts, pixel)
    weights: Array = (np.maximum(overlap, 0) * num / side).astype(np.float32)
    return weights


def decide_mirroring(plan: TrainPlan, train: Pictures) -> tuple[TrainPlan, str]:
    """Return the plan with its flips only where the classes survive them, and a note.

    What the user asked for is done whatever the pictures say; the note then says what they do.
    """
    notes = []
    height, width = train.pixels.shape[1:3]
    for change, said in _SAID.items():
        if not getattr(plan.augmentation, change) or (change == "turn" and height != width):
            continue
        found = likeness(train, change, seed=plan.seed)
        if plan.augmentation_is_asked:
            if not found.allows:
                notes.append(f"pictures are {said}, as asked, but may not look it: {found}")
            continue
        notes.append(f"pictures are {'' if found.allows else 'not '}{said}: {found}")
        decided: dict[str, Any] = {change: found.allows}
        plan = replace(plan, augmentation=replace(plan.augmentation, **decided))
    return plan, "; ".join(notes)
