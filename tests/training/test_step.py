from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

from saccade.models.backend import load_keras
from saccade.training.compiler import ASKING
from saccade.training.device import on_device
from saccade.training.graph import Unsupported
from saccade.training.precision import BF16, FLOAT32
from saccade.training.step import TrainingStep

keras = load_keras()
L = keras.layers


def network(**compile_options: Any) -> Any:
    keras.utils.set_random_seed(2)
    model = keras.Sequential(
        [
            keras.Input((9, 9, 3)),
            L.Rescaling(1 / 255),
            L.Conv2D(8, 3, padding="same", activation="relu"),
            L.MaxPooling2D(),
            L.Conv2D(8, 3, use_bias=False, kernel_regularizer="l2"),
            L.BatchNormalization(),
            L.Activation("relu"),
            L.Dropout(0.25),
            L.Flatten(),
            L.Dense(4, activation="softmax"),
        ]
    )
    options = {"optimizer": "adam", "loss": "sparse_categorical_crossentropy"}
    model.compile(**(options | compile_options))
    return model


def pooling_network() -> Any:
    """As little to compile as rounds its products and has a gradient of ours."""
    keras.utils.set_random_seed(2)
    layers = [L.Conv2D(4, 3), L.MaxPooling2D(), L.Flatten(), L.Dropout(0.25), L.Dense(4)]
    model = keras.Sequential([keras.Input((9, 9, 3)), *layers])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def batch(count: int = 16) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    y = rng.integers(0, 4, count)
    return rng.integers(0, 255, (count, 9, 9, 3)).astype(np.uint8), y


def compile_into(folder: Path, monkeypatch: Any) -> None:
    """Keep what is compiled in a folder of one's own.

    What an earlier test still asks of PyTorch beside would set the variable anew: wait for it.
    """
    for thread in threading.enumerate():
        if thread.name.startswith(ASKING):
            thread.join()
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setenv("SACCADE_CACHE", str(folder))


def plain_and_compiled(folder: Path, monkeypatch: Any) -> tuple[TrainingStep, TrainingStep]:
    """Equal steps that draw nothing, one of them compiled into a folder of its own."""
    compile_into(folder, monkeypatch)
    plain, quick = (network(optimizer=keras.optimizers.SGD(0.1, momentum=0.9)) for _ in range(2))
    for model in (plain, quick):
        model.layers[6].rate = 0.0  # PyTorch and its compiler draw different random numbers
    one = TrainingStep(plain, precision=FLOAT32)
    return one, TrainingStep(quick, precision=FLOAT32, compile=True)


def values(model: Any) -> list[np.ndarray]:
    return [v.value.detach().cpu().numpy().copy() for v in model.variables if v.dtype == "float32"]


def test_step_learns_and_writes_its_count_back() -> None:
    step = TrainingStep(network(), precision=FLOAT32)
    losses = [float(step.train(*batch())) for _ in range(30)]
    assert losses[-1] < 0.6 * losses[0]
    step.write_back()
    assert int(step.model.optimizer.iterations.value) == 30


def test_step_is_not_compiled_for_a_layer_that_changes() -> None:
    step = TrainingStep(network(), precision=FLOAT32, compile=True)
    assert step.compiled
    step.model.layers[1].trainable = False
    step.train(*batch())
    assert not step.compiled
    assert step.notes[-1] == "not compiled: a layer was changed while the model trained"


def test_prediction_is_that_of_the_keras_model() -> None:
    model, (x, y) = network(), batch()
    step = TrainingStep(model, precision=FLOAT32)
    step.train(x, y)
    outputs = step.infer(on_device(x, step.device)).cpu().numpy()
    np.testing.assert_allclose(outputs, model.predict(x, verbose=0), atol=1e-6)
    assert outputs.dtype == np.float32


def test_state_goes_on_exactly_in_another_model() -> None:
    x, y = batch()
    first = TrainingStep(network(), precision=FLOAT32)
    for _ in range(3):
        first.train(x, y)
    state = first.state()
    second = TrainingStep(network(), precision=FLOAT32)
    second.load_state(state)
    torch.set_rng_state(torch.from_numpy(state["random"]))
    losses = [float(first.train(x, y)) for _ in range(3)]
    second.load_state(state)  # the random state, for the same dropout
    assert [float(second.train(x, y)) for _ in range(3)] == losses
    for a, b in zip(values(first.model), values(second.model), strict=True):
        np.testing.assert_array_equal(a, b)


def test_loss_optimizer_and_rate_can_be_given() -> None:
    model, (x, y) = network(), batch()
    given = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    step = TrainingStep(model, loss=given, optimizer=keras.optimizers.SGD(0.1), precision=FLOAT32)
    before = values(model)[0]
    step.train(x, np.eye(4, dtype=np.float32)[y], learning_rate=0.0)
    np.testing.assert_array_equal(values(model)[0], before)
    step.train(x, np.eye(4, dtype=np.float32)[y])
    assert not np.array_equal(values(model)[0], before)


def test_frozen_layers_stay_as_they_are() -> None:
    model = network()
    model.layers[1].trainable = False
    frozen = [v.value.detach().cpu().numpy().copy() for v in model.layers[1].variables]
    step = TrainingStep(model, precision=FLOAT32)
    step.train(*batch())
    for old, variable in zip(frozen, model.layers[1].variables, strict=True):
        np.testing.assert_array_equal(old, variable.value.detach().cpu().numpy())


def test_rounded_products_leave_weights_in_float32_and_the_loss_close() -> None:
    exact = TrainingStep(network(), precision=FLOAT32)
    rounded = TrainingStep(network(), precision=BF16)
    x, y = batch()
    a, b = float(exact.train(x, y)), float(rounded.train(x, y))
    assert a != b
    assert a == pytest.approx(b, rel=0.05)  # bf16 has 8 bits: 0.4 % for each of some products
    assert all(v.value.dtype == torch.float32 for v in rounded.model.trainable_variables)


def test_compiled_step_is_the_step_it_was(tmp_path: Path, monkeypatch) -> None:
    # One graph, no breaks: convolution, pooling of an odd size, statistics, dropout, penalty.
    (one, two), (x, y) = plain_and_compiled(tmp_path, monkeypatch), batch()
    for rows in (slice(None), slice(None), slice(5), slice(None)):
        a, b = one.train(x[rows], y[rows]), two.train(x[rows], y[rows])
        assert float(a) == pytest.approx(float(b), rel=1e-4)
    assert two.notes == ()
    assert two.compiled
    for a, b in zip(values(one.model), values(two.model), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
    assert list((tmp_path / "compiled").iterdir())  # for the next run


def test_compiling_again_finds_the_way_back_too_and_trains_to_the_same_bits(
    tmp_path: Path, monkeypatch
) -> None:
    compile_into(tmp_path, monkeypatch)
    (x, y), found, ends = batch(), [], []
    for _ in range(2):
        torch._dynamo.reset()  # what this process remembers, as if it were another one
        torch.manual_seed(3)
        step = TrainingStep(pooling_network(), precision=BF16, compile=True)
        before = counters["aot_autograd"]["autograd_cache_hit"]
        ends.append([float(step.train(x, y)) for _ in range(3)])
        assert step.compiled, step.notes
        found.append(counters["aot_autograd"]["autograd_cache_hit"] - before)
        ends.append(values(step.model))
    assert found == [0, 1]
    assert ends[0] == ends[2]
    for a, b in zip(ends[1], ends[3], strict=True):
        np.testing.assert_array_equal(a, b)


def test_compiling_that_fails_is_said_and_trains_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    step = TrainingStep(network(), precision=FLOAT32, compile=True)
    float(step.train(*batch()))
    assert not step.compiled
    assert step.notes == ("not compiled: there is no C++ compiler",)


def test_layers_that_draw_numbers_keras_s_way_are_not_compiled() -> None:
    model = keras.Sequential([keras.Input((3,)), L.GaussianNoise(0.1), L.Dense(1)])
    model.compile("sgd", "mse")
    step = TrainingStep(model, compile=True)
    float(step.train(np.ones((4, 3)), np.ones(4)))
    assert "random" in step.notes[0]


def several_inputs() -> Any:
    a, b = keras.Input((2,)), keras.Input((2,))
    model = keras.Model([a, b], L.Dense(1)(L.Add()([a, b])))
    model.compile("sgd", "mse")
    return model


def masked() -> Any:
    model = keras.Sequential([keras.Input((4,)), L.Embedding(5, 3, mask_zero=True)])
    model.compile("sgd", "mse")
    return model


def nothing_to_train() -> Any:
    model = keras.Sequential([keras.Input((4,)), L.Flatten()])
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (several_inputs, "2 inputs"),
        (masked, "masks"),
        (nothing_to_train, "nothing to train"),
        (lambda: keras.Sequential([L.Dense(1)]), "not built"),
    ],
)
def test_model_beyond_the_engine_is_refused(make: Any, reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        TrainingStep(make())
