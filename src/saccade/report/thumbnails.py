"""Pictures as data URIs, so that the report is one file.

Up to 64 px a side a picture is kept pixel for pixel as PNG, and the page enlarges it without
smoothing. A larger one is reduced to 192 px, twice the size it is shown at, and kept as JPEG:
about 8 kB where PNG would take 60, with differences that cannot be seen at that size.
"""

from __future__ import annotations

import base64
import io
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

TINY_PX: Final = 64
LARGEST_PX: Final = 192


def is_tiny(pixels: npt.NDArray[np.uint8]) -> bool:
    """Return whether the picture is shown pixel for pixel."""
    return bool(max(pixels.shape[:2]) <= TINY_PX)


def data_uri(pixels: npt.NDArray[np.uint8]) -> str:
    """Return uint8 (H, W), (H, W, 1) or (H, W, 3) as a ``data:image/…`` URI."""
    flat = pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    image = Image.fromarray(np.ascontiguousarray(flat))
    written = io.BytesIO()
    if is_tiny(pixels):
        image.save(written, format="PNG", optimize=True)
        kind = "png"
    else:
        image.thumbnail((LARGEST_PX, LARGEST_PX), Image.Resampling.LANCZOS)
        image.save(written, format="JPEG", quality=88)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(written.getvalue()).decode('ascii')}"
