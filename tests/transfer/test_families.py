"""Every family of keras.applications, converted and run by ONNX Runtime, against Keras itself."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
import pytest

from saccade.errors import SettingsError
from saccade.transfer import Backbone, backbone
from saccade.transfer.runtimes import runtimes

# The smallest of each family, at about the smallest size that it takes.
FAMILIES = {
    "ConvNeXtTiny": 32,
    "DenseNet121": 32,
    "EfficientNetB0": 32,
    "EfficientNetV2B0": 32,
    "InceptionResNetV2": 75,  # its first two blocks, of 40 alike
    "InceptionV3": 75,
    "MobileNet-0.25": 33,
    "MobileNetV2-0.35": 33,
    "MobileNetV3Small-0.75": 33,
    "ResNet50": 32,
    "ResNet50V2": 32,
    "VGG16": 32,
    "Xception": 71,
}
# float32 in another order of summation through up to 800 layers; a lost offset, another epsilon or
# swapped channels move features by a hundredth and more.
TOLERANCE = 1e-4


def enliven(body: Backbone) -> None:
    """Give each layer numbers of its own, so that a lost or swapped one shows.

    Normalisations take their statistics from pictures, so that what tells those apart goes through.
    """
    random = np.random.default_rng(0)
    body.model.trainable = True
    for layer in body.model._flatten_layers():
        kind = type(layer).__name__
        if kind in ("BatchNormalization", "LayerNormalization", "LayerScale"):
            layer.set_weights([random.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
        if kind == "BatchNormalization":
            layer.momentum = 0.0
    body.model(pictures(body).astype(np.float32), training=True)
    body.model.trainable = False
    for layer in body.model._flatten_layers():
        if type(layer).__name__ == "BatchNormalization":
            # A channel in which four pictures hardly vary would blow up the rounding.
            variance = keras.ops.convert_to_numpy(layer.moving_variance)
            layer.moving_variance.assign(np.maximum(variance, np.median(variance)))


def pictures(body: Backbone) -> np.ndarray:
    """Return four pictures, each with a colour of its own under noise."""
    random = np.random.default_rng(1)
    colours = random.integers(0, 256, (4, 1, 1, 3))
    pixels = colours + random.normal(0, 40, (4, *body.input_shape))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def worst_difference(body: Backbone) -> float:
    """Return the largest difference from Keras, in parts of the largest feature."""
    pixels = pictures(body)
    by_name = {runtime.name: runtime for runtime in runtimes(body)}
    (given,) = by_name["ONNX Runtime"].run(pixels)
    wanted = keras.ops.convert_to_numpy(body.model(pixels.astype(np.float32), training=False))
    assert given.shape == wanted.shape == (4, *body.output_shape)
    assert np.ptp(wanted, axis=0).max() > 1e-3 * np.abs(wanted).max(), "all pictures look the same"
    return float(np.abs(given - wanted).max() / np.abs(wanted).max())


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Backbone:
    keras.utils.set_random_seed(0)
    cut = "block35_2_ac" if request.param == "InceptionResNetV2" else None
    return backbone(request.param, FAMILIES[request.param], weights=None, cut=cut)


def test_pixels_are_scaled_as_the_family_wants(family: Backbone) -> None:
    """By the family's own `preprocess_input`, on the pixels that reach Keras's network."""
    function = getattr(keras.applications, family.name.partition("-")[0])
    module = getattr(keras.applications, function.__module__.rpartition(".")[2])
    pixels = pictures(family).astype(np.float32)
    wanted = module.preprocess_input(pixels.copy())
    scaled = pixels
    for layer in family.model.layers[1:]:
        if isinstance(layer, keras.Model):
            break
        scaled = keras.ops.convert_to_numpy(layer(scaled))
    # float32 of numbers to 255; another mean, deviation or order of channels is off by 1e-3 or more
    np.testing.assert_allclose(scaled, wanted, rtol=1e-5, atol=3e-5)


def test_family_equals_keras(family: Backbone) -> None:
    enliven(family)
    difference = worst_difference(family)
    print(family.name, f"{difference:.1e}")
    assert difference < TOLERANCE


@pytest.mark.parametrize("pool", [True, False])
def test_cut_equals_keras(pool: bool) -> None:
    keras.utils.set_random_seed(0)
    body = backbone("InceptionV3", 75, weights=None, cut="mixed1", pool=pool)
    enliven(body)
    assert body.output_shape == ((288,) if pool else (7, 7, 288))
    assert worst_difference(body) < TOLERANCE


def test_every_family_is_tested() -> None:
    """A family is a module of keras.applications; NASNet is the one that Keras refuses on torch."""
    functions = {
        n: getattr(keras.applications, n) for n in dir(keras.applications) if n[0].isupper()
    }
    modules = {function.__module__ for function in functions.values()}
    tested = {functions[name.partition("-")[0]].__module__ for name in FAMILIES}
    untested = {module.rpartition(".")[2] for module in modules - tested}
    assert untested == {"nasnet", "vgg19"}


def test_nasnet_is_refused_with_its_reason() -> None:
    if keras.backend.backend() != "torch":
        pytest.skip("Keras refuses NASNet on PyTorch only")
    with pytest.raises(
        SettingsError, match="NASNetMobile cannot be built at 224 px.*torch backend"
    ):
        backbone("NASNetMobile", 224, weights=None)
