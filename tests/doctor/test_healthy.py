"""No finding on networks that are right: the tutorials', our own, and keras.applications'."""

from __future__ import annotations

import os
import time

import pytest

from saccade.doctor import Case, DataFacts, examine
from saccade.models import NETWORKS, CompactDesign, build_compact, build_network, load_keras

keras = load_keras()
PIXELS = DataFacts(low=0.0, high=255.0, num_rows=1000, are_pictures=True, num_classes=5)

# The pictures' side, and whether the network scales or normalises its pixels itself.
APPLICATIONS = {
    "ConvNeXtTiny": (32, True),
    "DenseNet121": (32, True),
    "EfficientNetB0": (32, True),
    "EfficientNetV2B0": (32, True),
    "InceptionV3": (75, True),
    "MobileNet": (32, True),
    "MobileNetV2": (32, True),
    "MobileNetV3Small": (32, True),
    "ResNet50": (32, True),
    "ResNet50V2": (32, True),
    "VGG16": (32, False),
    "Xception": (71, True),
}
QUICK = {"MobileNet", "MobileNetV3Small", "ResNet50", "VGG16"}  # SACCADE_ZOO=all builds them all
EVERY = sorted(APPLICATIONS if os.environ.get("SACCADE_ZOO") == "all" else QUICK)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "t6-xception"])
@pytest.mark.parametrize("side", [64, 300])  # at 300 px, T7 flattens to 78,400 numbers
def test_tutorial_network_is_healthy(name, side):
    shape, classes = (
        ((1,), 1) if name == "t1" else ((side, side, 3), 2 if name in ("t7", "t8") else 5)
    )
    if name[:2] in ("t3", "t4", "t5", "t6") and side == 300:
        shape = (32, 32, 3)  # what these are for
    model = build_network(name, input_shape=shape, num_classes=classes)
    assert examine(Case.of(model)) == ()
    if name not in ("t1", "t7", "t8"):
        assert examine(Case.of(model, data=PIXELS)) == ()


def test_own_family_is_healthy():
    for design in (
        CompactDesign(stem_stride=1, widths=(8, 16), depth=1),
        CompactDesign(stem_stride=2, widths=(8, 16), depth=0, head="whole"),
    ):
        model = build_compact(design, input_shape=(29, 31, 3), num_classes=5)
        assert examine(Case.of(model, data=PIXELS)) == ()


@pytest.mark.parametrize("name", EVERY)
def test_application_is_healthy(name):
    side, scales = APPLICATIONS[name]
    make = getattr(keras.applications, name)
    model = make(weights=None, classes=5, input_shape=(side, side, 3))
    model.compile("adam", "categorical_crossentropy")
    assert examine(Case.of(model)) == ()
    found = [finding.name for finding in examine(Case.of(model, data=PIXELS))]
    # VGG16 has nothing of that kind: its pixels go through `preprocess_input` before.
    assert found == ([] if scales else ["pixels-not-scaled"])


def test_centred_pixels_are_scaled():
    model = keras.applications.VGG16(weights=None, classes=5, input_shape=(32, 32, 3))
    centred = DataFacts(low=-123.7, high=151.1, num_rows=9, are_pictures=True)
    assert examine(Case.of(model, data=centred)) == ()


def test_backbone_with_a_head_is_healthy():
    """The tutorials' transfer learning: a network inside a network, and frozen."""
    body = keras.applications.MobileNet(
        weights=None, include_top=False, alpha=0.25, input_shape=(32, 32, 3)
    )
    body.trainable = False
    layers = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(5, activation="softmax")]
    model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Rescaling(1 / 127.5, -1)])
    for layer in (body, *layers):
        model.add(layer)
    model.compile("adam", "sparse_categorical_crossentropy")
    case = Case.of(model, data=PIXELS)
    assert case.network is not None
    assert len(case.network.steps) > 80  # those inside are seen
    assert examine(case) == ()


def test_what_is_linear_on_purpose_is_left_alone():
    layers = keras.layers
    inputs = keras.Input((16, 16, 3))
    maps = layers.Conv2D(16, 3, activation="relu", padding="same")(inputs)
    separable = layers.Conv2D(16, 1)(layers.DepthwiseConv2D(3, padding="same")(maps))
    factorised = layers.Conv2D(16, (1, 7))(layers.Conv2D(16, (7, 1))(layers.ReLU()(separable)))
    bottleneck = layers.Conv2D(16, 1)(layers.Conv2D(4, 1)(layers.ReLU()(factorised)))
    skipped = layers.Add()([bottleneck, layers.Conv2D(16, 1)(bottleneck)])
    pooled = layers.GlobalAveragePooling2D()(layers.ReLU()(skipped))
    model = keras.Model(inputs, layers.Dense(3)(pooled))
    assert examine(Case.of(model)) == ()


def test_segmentation_may_end_in_a_map():
    layers = [keras.layers.Conv2D(8, 3, padding="same", activation="relu"), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((16, 16, 3)), *layers])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert examine(Case.of(model)) == ()


def test_model_that_shows_no_graph_is_let_be():
    class Own(keras.Model):
        def call(self, x):
            return x

    assert examine(Case.of(Own())) == ()
    assert examine(Case.of(keras.Sequential([keras.layers.Dense(1)]))) == ()  # not built


def test_look_is_quick():
    model = build_network("t6-batchnorm", input_shape=(32, 32, 3), num_classes=10)
    started = time.process_time()
    for _ in range(10):
        examine(Case.of(model, data=PIXELS))
    assert time.process_time() - started < 0.2  # 20 ms a look; 1 to 2 were measured
