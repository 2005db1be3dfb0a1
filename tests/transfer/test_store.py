"""Features of a real cache of pictures: computed once, found again, never half-written."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from saccade.data import Preprocessing, build_cache, build_index, open_source
from saccade.data.cache import Cache
from saccade.errors import SettingsError
from saccade.progress import Silence
from saccade.transfer import Backbone, backbone, features, kept_features

SIZE = 40


@pytest.fixture(scope="module")
def body() -> Backbone:
    keras.utils.set_random_seed(0)
    return backbone("MobileNet-0.25", SIZE, weights=None)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    monkeypatch.setenv("SACCADE_CACHE", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    for name in ("dark", "light"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(20):
            pixels = random.integers(0, 100, (50, 60, 3), dtype=np.uint8) + 150 * (name == "light")
            Image.fromarray(pixels.astype(np.uint8)).save(
                tmp_path / "pictures" / name / f"{number}.png"
            )
    source = open_source(tmp_path / "pictures", progress=Silence())
    index = build_index(source, progress=Silence())
    shape = Preprocessing(height_px=SIZE, width_px=SIZE, channels=3)
    return build_cache(source, index, shape, progress=Silence())[0]


def files_of(cache: Cache) -> list[Path]:
    return sorted(cache.folder.glob("features-*"))


def test_kept_features_are_found_again(body: Backbone, cache: Cache) -> None:
    first = kept_features(body, cache, progress=Silence())
    assert isinstance(first, np.memmap)
    assert first.shape == (40, 256)
    np.testing.assert_array_equal(first, features(body, cache.pixels))
    (path,) = files_of(cache)
    written = path.stat().st_mtime_ns
    np.testing.assert_array_equal(kept_features(body, cache, progress=Silence()), first)
    assert [p.stat().st_mtime_ns for p in files_of(cache)] == [written]


def test_runtime_and_precision_are_shown(body: Backbone, cache: Cache) -> None:
    class Listening(Silence):
        def start(self, name: str, total: float | None):
            stage = super().start(name, total)
            stage.describe = said.append
            return stage

    said: list[str] = []
    kept_features(body, cache, progress=Listening())
    assert said[0] in (
        "MobileNet-0.25, OpenVINO in bf16",
        "MobileNet-0.25, OpenVINO in float32",
        "MobileNet-0.25, ONNX Runtime in float32",
    )


def test_other_weights_are_other_features(body: Backbone, cache: Cache) -> None:
    keras.utils.set_random_seed(1)
    other = backbone("MobileNet-0.25", SIZE, weights=None)
    kept = [kept_features(b, cache, progress=Silence()) for b in (body, other)]
    assert len(files_of(cache)) == 2
    assert np.abs(kept[0] - kept[1]).max() > 0


def test_damaged_features_are_computed_again(body: Backbone, cache: Cache) -> None:
    first = np.array(kept_features(body, cache, progress=Silence()))
    (path,) = files_of(cache)
    path.write_bytes(path.read_bytes()[:-100])
    np.testing.assert_array_equal(kept_features(body, cache, progress=Silence()), first)
    np.save(path, first[:-1])  # a sound file, and not this one
    np.testing.assert_array_equal(kept_features(body, cache, progress=Silence()), first)


def test_stopped_half_way_leaves_nothing(body: Backbone, cache: Cache) -> None:
    class Stop(Silence):
        def start(self, name: str, total: float | None):
            stage = super().start(name, total)
            stage.advance = self.advance
            return stage

        def advance(self, amount: float = 1) -> None:
            assert list(cache.folder.glob(".tmp-*")), "it writes where it shall be seen"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept_features(body, cache, progress=Stop())
    assert not files_of(cache)
    assert not list(cache.folder.glob(".tmp-*"))


def test_pictures_of_another_size(body: Backbone) -> None:
    message = r"takes pictures \(40, 40, 3\) of uint8, got \(32, 32, 3\)"
    with pytest.raises(SettingsError, match=message):
        features(body, np.zeros((2, 32, 32, 3), np.uint8))
    with pytest.raises(SettingsError, match="of float32"):
        features(body, np.zeros((2, 40, 40, 3), np.float32))


def test_no_pictures(body: Backbone) -> None:
    assert features(body, np.zeros((0, SIZE, SIZE, 3), np.uint8)).shape == (0, 256)
