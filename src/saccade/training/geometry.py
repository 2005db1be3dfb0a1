"""Moving a batch of pictures: one affine map a picture, one gather for them all.

For an output pixel at (i, j) from the picture's middle, the input pixel shown is the one under

    (y, x) = centre + R(angle) · S(shear) · diag(shown) · (i, j)

with signs in `shown` for mirroring. Where nothing is rotated or sheared, y depends on i alone and x
on j alone, and the same arithmetic runs on rows and columns, a thousandth of the pixels. Kernels do
the gathering, where there are any. It picks the nearest pixel; the small unevenness of a zoom costs
less than blending would.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from saccade.augmentation import Augmentation, Fill
from saccade.training.kernels.pictures import Sloping, shown_along, shown_at

Whole = npt.NDArray[np.int64]
Real = npt.NDArray[np.float64]

_PIXELS_AT_ONCE: Final = 1 << 17  # of rotated pictures: their places stay in the processor's cache
FRACTION_BITS: Final = 16  # of a place in fixed point: shifting is quicker than floor


class Maps(NamedTuple):
    """Each picture's affine map, both parts as (y, x) in pixels."""

    matrix: Real  # (N, 2, 2)
    centre: Real  # (N, 2)

    @property
    def are_oblique(self) -> bool:
        """Whether a row shown depends on the column, or a column on the row."""
        return bool(self.matrix[:, [0, 1], [1, 0]].any())


def move(pixels: npt.NDArray[np.uint8], maps: Maps, fill: Fill) -> npt.NDArray[np.uint8]:
    """Return moved copies of a batch, (N, H, W, C) uint8 to the same."""
    num_images, height, width, _ = pixels.shape
    at_once = num_images
    if maps.are_oblique:
        at_once = max(1, _PIXELS_AT_ONCE // (height * width))
    groups = [slice(start, start + at_once) for start in range(0, num_images, at_once)]
    shown = [_shown(pixels[g], Maps(maps.matrix[g], maps.centre[g]), fill) for g in groups]
    return shown[0] if len(shown) == 1 else np.concatenate(shown)


def sides_of(maps: Maps, size: tuple[int, int], fill: Fill) -> tuple[Sloping, Sloping]:
    """Return which rows and which columns pictures of this (height, width) show where.

    In fixed point (`FRACTION_BITS`). What lies beyond the border and is black is the number of
    pixels in all pictures, or more.
    """
    matrix, centre = maps
    height, width = size
    down, right = (np.arange(side) + 0.5 - side / 2 for side in size)
    reach = 2 * (height + width)  # no map leads further away from the picture
    rows = _fixed(matrix[:, :1, 0] * down + centre[:, :1] + reach)
    columns = _fixed(matrix[:, 1:, 1] * right + centre[:, 1:] + reach)
    end = len(matrix) * height * width
    row_at, column_at = (_folded(side, reach, fill, end) for side in size)
    slopes = _fixed(matrix[:, :1, 1] * right), _fixed(matrix[:, 1:, 0] * down)
    return Sloping(rows, slopes[0], row_at), Sloping(columns, slopes[1], column_at)


def straight(side: Sloping) -> Whole:
    """Return which rows, or columns, are shown where nothing slopes: (N, places)."""
    return side.shown.take(side.starts >> FRACTION_BITS)


def _shown(pixels: npt.NDArray[np.uint8], maps: Maps, fill: Fill) -> npt.NDArray[np.uint8]:
    """Return the pictures as their maps show them."""
    num_images, height, width, channels = pixels.shape
    sides, are_oblique = sides_of(maps, (height, width), fill), maps.are_oblique
    if are_oblique:
        shown = shown_along(pixels, *sides, fraction_bits=FRACTION_BITS)
    else:
        shown = shown_at(pixels, *map(straight, sides))
    if shown is not None:
        return shown
    (rows, row_slopes, row_at), (columns, column_slopes, column_at) = sides
    rows, columns = rows[:, :, None], columns[:, None, :]
    if are_oblique:
        rows, columns = rows + row_slopes[:, None, :], columns + column_slopes[:, :, None]
    first = (np.arange(num_images) * (height * width))[:, None, None]
    flat = (row_at * width).take(rows >> FRACTION_BITS) + first
    flat = flat + column_at.take(columns >> FRACTION_BITS)
    return _gather(pixels.reshape(-1, channels), flat, fill).reshape(pixels.shape)


def draw_maps(
    num_images: int, size: tuple[int, int], augmentation: Augmentation, random: np.random.Generator
) -> Maps:
    """Draw each picture's map, for pictures of this (height, width)."""
    side = np.array(size, np.float64)
    shown = 1.0 - augmentation.zoom * random.random((num_images, 2))
    room = augmentation.shift * side + (1.0 - shown) * side / 2
    moved = room * (2 * random.random((num_images, 2)) - 1)
    matrix = np.zeros((num_images, 2, 2))
    for axis, mirrored in enumerate((augmentation.flip_vertical, augmentation.flip)):
        sign = np.where(random.random(num_images) < 0.5, -1.0, 1.0) if mirrored else 1.0
        matrix[:, axis, axis] = sign * shown[:, axis]
    if augmentation.shear:
        slant = augmentation.shear * (2 * random.random(num_images) - 1)
        matrix[:, 1] += slant[:, None] * matrix[:, 0]
    if augmentation.rotate:
        angle = np.deg2rad(augmentation.rotate * (2 * random.random(num_images) - 1))
        matrix = _rotation(np.cos(angle), np.sin(angle)) @ matrix
    if augmentation.turn:
        quarters = random.integers(0, 4, num_images)
        cosine, sine = np.array([1.0, 0, -1, 0]), np.array([0, 1.0, 0, -1])
        matrix = _rotation(cosine[quarters], sine[quarters]) @ matrix
    if not (augmentation.zoom or augmentation.rotate or augmentation.shear):
        moved = np.rint(moved)  # whole pixels only, each exactly once
    return Maps(matrix, side / 2 + moved)


def _rotation(cosine: Real, sine: Real) -> Real:
    rows = np.stack([cosine, -sine]), np.stack([sine, cosine])
    return np.moveaxis(np.stack(rows), 2, 0)


def _fixed(places: Real) -> Whole:
    return np.rint(places * (1 << FRACTION_BITS)).astype(np.int64)


def _folded(side: int, reach: int, fill: Fill, num_pixels: int) -> Whole:
    """Return the pixel shown at each place from -reach to side + reach.

    Beyond the border `reflect` makes -1 into 0 and `side` into side - 1; where `constant` shows
    nothing of the picture, the place is `num_pixels`, past the end.
    """
    place = np.arange(-reach, side + reach)
    if fill == "reflect":
        again = np.mod(place, 2 * side)
        return np.where(again < side, again, 2 * side - 1 - again)
    if fill == "wrap":
        return np.mod(place, side)
    if fill == "nearest":
        return np.clip(place, 0, side - 1)
    return np.where((place >= 0) & (place < side), place, num_pixels)


def _gather(flat_pixels: npt.NDArray[np.uint8], flat: Whole, fill: Fill) -> npt.NDArray[Any]:
    """Return ``flat_pixels[flat]``, (pixels, C); what lies past the end is black."""
    if fill == "constant":
        flat_pixels = np.concatenate([flat_pixels, np.zeros_like(flat_pixels[:1])])
        flat = np.minimum(flat, len(flat_pixels) - 1)
    return flat_pixels.take(flat.reshape(-1), axis=0)
