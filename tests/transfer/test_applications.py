"""Building a backbone: its own scaling of pixels, weights from a real file, and every refusal."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import keras
import numpy as np
import pytest

from saccade.errors import SettingsError
from saccade.transfer import backbone

REAL = "weights/mobilenet_2_5_224_tf_no_top.h5"


def in_keras(model: keras.Model, values: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(values.astype(np.float32), training=False))


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("MobileNet-0.25", keras.applications.mobilenet),  # -1 to 1
        ("ResNet50", keras.applications.resnet),  # BGR, less a mean
        ("DenseNet121", keras.applications.densenet),  # a mean and a deviation by channel
        ("MobileNetV3Small", keras.applications.mobilenet_v3),  # inside the network
    ],
)
def test_pixels_are_scaled_as_the_family_wants(name: str, family) -> None:
    body = backbone(name, 32, weights=None, pool=False)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    network = next(layer for layer in body.model.layers if isinstance(layer, keras.Model))
    wanted = in_keras(network, family.preprocess_input(pixels.copy()))
    np.testing.assert_allclose(in_keras(body.model, pixels), wanted, rtol=1e-4, atol=1e-5)


def test_real_weights_are_those_of_keras(datasets: Path) -> None:
    body = backbone("MobileNet-0.25", 96, weights=datasets / REAL)
    network = keras.applications.MobileNet(
        alpha=0.25, include_top=False, weights=None, input_shape=(96, 96, 3), pooling="avg"
    )
    network.load_weights(datasets / REAL)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3)).astype(np.float32)
    np.testing.assert_allclose(
        in_keras(body.model, pixels), in_keras(network, pixels / 127.5 - 1), rtol=1e-4, atol=1e-5
    )
    assert body.output_shape == (256,)
    assert not body.model.trainable_weights


def test_digest_is_of_weights_and_structure(datasets: Path) -> None:
    def digest(**arguments) -> str:
        settings = {"weights": datasets / REAL} | arguments
        return backbone("MobileNet-0.25", settings.pop("size_px", 96), **settings).digest

    # Keras numbers layers by what was built before; a digest does not depend on that.
    assert digest() == digest()
    others = [digest(size_px=64), digest(cut="conv_pw_3_relu"), digest(pool=False)]
    assert len({digest(), digest(weights=None), *others}) == 5


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("InceptionV4", {}, r"no backbone is called 'InceptionV4'; there is InceptionV3"),
        ("ResNet50-0.5", {}, r"a width follows a MobileNet"),
        ("MobileNet-wide", {}, r"no backbone is called 'MobileNet-wide'"),
        ("InceptionV3", {"size_px": 32}, r"InceptionV3 cannot be built at 32 px.*at least 75"),
        ("MobileNet-0.25", {"cut": "conv_pw_3_rel"}, r"no layer 'conv_pw_3_rel'.*conv_pw_3_relu"),
        ("MobileNet-0.25", {"weights": "gone.h5"}, r"no weights file gone\.h5"),
        ("EfficientNetB0", {"weights": "b0.h5"}, r"takes no file.*EfficientNetV2B0"),
    ],
)
def test_what_does_not_fit_is_named(name: str, arguments: dict, message: str) -> None:
    settings = {"size_px": 96, "weights": None} | arguments
    with pytest.raises(SettingsError, match=message):
        backbone(name, settings.pop("size_px"), **settings)


def test_weights_of_another_network(datasets: Path, tmp_path: Path) -> None:
    message = "does not hold the weights of {} without its head"
    with pytest.raises(SettingsError, match=message.format("MobileNetV2")):
        backbone("MobileNetV2", 96, weights=datasets / REAL)
    with pytest.raises(SettingsError, match=message.format("MobileNet-0.5")):
        backbone("MobileNet-0.5", 96, weights=datasets / REAL)
    (tmp_path / "broken.h5").write_bytes(b"no HDF5")
    with pytest.raises(SettingsError, match=message.format("MobileNet")):
        backbone("MobileNet", 96, weights=tmp_path / "broken.h5")


@pytest.fixture
def keras_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of Keras's own, empty; Keras read the environment when it was imported."""
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))
    (tmp_path / "models").mkdir()
    return tmp_path


@pytest.fixture
def asked_for(datasets: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A server on this machine in place of Keras's, and the paths that it is asked for."""
    paths: list[str] = []

    class Noting(SimpleHTTPRequestHandler):
        def log_request(self, code: object = "-", size: object = "-") -> None:
            paths.append(f"{self.command} {self.path} {int(code)}")

        def log_message(self, *_: object) -> None:
            pass

    serving = partial(Noting, directory=datasets / "weights")
    with ThreadingHTTPServer(("127.0.0.1", 0), serving) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        address = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr("keras.src.applications.mobilenet.BASE_WEIGHT_PATH", address)
        yield paths
        server.shutdown()


def features_of(weights: Path | str) -> np.ndarray:
    """Return what a MobileNet-0.25 says of three pictures, (3, 256)."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3))
    return in_keras(backbone("MobileNet-0.25", 96, weights=weights).model, pixels)


def test_weights_are_downloaded_once(datasets: Path, keras_home: Path, asked_for: list) -> None:
    downloaded = features_of("imagenet")
    assert asked_for == [f"GET /{Path(REAL).name} 200"]
    kept = keras_home / "models" / Path(REAL).name
    assert kept.read_bytes() == (datasets / REAL).read_bytes()
    np.testing.assert_array_equal(features_of("imagenet"), downloaded)
    assert len(asked_for) == 1
    np.testing.assert_array_equal(features_of(datasets / REAL), downloaded)


def test_weights_that_lie_in_keras_cache_are_found(
    datasets: Path, keras_home: Path, asked_for: list
) -> None:
    shutil.copy(datasets / REAL, keras_home / "models")
    np.testing.assert_array_equal(features_of("imagenet"), features_of(datasets / REAL))
    assert asked_for == []


def test_weights_that_the_server_lacks(keras_home: Path, asked_for: list) -> None:
    with pytest.raises(SettingsError, match=r"MobileNet-0\.5 cannot be downloaded.*404.*--weights"):
        backbone("MobileNet-0.5", 96)
    assert asked_for == ["GET /mobilenet_5_0_224_tf_no_top.h5 404"]


def test_no_way_to_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(SettingsError, match="cannot be downloaded.*give a file of them"):
        backbone("VGG19", 64)
