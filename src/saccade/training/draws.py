"""What chance decides of a batch's changes: small numbers, drawn on the processor.

No draw depends on a pixel. So all of a batch are drawn before one is touched, in one order, whoever
changes the pixels then: NumPy and our kernels (`augment`), or tensors on a graphics card
(`tensors`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from saccade.augmentation import Augmentation, Fill
from saccade.training.geometry import Maps, draw_maps

Pixels = npt.NDArray[np.uint8]
Real = npt.NDArray[np.float64]
Shape = tuple[int, ...]  # (N, H, W, C)

_LEAST_ERASED: Final = 0.02  # of the area; with the sides' ratio, as in Zhong et al., table 1
_NARROWEST: Final = 0.3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Light:
    """How a batch is relit: contrast around each picture's mean, and brightness added."""

    contrast: Real  # (N, 1), around 1
    brightness: Real  # (N, 1), in levels of 255


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Erasure:
    """A rectangle of one picture, and the noise that covers it."""

    picture: int
    rows: slice
    columns: slice
    noise: Pixels  # (rows, columns, C)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mixture:
    """How a batch is mixed with itself in another order: a rectangle of it, or blended.

    `kept` is the share of each picture that is its own. Blending counts in steps of 1 / 256, so
    that it is exact in whole numbers.
    """

    other: npt.NDArray[np.int64]  # (N,): with which picture each is mixed
    kept: float
    rectangle: tuple[slice, slice] | None  # of rows and columns

    @property
    def weight(self) -> int:
        """Of 256, how much of a picture is its own, where it is blended."""
        return round(256 * self.kept)

    def labels(self, labels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Mix (N, classes) shares as the pictures are."""
        share = np.float32(self.kept)
        mixed: npt.NDArray[np.float32] = share * labels + (1 - share) * labels[self.other]
        return mixed


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Draw:
    """What changes in the pictures of one batch; None, or nothing, for what does not."""

    maps: Maps | None
    fill: Fill
    light: Light | None
    colours: npt.NDArray[np.float32] | None  # (N, 3, 3), by which a row of three is multiplied
    erasures: tuple[Erasure, ...]

    def done_to(
        self,
        pixels: Any,
        *,
        move: Callable[[Any, Maps, Fill], Any],
        relight: Callable[[Any, Light], Any],
        recolour: Callable[[Any, npt.NDArray[np.float32]], Any],
        erase: Callable[[Any, tuple[Erasure, ...]], Any],
    ) -> Any:
        """Return copies of a batch changed as was drawn, by functions that do one thing each."""
        if self.maps is not None:
            pixels = move(pixels, self.maps, self.fill)
        if self.light is not None:
            pixels = relight(pixels, self.light)
        if self.colours is not None:
            pixels = recolour(pixels, self.colours)
        return erase(pixels, self.erasures) if self.erasures else pixels


class Ways(Protocol):
    """What changes a batch of pixels as was drawn: the module `augment`, or `tensors`."""

    def as_drawn(self, pixels: Any, draw: Draw, /) -> Any:
        """Return copies of a batch changed as was drawn."""

    def as_mixed(self, pixels: Any, mixture: Mixture, /) -> Any:
        """Return a batch mixed as was drawn."""


def changed(
    ways: Ways,
    pixels: Any,
    labels: npt.NDArray[Any],
    augmentation: Augmentation,
    random: np.random.Generator,
    num_classes: int,
) -> tuple[Any, npt.NDArray[Any]]:
    """Return a batch as training shows it: labels as given, or mixed, (N, classes) shares.

    Labels are (N,) classes, or (N, classes) where a picture has several.
    """
    pixels = ways.as_drawn(pixels, draw_changes(pixels.shape, augmentation, random))
    if not augmentation.mixes:
        return pixels, labels
    mixture = draw_mixture(pixels.shape, augmentation, random)
    return ways.as_mixed(pixels, mixture), mixture.labels(_as_shares(labels, num_classes))


def draw_changes(shape: Shape, augmentation: Augmentation, random: np.random.Generator) -> Draw:
    """Draw what changes in a batch of this shape; nothing is mixed here."""
    num_images, *size, channels = shape
    maps = light = colours = None
    if augmentation.moves:
        maps = draw_maps(num_images, (size[0], size[1]), augmentation, random)
    if augmentation.light:
        light = _draw_light(num_images, augmentation.light, random)
    if augmentation.colour and channels == 3:
        colours = _draw_colours(num_images, augmentation.colour, random)
    erasures = _draw_erasures(shape, augmentation.erase, random) if augmentation.erase else ()
    return Draw(maps=maps, fill=augmentation.fill, light=light, colours=colours, erasures=erasures)


def draw_mixture(shape: Shape, augmentation: Augmentation, random: np.random.Generator) -> Mixture:
    """Draw how a batch of this shape is mixed, where the plan says that it is.

    One draw a batch of the share, λ ~ Beta(α, α): by `mixup` (Zhang et al. 2018, eq. 1) pictures
    become λ·a + (1 - λ)·b, by `cutmix` (Yun et al. 2019, eq. 1 and 2) a rectangle of 1 - λ of the
    area comes from b; where both are asked, each has half of the batches.
    """
    num_images, height, width, _ = shape
    cuts = augmentation.cutmix and (not augmentation.mixup or random.random() < 0.5)
    alpha = augmentation.cutmix if cuts else augmentation.mixup
    kept, other = float(random.beta(alpha, alpha)), random.permutation(num_images)
    if not cuts:
        return Mixture(other=other, kept=round(256 * kept) / 256, rectangle=None)
    rows, columns = _draw_rectangle((height, width), 1 - kept, 1.0, random)
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return Mixture(other=other, kept=1 - area / (height * width), rectangle=(rows, columns))


def _as_shares(labels: npt.NDArray[Any], num_classes: int) -> npt.NDArray[np.float32]:
    if labels.ndim == 2:
        return labels.astype(np.float32)
    shares: npt.NDArray[np.float32] = np.eye(num_classes, dtype=np.float32)[labels]
    return shares


def _draw_light(num_images: int, most: float, random: np.random.Generator) -> Light:
    contrast = 1 + most * (2 * random.random((num_images, 1)) - 1)
    brightness = 255 * most * (random.random((num_images, 1)) - 0.5)
    return Light(contrast=contrast, brightness=brightness)


def _draw_colours(
    num_images: int, most: float, random: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Return matrices that change saturation, and each channel's strength.

    A channel moves away from the pixel's grey, or towards it, and is then scaled; light, the mean
    of the three gains, stays.
    """
    saturation = 1 + most * (2 * random.random((num_images, 1, 1)) - 1)
    gain = 1 + most / 2 * (2 * random.random((num_images, 1, 3)) - 1)
    gain /= gain.mean(axis=2, keepdims=True)
    grey = np.full((3, 3), 1 / 3)
    matrix = (np.eye(3) * saturation + grey * (1 - saturation)) * gain
    return matrix.astype(np.float32)


def _draw_erasures(shape: Shape, most: float, random: np.random.Generator) -> tuple[Erasure, ...]:
    """Draw a rectangle of every second picture (Zhong et al. 2017, algorithm 1)."""
    num_images, height, width, channels = shape
    erasures = []
    for picture in np.flatnonzero(random.random(num_images) < 0.5):
        share = random.uniform(min(_LEAST_ERASED, most), most)
        ratio = np.exp(random.uniform(np.log(_NARROWEST), -np.log(_NARROWEST)))
        rows, columns = _draw_rectangle((height, width), share, ratio, random)
        covered = (rows.stop - rows.start, columns.stop - columns.start, channels)
        noise = random.integers(0, 256, covered, dtype=np.uint8)
        erasures.append(Erasure(picture=int(picture), rows=rows, columns=columns, noise=noise))
    return tuple(erasures)


def _draw_rectangle(
    size: tuple[int, int], share: float, ratio: float, random: np.random.Generator
) -> tuple[slice, slice]:
    """Return a random rectangle of a share of the area; `ratio` is that of its sides' shares."""
    wanted = np.sqrt(share * ratio), np.sqrt(share / ratio)
    lengths = [min(side, round(side * part)) for side, part in zip(size, wanted, strict=True)]
    starts = [int(random.integers(0, side - n + 1)) for side, n in zip(size, lengths, strict=True)]
    rows, columns = (slice(at, at + n) for at, n in zip(starts, lengths, strict=True))
    return rows, columns
