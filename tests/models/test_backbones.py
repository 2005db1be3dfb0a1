"""Backbones by name, without Keras, against Keras's own list; files of weights by their names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")

from saccade.models.backbones import FAMILIES, backbone_of_file, is_backbone, weights_at_hand

# As Keras 3.15 writes them into its cache.
FILES = {
    "mobilenet_2_5_224_tf_no_top.h5": "MobileNet-0.25",
    "mobilenet_1_0_128_tf_no_top.h5": "MobileNet",
    "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.4_224_no_top.h5": "MobileNetV2-1.4",
    "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5": "MobileNetV2",
    "weights_mobilenet_v3_small_224_0.75_float_no_top_v2.h5": "MobileNetV3Small-0.75",
    "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5": "MobileNetV3Large",
    "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5": "InceptionV3",
    "inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5": "InceptionResNetV2",
    "xception_weights_tf_dim_ordering_tf_kernels_notop.h5": "Xception",
    "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5": "ResNet50",
    "resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5": "ResNet50V2",
    "densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5": "DenseNet121",
    "efficientnetv2-b0_notop.h5": "EfficientNetV2B0",
    "efficientnetb0_notop.h5": "EfficientNetB0",
    "convnext_tiny_notop.h5": "ConvNeXtTiny",
    "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5": "VGG16",
    "my_own.h5": None,
}


def test_every_network_of_keras_is_known() -> None:
    import keras

    names = {name for name in dir(keras.applications) if name[0].isupper()}
    assert set(FAMILIES) == names
    assert len(FAMILIES) == len(names)


def test_name_with_a_width() -> None:
    assert is_backbone("MobileNet-0.25")
    assert not is_backbone("t5")
    assert not is_backbone("mobilenet")


@pytest.mark.parametrize("name", FILES)
def test_file_tells_whose_weights_it_holds(name: str) -> None:
    assert backbone_of_file(Path("/any") / name) == FILES[name]


def test_weights_at_hand_are_those_in_the_cache(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert weights_at_hand() == []
    (tmp_path / "models").mkdir()
    for name in (*FILES, "inception_v3_weights_tf_dim_ordering_tf_kernels.h5"):  # with its top
        (tmp_path / "models" / name).touch()
    names = [name for name, _ in weights_at_hand()]
    assert names[0] == "EfficientNetV2B0"
    assert names.count("InceptionV3") == 1
    assert "EfficientNetB0" not in names  # Keras alone can load it
    assert all(path.is_file() for _, path in weights_at_hand())
