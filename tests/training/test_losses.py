"""Every loss against Keras's own object: value and gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from saccade.models.backend import load_keras
from saccade.training.losses import Loss, Penalty, as_keras_loss

keras = load_keras()
K = keras.losses

CLASSES = torch.tensor([2, 0, 1, 3, 3, 0])
ONE_HOT = torch.eye(4)[CLASSES]
SIDES = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0, 0.0])
NUMBERS = torch.tensor([0.5, -2.0, 1.0, 3.0, 0.0, 0.25])
SURE = torch.tensor([0.0, 1.0, 1e-9, 0.0]).repeat(6, 1)  # clipped by Keras

CASES: dict[str, tuple[Callable[[], Any], torch.Tensor, str, bool]] = {
    "sparse": (lambda: K.SparseCategoricalCrossentropy(), CLASSES, "shares", True),
    "sparse-column": (lambda: K.SparseCategoricalCrossentropy(), CLASSES[:, None], "shares", True),
    "sparse-logits": (
        lambda: K.SparseCategoricalCrossentropy(from_logits=True), CLASSES, "logits", True,
    ),
    "sparse-ignored": (
        lambda: K.SparseCategoricalCrossentropy(ignore_class=3), CLASSES, "shares", False,
    ),
    "sparse-clipped": (lambda: K.SparseCategoricalCrossentropy(), CLASSES, "sure", True),
    "categorical": (lambda: K.CategoricalCrossentropy(), ONE_HOT, "shares", True),
    "categorical-smooth": (
        lambda: K.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
        ONE_HOT, "logits", True,
    ),
    "binary": (lambda: K.BinaryCrossentropy(), SIDES, "side", True),
    "binary-smooth": (
        lambda: K.BinaryCrossentropy(from_logits=True, label_smoothing=0.2), SIDES, "number", True,
    ),
    "binary-many": (lambda: K.BinaryCrossentropy(), ONE_HOT, "shares", True),
    "squared": (lambda: K.MeanSquaredError(), NUMBERS, "number", True),
    "squared-sum": (lambda: K.MeanSquaredError(reduction="sum"), NUMBERS, "number", True),
    "absolute": (lambda: K.MeanAbsoluteError(), NUMBERS[:, None], "number", True),
    "huber": (lambda: K.Huber(delta=0.7), NUMBERS, "number", True),
    "hinge": (lambda: K.Hinge(), SIDES, "number", False),
    "focal": (lambda: K.CategoricalFocalCrossentropy(), ONE_HOT, "shares", False),
}  # fmt: skip


def outputs(kind: str) -> torch.Tensor:
    torch.manual_seed(0)
    logits = torch.randn(6, 4)
    drawn = {
        "logits": logits,
        "shares": torch.softmax(logits, dim=-1),
        "sure": SURE,
        "side": torch.sigmoid(logits[:, :1]),
        "number": logits[:, :1],
    }
    return drawn[kind].clone().requires_grad_()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_loss_and_gradient_are_those_of_keras(name: str, weighted: bool) -> None:
    make, y, kind, native = CASES[name]
    weight = torch.tensor([1.0, 0.0, 2.0, 0.5, 3.0, 1.0]) if weighted else None
    loss = Loss(make(), output_rank=2)
    assert loss.native == native
    results = []
    for call, labels in ((loss, loss.labels(y)), (make(), y)):
        given = outputs(kind)
        value = call(labels, given, None if weight is None else weight.clone())
        (gradient,) = torch.autograd.grad(value, given)
        results.append((value.detach(), gradient))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["squared", "absolute", "huber"])
@pytest.mark.parametrize(("labels", "width"), [((6, 1), 4), ((6, 4), 1), ((6, 4, 1), 4)])
def test_labels_are_stretched_as_keras_stretches_them(name: str, labels, width: int) -> None:
    torch.manual_seed(0)
    y, given = torch.randn(labels), torch.randn(6, width)
    make, weight = CASES[name][0], torch.arange(6.0)
    ours = Loss(make(), output_rank=2)(y, given, weight)
    torch.testing.assert_close(ours, make()(y, given, weight), rtol=1e-6, atol=0)


@pytest.mark.parametrize(("name", "labels"), [("binary-many", (6, 2, 2)), ("categorical", (6, 1))])
def test_labels_of_another_shape_are_refused_as_keras_refuses_them(name: str, labels) -> None:
    with pytest.raises(ValueError, match="must have the same shape"):
        Loss(CASES[name][0](), output_rank=2)(torch.ones(labels), outputs("shares"), None)


def test_loss_of_your_own_gets_labels_as_they_are() -> None:
    class Own(K.Loss):
        def call(self, y: Any, outputs: Any) -> Any:
            assert y.shape == (6,)
            return outputs[:, 0]

    Loss(Own(), output_rank=2)(NUMBERS, outputs("number"), None)


def test_loss_is_found_by_name_and_by_function() -> None:
    assert Loss(as_keras_loss("mse"), output_rank=2).native
    assert Loss(as_keras_loss(K.binary_crossentropy), output_rank=2).native

    def own(y: Any, outputs: Any) -> Any:
        return keras.ops.mean(keras.ops.abs(y - outputs) ** 3, axis=-1)

    loss, given = Loss(as_keras_loss(own), output_rank=2), outputs("number")
    given = given.detach()
    wanted = float((NUMBERS[:, None] - given).abs().pow(3).mean())
    assert float(loss(NUMBERS[:, None], given, None)) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("name", ["squared", "squared-sum", "hinge"])
def test_loss_is_a_mean_only_where_that_is_known(name: str) -> None:
    make, *_ = CASES[name]
    assert Loss(make(), output_rank=2).is_mean is (name == "squared")


def test_weights_are_left_as_they_are() -> None:
    # Keras multiplies them by its mask in place, which would spoil the user's own array.
    make, y, kind, _ = CASES["sparse-ignored"]
    weight = torch.ones(6)
    Loss(make(), output_rank=2)(y, outputs(kind), weight)
    assert torch.equal(weight, torch.ones(6))


@pytest.mark.parametrize("regularizer", ["l1", "l2", "L1L2", "orthogonal_regularizer"])
def test_penalty_is_that_of_keras(regularizer: str) -> None:
    variable = keras.Variable(torch.randn(4, 3))
    variable.regularizer = keras.regularizers.get(regularizer)
    wanted = float(variable.regularizer(variable.value).detach())
    assert float(Penalty(variable)().detach()) == pytest.approx(wanted, rel=1e-6)
