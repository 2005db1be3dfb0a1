"""Whole networks against Keras: the tutorials', our own, and every family of keras.applications.

Each runs without a single call of Keras's own, answers and learns as Keras does, and is one graph
for the compiler. NASNetMobile is missing because Keras itself refuses it on PyTorch; its sibling
stands for it. The suite leaves out what takes minutes; `make test-zoo` runs every network, and
traces every gradient.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch

from saccade.models.backend import load_keras
from saccade.models.compact import CompactDesign, build_compact
from saccade.models.networks import NETWORKS, build_network
from saccade.training.graph import Graph, graph_of
from saccade.training.precision import BF16
from saccade.training.step import TrainingStep

keras = load_keras()
K = keras.applications
CLASSES = 5


def application(make: Callable[..., Any], side: int = 64, **options: Any) -> Callable[[], Any]:
    given = {"weights": None, "classes": CLASSES, "input_shape": (side, side, 3)}
    return lambda: make(**given, **options)


def compact(**design: Any) -> Callable[[], Any]:
    given = CompactDesign(widths=(8, 16), **design)
    return lambda: build_compact(given, input_shape=(29, 31, 3), num_classes=CLASSES)


def tutorial(name: str) -> Callable[[], Any]:
    side = 75 if name == "t10" else 61
    return lambda: build_network(
        name, input_shape=(side, side, 3), num_classes=2 if name in ("t7", "t8") else CLASSES
    )


SMALL_NASNET = {
    "penultimate_filters": 96,
    "num_blocks": 1,
    "stem_block_filters": 8,
    "skip_reduction": False,
    "default_size": 64,
}

# The smallest of each family, or as small a one as its own function builds.
ZOO: dict[str, Callable[[], Any]] = {
    "compact": compact(stem_stride=1, depth=1),
    "compact-stem": compact(stem_stride=2, depth=0, head="whole"),
    **{name: tutorial(name) for name in NETWORKS if name != "t1"},
    "convnext": application(
        keras.src.applications.convnext.ConvNeXt,
        depths=[1, 1, 2, 1],
        projection_dims=[8, 16, 24, 32],
        drop_path_rate=0.1,
    ),
    "densenet": application(keras.src.applications.densenet.DenseNet, blocks=[2, 2, 2, 2]),
    "efficientnet": application(K.EfficientNetB0),
    "efficientnet-v2": application(K.EfficientNetV2B0),
    "inception": application(K.InceptionV3, side=75),
    "inception-resnet": application(K.InceptionResNetV2, side=75),
    "mobilenet": application(K.MobileNet, alpha=0.25),
    "mobilenet-v2": application(K.MobileNetV2, alpha=0.35),
    "mobilenet-v3": application(K.MobileNetV3Small),
    "nasnet": application(keras.src.applications.nasnet.NASNet, **SMALL_NASNET),
    "resnet": application(K.ResNet50),
    "resnet-v2": application(K.ResNet50V2),
    "vgg": application(K.VGG16, side=32),
    "xception": application(K.Xception, side=71),
}


# Minutes each, in which the others say nearly as much; SACCADE_ZOO=all runs them too.
LARGE = {
    "efficientnet",
    "efficientnet-v2",
    "inception",
    "inception-resnet",
    "nasnet",
    "t6-xception",
    "xception",
}
WHOLE = os.environ.get("SACCADE_ZOO") == "all"
EVERY = sorted(ZOO if WHOLE else set(ZOO) - LARGE)
# Traced for the compiler; of two that are built alike one, which traces seconds sooner.
TRACED = EVERY if WHOLE else sorted(set(EVERY) - {"mobilenet-v3", "resnet-v2"})
# Whose gradient is traced too, which takes as long again.
TRACED_BACK = set(ZOO) if WHOLE else {"compact-stem", "t3", "t6-batchnorm", "t6-dropout"}


def network(name: str) -> Any:
    """Return a network that drops nothing: Keras draws other random numbers than PyTorch."""
    keras.utils.set_random_seed(4)
    model = ZOO[name]()
    for layer in model._flatten_layers():
        for rate in ("rate", "drop_path_rate"):
            if hasattr(layer, rate):
                setattr(layer, rate, 0.0)
    return model


def batch(model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    shape = model.inputs[0].shape[1:]
    return 255 * torch.rand(6, *shape), torch.tensor([0, 1, 1, 0, 1, 0])


def loss_of(model: Any) -> Any:
    """Return a loss for outputs that are logits or shares, of classes or of one side."""
    logits = getattr(model.layers[-1], "activation", None) in (None, keras.activations.linear)
    if model.outputs[0].shape[-1] == 1:
        return keras.losses.BinaryCrossentropy(from_logits=logits)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=logits)


def gradients(model: Any, loss: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, [v.value for v in model.trainable_variables]))


def norm(tensors: list[torch.Tensor]) -> float:
    return float(torch.cat([tensor.flatten() for tensor in tensors]).norm())


@pytest.mark.parametrize("name", EVERY)
def test_network_answers_and_learns_as_in_keras(name: str) -> None:
    model = network(name)
    x, y = batch(model)
    graph, loss = Graph(graph_of(model)), loss_of(model)
    assert graph.num_foreign == 0
    with torch.no_grad():
        # A hundred layers of float32 sums in another order: 1e-4 of an output of about 1.
        torch.testing.assert_close(graph.eval()(x), model(x, training=False), rtol=1e-4, atol=1e-4)
    # By the statistics of the past: those of six pictures amplify the last digit to some percent.
    # The gradient through them is each layer's own, and compared in test_twins.py.
    ours = gradients(model, loss(y, graph(x)))
    keras_s = gradients(model, loss(y, model(x, training=False)))
    whole = norm(keras_s)
    for variable, a, b in zip(model.trainable_variables, ours, keras_s, strict=True):
        assert norm([a - b]) <= 1e-3 * (norm([b]) + 0.01 * whole), variable.path


@pytest.mark.parametrize("name", EVERY)
def test_network_moves_its_statistics_as_in_keras(name: str) -> None:
    model = network(name)
    x, _ = batch(model)
    states = [v.value.detach().clone() for v in model.variables]
    with torch.no_grad():
        Graph(graph_of(model)).train()(x)
        moved = [v.value.detach().clone() for v in model.variables]
        for variable, state in zip(model.variables, states, strict=True):
            variable.value.copy_(state)
        model(x, training=True)
    for variable, ours in zip(model.variables, moved, strict=True):
        torch.testing.assert_close(ours, variable.value.detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", TRACED)
def test_network_is_one_graph_for_the_compiler(name: str) -> None:
    # `fullgraph` raises at the first break. What follows the tracing takes minutes and is
    # PyTorch's own affair, so it is left out; the step's test goes all the way.
    backward = name in TRACED_BACK
    model = ZOO[name]()
    x, y = batch(model)
    step = TrainingStep(model, loss=loss_of(model), optimizer="sgd", precision=BF16)

    def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        with BF16.autocast("cpu"):
            outputs = step.graph(x)
        return step.loss(step.loss.labels(y), outputs, None)

    step.graph.train()
    torch.compiler.reset()
    backend = "aot_eager" if backward else "eager"
    traced = torch.compile(loss, backend=backend, fullgraph=True, dynamic=False)
    with warnings.catch_warnings():  # PyTorch's tracer does what PyTorch warns of
        warnings.simplefilter("ignore")
        found = [traced(x, y)]
        if backward:
            found += gradients(model, found[0])
    assert all(bool(tensor.isfinite().all()) for tensor in found)
