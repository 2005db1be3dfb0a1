"""Whether two pictures show the same: slowly, in colour, by SciPy, and by nothing of `check`'s.

One picture is scaled and shifted over the other, mirrored or not, at up to 96 px a side, until the
mean squared difference of all three colours is least (Powell's method from five starts; gain and
offset are fitted in closed form, over the pixels that both show). `difference` is the share of the
other picture's variance that then remains: 0 for copies, near 1 for pictures of different things.
"""

from __future__ import annotations

import io
from typing import Any, Final

import numpy as np
from PIL import Image
from scipy.ndimage import map_coordinates
from scipy.optimize import minimize

_SIDE_PX: Final = 96
_COARSE_PX: Final = 24  # where the search begins
_STARTS: Final = tuple((x, y) for x, y in ((0, 0), (-0.08, 0), (0.08, 0), (0, -0.08), (0, 0.08)))
_LEAST_SHOWN: Final = 0.6  # of the pixels must overlap


def difference(one: bytes, other: bytes) -> float:
    """Return the share of variance, 0 to 1, that the best alignment of two files leaves."""
    return min(_aligned(one, other, mirrored=mirrored) for mirrored in (False, True))


def _aligned(one: bytes, other: bytes, *, mirrored: bool) -> float:
    small = _pixels(one, other, _COARSE_PX)
    if mirrored:
        small[1] = small[1][:, ::-1]
    tried = [_least(small, (1.0, x, 1.0, y), steps=60) for x, y in _STARTS]
    _, place = min(tried, key=lambda pair: pair[0])
    large = _pixels(one, other, _SIDE_PX)
    if mirrored:
        large[1] = large[1][:, ::-1]
    return _least(large, place, steps=60)[0]


def _pixels(one: bytes, other: bytes, most_px: int) -> list[Any]:
    """Return both, made square, at the longer side of the smaller."""
    images = [Image.open(io.BytesIO(file)).convert("RGB") for file in (one, other)]
    side = min(most_px, *(max(image.size) for image in images))
    size = side, side
    return [np.asarray(i.resize(size, Image.Resampling.BOX), np.float64) for i in images]


def _least(pair: list[Any], place: Any, *, steps: int) -> tuple[float, Any]:
    found = minimize(
        lambda at: _left(pair[0], pair[1], at),
        np.asarray(place),
        method="Powell",
        options={"maxfev": steps, "xtol": 1e-3, "ftol": 1e-4},
    )
    return float(found.fun), found.x


def _left(still: Any, moving: Any, place: Any) -> float:
    """Return the share of variance left at a place: scale and shift across, then down."""
    side = len(still)
    at = (np.arange(side) + 0.5) * 2 / side - 1
    across, down = place[0] * at + place[1], place[2] * at + place[3]
    if (np.abs(across) <= 1).mean() * (np.abs(down) <= 1).mean() < _LEAST_SHOWN:
        return 1.0
    columns, rows = ((axis + 1) * side / 2 - 0.5 for axis in (across, down))
    grid = np.meshgrid(rows, columns, indexing="ij")
    inside = np.outer(np.abs(down) <= 1, np.abs(across) <= 1)
    shown = np.stack(
        [map_coordinates(moving[..., c], grid, order=1, mode="nearest")[inside] for c in range(3)]
    ).ravel()
    wanted = np.stack([still[..., c][inside] for c in range(3)]).ravel()
    shown, wanted = shown - shown.mean(), wanted - wanted.mean()
    gain = max(0.0, float(shown @ wanted) / max(float(shown @ shown), 1e-9))
    return float(((wanted - gain * shown) ** 2).sum() / max(float((wanted**2).sum()), 1e-9))
