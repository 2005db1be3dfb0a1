from __future__ import annotations

import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

import saccade
from saccade.errors import SettingsError
from saccade.models import build_model
from saccade.models.backend import load_keras
from saccade.training.compiler import Compilable, Workload, objection, obstacle
from saccade.training.kernels.library import find_kernels, load_kernels
from saccade.training.step import TrainingStep

keras = load_keras()
WORK = Workload(number_format="bf16", device="cpu", num_layers=10)


@pytest.fixture(autouse=True)
def _nothing_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SACCADE_COMPILE", raising=False)


@pytest.mark.usefixtures("no_kernels")
def test_compiling_pays_where_it_is_earned_back() -> None:
    # 1.5 times the 11 s that ten layers take, at 0.045 s a step: from 367 steps on.
    assert not objection(WORK, seconds_a_step=0.1, num_steps=367)
    assert objection(WORK, seconds_a_step=0.1, num_steps=366)
    assert not objection(WORK, seconds_a_step=None, num_steps=1_000)
    assert objection(WORK, seconds_a_step=None, num_steps=999)


@pytest.mark.usefixtures("no_kernels")
@pytest.mark.parametrize(
    "change", [{"number_format": "float32"}, {"device": "cuda"}, {"num_layers": 201}]
)
def test_compiling_never_pays_where_no_gain_was_measured(change: dict[str, object]) -> None:
    work = replace(WORK, **change)
    assert objection(work, seconds_a_step=10.0, num_steps=1_000_000)
    assert objection(work, seconds_a_step=None, num_steps=1_000_000)


def test_our_kernels_are_not_given_up_for_the_compiler() -> None:
    if load_kernels() is None:
        pytest.skip("no C++ compiler")
    why = objection(WORK, seconds_a_step=10.0, num_steps=1_000_000)
    assert why == "our own kernels gain more"


@pytest.mark.usefixtures("no_kernels")
def test_objection_gives_the_figures_that_it_rests_on() -> None:
    # Ten layers: 10 s and a tenth for each. 100 steps of 0.1 s, of which 45 % would be saved.
    why = objection(WORK, seconds_a_step=0.1, num_steps=100)
    assert why == "it takes about 11 s, and would save 4"
    why = objection(WORK, seconds_a_step=None, num_steps=999)
    assert why == "it pays from 1,000 steps on, and 999 are left"


class StopAtStep(keras.callbacks.Callback):
    """Ends training after the batch in which compiling is weighed, before one is compiled."""

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self.model.stop_training = batch == 12


def said_by_fit(epochs: int, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Train a small convolutional network in bf16 until compiling is weighed."""
    layers = [keras.layers.Conv2D(4, 3), keras.layers.Flatten(), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y = np.ones((52, 8, 8, 1), np.float32), np.zeros(52)
    options = {"batch_size": 4, "epochs": epochs, "callbacks": [StopAtStep()], "verbose": 2}
    saccade.fit(model, x, y, **options)
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("saccade: ")]


@pytest.mark.usefixtures("no_kernels")
def test_fit_compiles_what_the_estimate_says_pays_and_says_so(monkeypatch, capsys) -> None:
    if obstacle():
        pytest.skip(obstacle())
    monkeypatch.setenv("SACCADE_PRECISION", "bf16")
    trains = "saccade: trains in bf16 (as asked)"
    assert said_by_fit(10_000_000, capsys) == [trains, "saccade: compiles the training step"]
    few = said_by_fit(2, capsys)
    assert few[0] == trains
    assert few[1].startswith("saccade: does not compile the training step: it takes about 10 s,")
    monkeypatch.setenv("SACCADE_COMPILE", "off")
    assert said_by_fit(2, capsys) == [f"{trains}, not compiled (SACCADE_COMPILE is off)"]


def test_fit_says_in_its_one_line_that_our_kernels_make_compiling_pointless(
    monkeypatch, capsys
) -> None:
    if load_kernels() is None:
        pytest.skip("no C++ compiler")
    monkeypatch.setenv("SACCADE_PRECISION", "bf16")
    why = "not compiled (our own kernels gain more)"
    assert said_by_fit(10_000_000, capsys) == [f"saccade: trains in bf16 (as asked), {why}"]


def test_fit_says_that_it_goes_without_our_kernels_and_why(monkeypatch, capsys) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    find_kernels.cache_clear()
    try:
        said = said_by_fit(10_000_000, capsys)
    finally:
        monkeypatch.undo()
        find_kernels.cache_clear()
    assert said[1:] == ["saccade: slower, without our own kernels: there is no C++ compiler"]


def small_step() -> TrainingStep:
    model = build_model("t3", input_shape=(4, 4, 1), num_classes=3)
    return TrainingStep(model)


def test_user_overrides_the_estimate_and_it_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SACCADE_COMPILE", "on")
    step = small_step()
    assert not objection(step.workload, seconds_a_step=1e-6, num_steps=1)
    step.compile()
    assert step.notes == ("compiled: SACCADE_COMPILE is on",)
    monkeypatch.setenv("SACCADE_COMPILE", "off")
    step = small_step()
    assert objection(step.workload, seconds_a_step=10.0, num_steps=1_000_000)
    assert step.notes == ("not compiled: SACCADE_COMPILE is off",)
    monkeypatch.setenv("SACCADE_COMPILE", "maybe")
    with pytest.raises(SettingsError, match="on or off, got 'maybe'"):
        small_step()


def test_layers_of_nested_models_count() -> None:
    inner = keras.Sequential([keras.Input((4,)), *(keras.layers.Dense(4) for _ in range(3))])
    model = keras.Sequential([keras.Input((4,)), inner, keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    assert TrainingStep(model).workload.num_layers == 4


def test_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "")
    assert obstacle() == "there is no C++ compiler"


FAILS = {"now": False}


@torch.library.custom_op("saccade_tests::sent_back", mutates_args=())
def sent_back(gradient: torch.Tensor) -> torch.Tensor:
    """A gradient as it is, but for one time that the way back fails, as where a card is full."""
    if FAILS["now"]:
        FAILS["now"] = False
        raise RuntimeError("capture failed\nand more")
    return gradient.clone()


@torch.library.custom_op("saccade_tests::passed", mutates_args=())
def passed(x: torch.Tensor) -> torch.Tensor:
    return x.clone()


sent_back.register_fake(torch.empty_like)
passed.register_fake(torch.empty_like)
passed.register_autograd(lambda ctx, gradient: sent_back(gradient))


def test_step_that_fails_compiled_is_done_again_without(monkeypatch) -> None:
    """Asked as for a card, with its CUDA graphs: on the processor the compiler leaves those out."""
    if obstacle():
        pytest.skip(obstacle())
    monkeypatch.setenv("SACCADE_COMPILE", "on")
    weights = torch.arange(6.0).reshape(3, 2).requires_grad_()
    x, y = torch.arange(12.0).reshape(4, 3), torch.ones(4, 2)

    def loss_of(x, y, _):
        return (passed(x @ weights) - y).square().sum()

    def with_gradient(function, *batch):
        loss = function(*batch)
        return float(loss), torch.autograd.grad(loss, weights)[0]

    step = Compilable(loss_of, replace(WORK, device="cuda"), with_gradient)
    assert not step.reuses_memory
    step.compile("")
    assert step.reason == "SACCADE_COMPILE is on, for CUDA graphs"
    wanted = 2 * x.T @ (x @ weights.detach() - y)
    for fails in (False, False, True, False):
        FAILS["now"] = fails
        loss, gradient = step(x, y, None)
        assert loss == pytest.approx(float((x @ weights.detach() - y).square().sum()))
        torch.testing.assert_close(gradient, wanted)
        assert step.compiled == step.reuses_memory == (len(step.notes) == 1)
    assert not step.compiled
    assert step.reason == "RuntimeError: capture failed"
    assert step.notes[1] == "not compiled: RuntimeError: capture failed"


def test_what_filled_the_memory_is_gone_before_the_step_is_done_again(monkeypatch) -> None:
    if obstacle():
        pytest.skip(obstacle())
    monkeypatch.setattr(torch, "compile", lambda function, **_: lambda *batch: function(*batch))
    made: list[weakref.ref[torch.Tensor]] = []

    def used(function, x, y, weight):
        large = x + 1
        assert not any(known() is not None for known in made)
        made.append(weakref.ref(large))
        if len(made) == 1:
            raise torch.OutOfMemoryError("the card is full")
        return function(x, y, weight)

    step = Compilable(lambda x, y, _: x * y, WORK, used)
    step.compile("")
    x, y = torch.arange(3.0), torch.ones(3)
    assert torch.equal(step(x, y, None), x)
    assert len(made) == 2
    assert step.notes == ("not compiled: OutOfMemoryError: the card is full",)
