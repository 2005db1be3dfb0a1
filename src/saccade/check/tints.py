"""The colours of a picture, coarsely, and how far those of two pictures are apart.

    tints = np.stack([tint_of(pixels) for …])         # (N, 8, 8, 2) int8
    gaps = tint_gaps(tints, first, second, mirrored)  # (P,) 0 for the same colours

Thumbnails are grey: a red truck and a blue one of the same make are one picture to them. A tint is
the mean blue and red of a patch, each less the luma: halved, to fit in a byte. What makes a picture
lighter, smaller or more compressed leaves its tints alike, but for a common factor.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from saccade.data import Pixels

TINT_PX: Final = 8
LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601
_GREYEST: Final = 4.0  # halved levels; weaker tints are taken for noise of this strength
_GAIN: Final = (0.6, 1.6)  # pictures made lighter or darker have stronger or weaker tints
_BLOCK: Final = 8192  # pairs; their tints take 8 MiB

Tints = npt.NDArray[np.int8]
_Floats = npt.NDArray[np.float32]
_Rows = npt.NDArray[np.intp]


def tint_of(pixels: Pixels) -> Tints:
    """Return the tints of one picture, (8, 8, 2); `pixels` is (H, W, 3)."""
    small = Image.fromarray(pixels).resize((TINT_PX, TINT_PX), Image.Resampling.BILINEAR)
    return tints_from(np.asarray(small, np.float32))


def tints_from(colours: _Floats) -> Tints:
    """Return the tints of red, green and blue patches of 0 to 255, (…, 3)."""
    halved = (colours[..., [2, 0]] - (colours @ LUMA)[..., None]) / 2
    tints: Tints = np.clip(halved.round(), -127, 127).astype(np.int8)
    return tints


def tint_gaps(
    tints: Tints, first: _Rows, second: _Rows, mirrored: npt.NDArray[np.bool_]
) -> _Floats:
    """Return what the tints of each pair do not share, as a part of the stronger ones' strength.

    `tints` is (N, 8, 8, 2), the rest (P,); of `mirrored` pairs the second is turned. Cropped ones
    are not aligned: patches an eighth of a side wide hardly move.
    """
    gaps = np.empty(len(first), np.float32)
    for start in range(0, len(first), _BLOCK):
        some = slice(start, start + _BLOCK)
        one = tints[first[some]].astype(np.float32)
        other = tints[second[some]].astype(np.float32)
        turned = mirrored[some]
        other[turned] = other[turned, :, ::-1]
        gaps[some] = _gap(one, other)
    return gaps


def _gap(one: _Floats, other: _Floats) -> _Floats:
    """Return the root mean square of `one` less the best multiple of `other`, over the strength."""
    each = (1, 2, 3)
    gain = (one * other).sum(axis=each) / np.maximum((other**2).sum(axis=each), 1)
    left = one - np.clip(gain, *_GAIN)[:, None, None, None] * other
    strength = np.sqrt(np.maximum((one**2).mean(axis=each), (other**2).mean(axis=each)))
    gap: _Floats = np.sqrt((left**2).mean(axis=each)) / np.maximum(strength, _GREYEST)
    return gap
