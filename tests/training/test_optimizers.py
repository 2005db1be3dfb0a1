"""Every optimiser against Keras's own, step by step, on the same gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from saccade.errors import SettingsError
from saccade.models.backend import load_keras
from saccade.training.layerwise import LayerwiseAdamW
from saccade.training.muon import Muon, orthogonal
from saccade.training.optimizers import Update

# Rates of 0.1 and rounding to 1e-7 at each of 12 steps, in another order than Keras's.
CLOSE = {"rtol": 2e-5, "atol": 1e-5}

keras = load_keras()
O = keras.optimizers  # noqa: E741  (as short as keras.layers is L)


def decay() -> Any:
    return O.schedules.ExponentialDecay(0.1, 3, 0.5)


def sparing(optimizer: Any) -> Any:
    """Without decay of the second weight."""
    optimizer.exclude_from_weight_decay(var_names=["v1"])
    return optimizer


def several() -> Any:
    """RMSprop for the second weight, SGD for the others."""
    others = O.SGD(decay(), momentum=0.9)
    return O.MultiOptimizer(O.OptimizerMap(others, {"v1": O.RMSprop(0.01)}))


class Inverse(O.schedules.LearningRateSchedule):
    """A schedule of the user's, which counts on a variable: of an int, 0 ** -0.5 is an error."""

    def __call__(self, step: Any) -> Any:
        rising = keras.ops.cast(step, "float32") * 0.02
        return 0.1 * keras.ops.minimum(step**-0.5, rising + 0 * step.value.float())


WRITTEN_OUT: dict[str, Callable[[], Any]] = {
    "sgd": lambda: O.SGD(0.1),
    "sgd-momentum": lambda: O.SGD(0.1, momentum=0.9),
    "sgd-nesterov": lambda: O.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "sgd-schedule": lambda: O.SGD(decay(), momentum=0.9),
    "adam": lambda: O.Adam(0.01),
    "adam-large-epsilon": lambda: O.Adam(0.01, beta_1=0.8, beta_2=0.95, epsilon=0.1),
    "adam-rate-from-a-function": lambda: O.Adam(lambda: 0.01),
    "adamw": lambda: O.AdamW(0.01, weight_decay=0.1),
    "adamw-schedule": lambda: O.AdamW(decay(), weight_decay=0.1),
    "adamw-sparing": lambda: sparing(O.AdamW(0.01, weight_decay=0.1)),
    "adam-schedule": lambda: O.Adam(decay()),
    "adamw-schedule-of-the-user": lambda: O.AdamW(Inverse(), weight_decay=0.1),
    "sgd-schedule-of-the-user": lambda: O.SGD(Inverse(), momentum=0.9),
    "adamw-layerwise": lambda: sparing(
        LayerwiseAdamW(lowest_share=0.1, learning_rate=decay(), weight_decay=0.1)
    ),
    "muon": lambda: Muon(kernel_rate=7.0, momentum=0.6, learning_rate=0.01, weight_decay=0.1),
    "rmsprop": lambda: O.RMSprop(0.01),
    "rmsprop-momentum": lambda: O.RMSprop(0.01, momentum=0.9, rho=0.8),
    "rmsprop-decay": lambda: sparing(O.RMSprop(decay(), weight_decay=0.1)),
}
BY_KERAS: dict[str, Callable[[], Any]] = {
    "adam-amsgrad": lambda: O.Adam(0.01, amsgrad=True),
    "adam-clipped": lambda: O.Adam(0.01, clipnorm=0.1),
    "sgd-clipped-values": lambda: O.SGD(0.1, momentum=0.9, clipvalue=0.5),
    "rmsprop-clipped-together": lambda: O.RMSprop(0.01, global_clipnorm=0.5),
    "sgd-average": lambda: O.SGD(0.1, use_ema=True, ema_overwrite_frequency=4),
    "sgd-accumulated": lambda: O.SGD(0.1, gradient_accumulation_steps=2),
    "adamw-accumulated-schedule": lambda: O.AdamW(
        decay(), weight_decay=0.1, gradient_accumulation_steps=3
    ),
    "sgd-scaled": lambda: O.SGD(0.1, loss_scale_factor=128.0),
    "rmsprop-centered": lambda: O.RMSprop(0.01, centered=True),
    "adadelta": lambda: O.Adadelta(1.0),
    "adafactor": lambda: O.Adafactor(0.01),
    "adagrad": lambda: O.Adagrad(0.1),
    "adamax": lambda: O.Adamax(0.01, weight_decay=0.1),
    "ftrl": lambda: O.Ftrl(0.1, l1_regularization_strength=0.01),
    "lamb": lambda: O.Lamb(0.01),
    "lion": lambda: O.Lion(0.01),
    "loss-scale": lambda: O.LossScaleOptimizer(O.Adam(0.01), dynamic_growth_steps=5),
    "nadam": lambda: O.Nadam(0.01),
    "nadam-schedule": lambda: O.Nadam(decay()),
}
YOUNG: dict[str, Callable[[], Any]] = {  # which an older Keras lacks
    "MultiOptimizer": several,
    "Muon": lambda: O.Muon(0.01),
    "ScheduleFreeAdamW": lambda: O.ScheduleFreeAdamW(0.01, warmup_steps=3, weight_decay=0.1),
}
BY_KERAS |= {name: make for name, make in YOUNG.items() if hasattr(O, name)}
NO_OPTIMIZERS = {
    "Optimizer": "the class that all others inherit from",
    "OptimizerMap": "says which of several a weight is for",
}


def variables() -> list[Any]:
    keras.utils.set_random_seed(1)
    shapes = [(3, 3, 2, 4), (7,), (5, 6)]
    return [keras.Variable(torch.randn(shape), name=f"v{i}") for i, shape in enumerate(shapes)]


def gradients(step: int, values: list[Any]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    return [torch.randn(v.value.shape, generator=generator) for v in values]


def step_both(
    step: int, update: Update, ours: list[Any], optimizer: Any, theirs: list[Any]
) -> None:
    update.apply(gradients(step, ours), None)
    optimizer.apply(gradients(step, theirs), theirs)


@pytest.mark.parametrize("name", [*WRITTEN_OUT, *BY_KERAS])
def test_trajectory_is_that_of_keras(name: str) -> None:
    make = (WRITTEN_OUT | BY_KERAS)[name]
    ours, theirs = variables(), variables()
    optimizer = make()
    update = Update(make(), ours)
    for step in range(12):
        step_both(step, update, ours, optimizer, theirs)
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a.value, b.value, **CLOSE)
    update.write_back()
    for a, b in zip(update.optimizer.variables, optimizer.variables, strict=True):
        torch.testing.assert_close(a.value, b.value, **CLOSE)


def test_every_optimizer_of_keras_is_compared() -> None:
    made = [type(make()) for make in (WRITTEN_OUT | BY_KERAS).values()]
    for name, kind in vars(O).items():
        if isinstance(kind, type) and name not in NO_OPTIMIZERS:
            assert any(issubclass(m, kind) and m.__name__ == name for m in made), name


@pytest.mark.filterwarnings("ignore:Gradients do not exist for variables")
@pytest.mark.parametrize(
    "name", ["sgd-nesterov", "adamw", "adamw-layerwise", "muon", "rmsprop-decay", "nadam"]
)
def test_weight_that_the_loss_does_not_reach_stays_as_keras_leaves_it(name: str) -> None:
    """Without decay, and its momentum as it was; at other steps it has a gradient."""
    ours, theirs = variables(), variables()
    optimizer = (WRITTEN_OUT | BY_KERAS)[name]()
    update = Update((WRITTEN_OUT | BY_KERAS)[name](), ours)
    for step in range(6):
        found = gradients(step, ours)
        if step % 2:
            found[2] = None
        update.apply(found, None)
        optimizer.apply(found, theirs)
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a.value, b.value, **CLOSE)


def test_loss_is_scaled_for_what_divides_its_gradients() -> None:
    loss = torch.tensor(3.0)
    assert float(Update(O.SGD(0.1), variables()).scaled(loss)) == 3.0
    assert float(Update(O.SGD(0.1, loss_scale_factor=4.0), variables()).scaled(loss)) == 12.0
    wrapped = O.LossScaleOptimizer(O.SGD(0.1), initial_scale=8.0)
    assert float(Update(wrapped, variables()).scaled(loss)) == 24.0


def test_written_out_rules_are_used() -> None:
    assert all(Update(make(), variables())._rule for make in WRITTEN_OUT.values())
    assert not any(Update(make(), variables())._rule for make in BY_KERAS.values())


def test_muon_under_rounded_products_stays_close_to_keras_s() -> None:
    """bfloat16 rounds its products, and so each turn of a kernel."""
    ours, theirs = variables(), variables()
    optimizer = WRITTEN_OUT["muon"]()
    update = Update(WRITTEN_OUT["muon"](), ours, "bf16")
    for step in range(3):
        step_both(step, update, ours, optimizer, theirs)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.value, b.value, rtol=0.0, atol=2e-3)


@pytest.mark.parametrize("name", [*WRITTEN_OUT, "adam-amsgrad", "sgd-accumulated"])
def test_slots_are_found_where_fewer_weights_are_trained(name: str) -> None:
    """As after freezing the first layer of two, and then the second instead."""
    make = (WRITTEN_OUT | BY_KERAS)[name]
    ours, theirs = variables(), variables()
    mine, optimizer = make(), make()
    for trained in ([0, 1, 2], [1, 2], [0, 1]):
        update = Update(mine, [ours[i] for i in trained])
        for step in range(3):
            step_both(
                step, update, [ours[i] for i in trained], optimizer, [theirs[i] for i in trained]
            )
        update.write_back()
    for a, b in zip([*ours, *mine.variables], [*theirs, *optimizer.variables], strict=True):
        torch.testing.assert_close(a.value, b.value, **CLOSE)


@pytest.mark.parametrize("name", ["sgd", "adam", "rmsprop", "lion", "loss-scale"])
def test_optimizer_made_for_other_weights_is_refused(name: str) -> None:
    """As it is by Keras: it has no slots for them, though others of the same shape."""
    optimizer, first, second = (WRITTEN_OUT | BY_KERAS)[name](), variables(), variables()
    Update(optimizer, first[:2]).apply(gradients(0, first[:2]), None)
    with pytest.raises(ValueError, match="Unknown variable"):
        optimizer.apply(gradients(0, second), second)
    with pytest.raises(SettingsError, match="without v0 and 2 more; .* compile the model again"):
        Update(optimizer, second)
    with pytest.raises(SettingsError, match="without v2; "):
        Update(optimizer, first)


def test_constraints_are_kept() -> None:
    values = variables()
    values[1].constraint = keras.constraints.NonNeg()
    update = Update(O.SGD(0.1), values)
    update.apply(gradients(0, values), None)
    assert float(values[1].value.detach().min()) >= 0


def test_rate_given_for_one_step_replaces_the_optimizer_s() -> None:
    values = variables()
    before = [variable.value.detach().clone() for variable in values]
    update = Update(O.SGD(0.1), values)
    update.apply([torch.ones_like(variable.value) for variable in values], 0.5)
    for old, variable in zip(before, values, strict=True):
        torch.testing.assert_close(variable.value.detach(), old - 0.5)


@pytest.mark.parametrize("shape", [(8, 30), (30, 8), (12, 12)])
def test_orthogonal_keeps_directions_and_evens_out_lengths(shape: tuple[int, int]) -> None:
    """Against the singular values themselves: U·V of a matrix whose values differ tenfold."""
    u, s, v = torch.linalg.svd(torch.randn(shape, generator=torch.Generator().manual_seed(0)))
    rank = len(s)
    u, v = u[:, :rank], v[:rank]
    spread = torch.logspace(0, 1, rank)
    turned = u.T @ orthogonal(u @ torch.diag(spread) @ v) @ v.T
    off_diagonal = turned - torch.diag(torch.diagonal(turned))
    assert float(off_diagonal.abs().max()) < 1e-5
    assert 0.4 < float(torch.diagonal(turned).min()) <= float(torch.diagonal(turned).max()) < 1.3
