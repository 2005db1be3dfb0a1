from __future__ import annotations

import numpy as np
import pytest

from saccade.report import Changes, Picture


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((4, 4), np.float32), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4), np.uint8)],
)
def test_picture_refuses_other_arrays(pixels) -> None:
    with pytest.raises(ValueError, match=r"uint8 of shape .* got .* for 'a\.png'"):
        Picture(pixels=pixels, path="a.png", label="a", predicted="a", probability=1.0)


@pytest.mark.parametrize("shape", [(4, 6, 8, 8), (4, 6, 8, 8, 4)])
def test_changes_refuse_other_arrays(shape) -> None:
    with pytest.raises(ValueError, match=r"examples are uint8 of shape .* got uint8 \(4, 6, 8, 8"):
        Changes(examples=np.zeros(shape, np.uint8))


def test_picture_right_by_name() -> None:
    pixels = np.zeros((2, 2), np.uint8)
    given = {"pixels": pixels, "path": "a.png", "label": "a", "probability": 0.5}
    assert Picture(**given, predicted="a").right
    assert not Picture(**given, predicted="b").right
