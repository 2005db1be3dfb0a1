"""Changes to training pictures that leave their meaning as it was, on a whole batch in NumPy.

Pixels move (`geometry`), then light and colour change, then a part is erased. Where pictures mix,
their labels mix in the same proportion. All random numbers come from the generator given, in an
order that the pictures do not change, so that a resumed run repeats an uninterrupted one.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from saccade.augmentation import Augmentation
from saccade.training.geometry import move
from saccade.training.kernels.pictures import translated

Pixels = npt.NDArray[np.uint8]

_LEAST_ERASED: Final = 0.02  # of the area; with the sides' ratio, as in Zhong et al., table 1
_NARROWEST: Final = 0.3


def changed(
    pixels: Pixels,
    labels: npt.NDArray[Any],
    augmentation: Augmentation,
    random: np.random.Generator,
    num_classes: int,
) -> tuple[Pixels, npt.NDArray[Any]]:
    """Return a batch as training shows it: labels as given, or mixed, (N, classes) shares."""
    pixels = augment(pixels, augmentation, random)
    if augmentation.mixes:
        return mix(pixels, labels, augmentation, random, num_classes)
    return pixels, labels


def augment(pixels: Pixels, augmentation: Augmentation, random: np.random.Generator) -> Pixels:
    """Return changed copies of a batch, (N, H, W, C) uint8 to the same; nothing is mixed here."""
    if augmentation.moves:
        pixels = move(pixels, augmentation, random)
    if augmentation.light:
        pixels = _relight(pixels, augmentation.light, random)
    if augmentation.colour and pixels.shape[3] == 3:
        pixels = _recolour(pixels, augmentation.colour, random)
    if augmentation.erase:
        pixels = _erase(pixels, augmentation.erase, random)
    return pixels


def mix(
    pixels: Pixels,
    labels: npt.NDArray[Any],
    augmentation: Augmentation,
    random: np.random.Generator,
    num_classes: int,
) -> tuple[Pixels, npt.NDArray[np.float32]]:
    """Return a batch mixed with itself in another order, and its labels as (N, classes) shares.

    Labels are (N,) classes, or (N, classes) where a picture has several.

    One draw a batch of the share, λ ~ Beta(α, α): by `mixup` (Zhang et al. 2018, eq. 1) pictures
    become λ·a + (1 - λ)·b, by `cutmix` (Yun et al. 2019, eq. 1 and 2) a rectangle of 1 - λ of the
    area comes from b; where both are asked, each has half of the batches.
    """
    several = labels.ndim == 2
    one_hot = (
        labels.astype(np.float32) if several else np.eye(num_classes, dtype=np.float32)[labels]
    )
    cuts = augmentation.cutmix and (not augmentation.mixup or random.random() < 0.5)
    alpha = augmentation.cutmix if cuts else augmentation.mixup
    kept, other = float(random.beta(alpha, alpha)), random.permutation(len(pixels))
    if cuts:
        rows, columns = _rectangle(pixels.shape[1:3], 1 - kept, 1.0, random)
        mixed = pixels.copy()
        mixed[:, rows, columns] = pixels[other][:, rows, columns]
        area = (rows.stop - rows.start) * (columns.stop - columns.start)
        kept = 1 - area / (pixels.shape[1] * pixels.shape[2])
    else:
        weight = round(256 * kept)
        kept = weight / 256
        sums = pixels * np.uint16(weight) + pixels[other] * np.uint16(256 - weight)
        mixed = ((sums + 127) >> 8).astype(np.uint8)
    share = np.float32(kept)
    return mixed, share * one_hot + (1 - share) * one_hot[other]


def _relight(pixels: Pixels, most: float, random: np.random.Generator) -> Pixels:
    """Change contrast around each picture's mean, and brightness, by a table of 256 entries."""
    num_images = len(pixels)
    contrast = 1 + most * (2 * random.random((num_images, 1)) - 1)
    brightness = 255 * most * (random.random((num_images, 1)) - 0.5)
    mean = pixels.reshape(num_images, -1)[:, ::7].mean(axis=1, keepdims=True)  # a seventh is enough
    entries = (np.arange(256) - mean) * contrast  # (N, 256)
    entries += mean
    entries += brightness
    table = np.clip(np.rint(entries, out=entries), 0, 255, out=entries).astype(np.uint8)
    relit = translated(pixels, table)
    if relit is not None:
        return relit
    relit = np.empty_like(pixels, order="C")
    for picture, its_table, out in zip(pixels, table, relit, strict=True):
        bytes_out = picture.tobytes().translate(its_table.tobytes())  # 6 times as quick as indexing
        out[:] = np.frombuffer(bytes_out, np.uint8).reshape(picture.shape)
    return relit


def _recolour(pixels: Pixels, most: float, random: np.random.Generator) -> Pixels:
    """Change saturation, and each channel's strength, by one 3×3 matrix a picture.

    A channel moves away from the pixel's grey, or towards it, and is then scaled; light, the mean
    of the three gains, stays.
    """
    saturation = 1 + most * (2 * random.random((len(pixels), 1, 1)) - 1)
    gain = 1 + most / 2 * (2 * random.random((len(pixels), 1, 3)) - 1)
    gain /= gain.mean(axis=2, keepdims=True)
    grey = np.full((3, 3), 1 / 3)
    matrix = ((np.eye(3) * saturation + grey * (1 - saturation)) * gain).astype(np.float32)
    colours = pixels.reshape(len(pixels), -1, 3).astype(np.float32) @ matrix
    colours += 0.5
    np.clip(colours, 0, 255, out=colours)
    return colours.astype(np.uint8).reshape(pixels.shape)


def _erase(pixels: Pixels, most: float, random: np.random.Generator) -> Pixels:
    """Cover a rectangle of every second picture by noise (Zhong et al. 2017, algorithm 1)."""
    erased = pixels.copy()
    for chosen in np.flatnonzero(random.random(len(pixels)) < 0.5):
        picture = erased[chosen]
        share = random.uniform(min(_LEAST_ERASED, most), most)
        ratio = np.exp(random.uniform(np.log(_NARROWEST), -np.log(_NARROWEST)))
        rows, columns = _rectangle(picture.shape[:2], share, ratio, random)
        covered = picture[rows, columns]
        covered[:] = random.integers(0, 256, covered.shape, dtype=np.uint8)
    return erased


def _rectangle(
    size: tuple[int, ...], share: float, ratio: float, random: np.random.Generator
) -> tuple[slice, slice]:
    """Return a random rectangle of a share of the area; `ratio` is that of its sides' shares."""
    wanted = np.sqrt(share * ratio), np.sqrt(share / ratio)
    lengths = [min(side, round(side * part)) for side, part in zip(size, wanted, strict=True)]
    starts = [int(random.integers(0, side - n + 1)) for side, n in zip(size, lengths, strict=True)]
    rows, columns = (slice(at, at + n) for at, n in zip(starts, lengths, strict=True))
    return rows, columns
