from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from saccade.bundle import Runtime, read_bundle


@pytest.fixture
def runtime(bundle_path: Path) -> Runtime:
    return Runtime(read_bundle(bundle_path).onnx, input_shape=(6, 5, 3), num_classes=2)


def test_many_pictures_go_in_batches(runtime: Runtime, pictures: np.ndarray) -> None:
    many = np.tile(pictures, (20, 1, 1, 1))  # 800: more than three calls
    assert len(many) > 3 * runtime.batch_size
    given = runtime.probabilities(many)
    one_by_one = [runtime.probabilities(picture[None])[0] for picture in pictures]
    # ONNX Runtime may sum in another order for another number of pictures
    np.testing.assert_allclose(given, np.tile(one_by_one, (20, 1)), atol=1e-6)
    assert given.dtype == np.float32


def test_same_pictures_same_figures(runtime: Runtime, pictures: np.ndarray) -> None:
    np.testing.assert_array_equal(
        runtime.probabilities(pictures), runtime.probabilities(pictures.copy())
    )


def test_no_picture(runtime: Runtime) -> None:
    assert runtime.probabilities(np.empty((0, 6, 5, 3), dtype=np.uint8)).shape == (0, 2)


def test_pixels_in_another_memory_order(runtime: Runtime, pictures: np.ndarray) -> None:
    np.testing.assert_array_equal(
        runtime.probabilities(np.asfortranarray(pictures)), runtime.probabilities(pictures)
    )


def test_several_threads_share_one(runtime: Runtime, pictures: np.ndarray) -> None:
    wanted = runtime.probabilities(pictures)
    with ThreadPoolExecutor(4) as workers:
        for given in workers.map(runtime.probabilities, [pictures] * 20):
            np.testing.assert_array_equal(given, wanted)
