from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from saccade.errors import SettingsError
from saccade.models import build_model
from saccade.models.backend import load_keras
from saccade.training.compiler import Workload, obstacle, pays
from saccade.training.kernels.library import load_kernels
from saccade.training.step import TrainingStep

keras = load_keras()
WORK = Workload(number_format="bf16", device="cpu", num_layers=10)


@pytest.fixture
def no_kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that does without our kernels."""
    monkeypatch.setenv("SACCADE_KERNELS", "off")
    load_kernels.cache_clear()
    yield
    load_kernels.cache_clear()


@pytest.fixture(autouse=True)
def _nothing_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SACCADE_COMPILE", raising=False)


@pytest.mark.usefixtures("no_kernels")
def test_compiling_pays_where_it_is_earned_back() -> None:
    # 1.5 times the 11 s that ten layers take, at 0.045 s a step: from 367 steps on.
    assert pays(WORK, seconds_a_step=0.1, num_steps=367)
    assert not pays(WORK, seconds_a_step=0.1, num_steps=366)
    assert pays(WORK, seconds_a_step=None, num_steps=1_000)
    assert not pays(WORK, seconds_a_step=None, num_steps=999)


@pytest.mark.usefixtures("no_kernels")
@pytest.mark.parametrize(
    "change", [{"number_format": "float32"}, {"device": "cuda"}, {"num_layers": 201}]
)
def test_compiling_never_pays_where_no_gain_was_measured(change: dict[str, object]) -> None:
    work = replace(WORK, **change)
    assert not pays(work, seconds_a_step=10.0, num_steps=1_000_000)
    assert not pays(work, seconds_a_step=None, num_steps=1_000_000)


def test_our_kernels_are_not_given_up_for_the_compiler() -> None:
    if load_kernels() is None:
        pytest.skip("no C++ compiler")
    assert not pays(WORK, seconds_a_step=10.0, num_steps=1_000_000)


def small_step() -> TrainingStep:
    model = build_model("t3", input_shape=(4, 4, 1), num_classes=3)
    return TrainingStep(model)


def test_user_overrides_the_estimate_and_it_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SACCADE_COMPILE", "on")
    step = small_step()
    assert pays(step.workload, seconds_a_step=1e-6, num_steps=1)
    step.compile()
    assert step.notes == ("compiled: SACCADE_COMPILE is on",)
    monkeypatch.setenv("SACCADE_COMPILE", "off")
    step = small_step()
    assert not pays(step.workload, seconds_a_step=10.0, num_steps=1_000_000)
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
