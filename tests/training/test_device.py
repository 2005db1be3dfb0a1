"""A step on a graphics card asks it for nothing: on one that PyTorch only imagines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from saccade.models import build_model
from saccade.models.backend import load_keras
from saccade.training.compiler import Compilable
from saccade.training.course import Diverged
from saccade.training.device import on_device
from saccade.training.loop import _look_at
from saccade.training.meters import Meters
from saccade.training.optimizers import _Number
from saccade.training.step import TrainingStep

keras = load_keras()
ROOT = Path(__file__).parents[2]


def test_no_step_waits_for_a_card():
    """Whole steps of the journey and of `fit`: any number asked for would raise there."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.training.imagined_card"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    copies = dict(line.rsplit(": ", 1) for line in ran.stdout.splitlines())
    assert len(copies) == 8
    for name, seen in copies.items():
        assert seen.startswith("cpu to card "), name  # and nothing that is waited for
        assert "," not in seen, name


class NumbersRead(TorchDispatchMode):
    """Counts the numbers that are read from tensors."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def stepped(rate):
    model = build_model("t3", input_shape=(4, 4, 1), num_classes=3)
    model.compile(keras.optimizers.SGD(rate), "sparse_categorical_crossentropy")
    step = TrainingStep(model)
    x, y = np.ones((6, 4, 4, 1), np.float32), np.arange(6) % 3

    def moved():
        """Take a step; return by how much the last bias moved."""
        bias = model.trainable_variables[-1].value
        before = bias.detach().clone()
        step.train(x, y)
        return float((bias.detach() - before).abs().sum())

    return model, step, moved


def test_rate_is_read_again_when_it_is_changed():
    model, _, moved = stepped(0.1)
    assert moved() > 0
    model.optimizer.learning_rate = 0.0
    assert moved() == 0
    model.optimizer.learning_rate = 0.1
    assert moved() > 0


class OnACard:
    """What PyTorch's tensor on a card shows of itself; notes what is asked of it."""

    def __init__(self, number=0.0, inference=False):
        self.number, self.inference, self.asked = number, inference, []
        self.device, self._version = torch.device("cuda", 0), 0

    def is_inference(self):
        return self.inference

    def __float__(self):
        self.asked.append("float")
        return self.number


def test_number_on_a_card_is_read_once_and_again_when_it_is_changed():
    number, rate = _Number(), OnACard(0.1)
    assert [number.read(rate) for _ in range(5)] == [0.1] * 5
    assert rate.asked == ["float"]
    rate.number, rate._version = 0.2, 1
    assert [number.read(rate) for _ in range(5)] == [0.2] * 5
    assert number.read(OnACard(0.3)) == 0.3
    assert rate.asked == ["float"] * 2
    changed = OnACard(0.1, inference=True)
    assert number.read(changed) == 0.1
    changed.number = 0.2  # of such a tensor PyTorch counts no changes
    assert number.read(changed) == 0.2


def test_number_in_memory_is_read_however_it_was_changed():
    number, rate = _Number(), torch.tensor(1.0)
    assert number.read(rate) == 1.0
    rate.data.fill_(2.0)
    assert number.read(rate) == 2.0


class InMemory:
    """What PyTorch's tensor in memory shows of itself; notes what is asked of it."""

    device = torch.device("cpu")

    def __init__(self):
        self.asked = []

    def pin_memory(self):
        self.asked.append("pin_memory")
        return self

    def to(self, device, non_blocking=False):
        self.asked.append((device.type, non_blocking))
        return self


def test_copy_to_a_card_is_from_pinned_memory_and_not_waited_for():
    data = InMemory()
    on_device(data, torch.device("cuda", 0))
    assert data.asked == ["pin_memory", ("cuda", True)]
    data = InMemory()
    on_device(data, torch.device("cpu"))
    assert data.asked == [("cpu", False)]


def test_losses_are_looked_at_by_one_number():
    losses = [torch.tensor(float(number)) for number in range(100)]
    with NumbersRead() as read:
        _look_at(losses)
    assert (losses, read.count) == ([], 1)
    for wrong in (float("nan"), float("inf")):
        with pytest.raises(Diverged):
            _look_at([torch.tensor(1.0), torch.tensor(wrong)])


class NoFloat64(TorchDispatchMode):
    """Fails as Apple's cards do where anything is made in float64."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        assert not isinstance(result, torch.Tensor) or result.dtype != torch.float64
        return result


def test_card_without_float64_can_be_looked_at_and_counts():
    with NoFloat64():
        _look_at([torch.tensor(1.0), torch.tensor(2.0)])
    model = build_model("t3", input_shape=(4, 4, 1), num_classes=3)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model._symbolic_build(data_batch=(np.ones((4, 4, 4, 1), np.float32), np.arange(4) % 3))
    with FakeTensorMode(), NoFloat64():  # a card that PyTorch only imagines
        meters = Meters(model)
        loss, y = torch.empty((), device="mps"), torch.empty(4, dtype=torch.int64, device="mps")
        meters.update(loss, y, torch.empty((4, 3), device="mps"))
        meters._count()
    assert meters._loss.device.type == "mps"


@pytest.fixture
def graphed(monkeypatch):
    """A step that is told that its memory is used again; how often a new one was begun."""
    begun = []
    monkeypatch.setattr(Compilable, "reuses_memory", True)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: begun.append(1))
    return begun


def test_what_a_step_by_cuda_graphs_gives_out_is_its_own(graphed):
    _, step, _ = stepped(0.1)
    x, y = np.ones((6, 4, 4, 1), np.float32), np.arange(6) % 3
    made, function = [], step.forward._function

    def remembered(*batch):
        made.append(function(*batch))
        return made[-1]

    step.forward._function = remembered
    loss = step.train(x, y)
    assert len(graphed) == 1
    for own, given in zip((loss, step.outputs), made[0], strict=True):
        assert torch.equal(own, given)
        assert own.untyped_storage().data_ptr() != given.untyped_storage().data_ptr()
    step.train(x, y)
    assert len(graphed) == 2


def test_state_holds_what_a_card_draws_from(monkeypatch):
    """Dropout draws there: from PyTorch's other generator."""
    given = []
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: torch.tensor([7, 9]))
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: given.append(state))
    _, step, _ = stepped(0.1)
    own = step.state()
    assert "random_on_card" not in own
    step.device = torch.device("cuda", 0)
    state = step.state()
    assert state["random_on_card"].tolist() == [7, 9]
    monkeypatch.setattr("saccade.training.step.on_device", lambda data, _: torch.from_numpy(data))
    step.load_state(state)
    assert [each.tolist() for each in given] == [[7, 9]]
    step.load_state(own)  # of a run on a processor
    assert len(given) == 1


def test_rate_of_a_schedule_follows_the_steps():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.1, 0.0])
    _, _, moved = stepped(schedule)
    assert [moved() > 0 for _ in range(4)] == [True, True, False, False]


def test_schedule_is_asked_on_the_processor_wherever_keras_works():
    """It works on a card if there is one; here, where tensors have no number to read."""
    _, step, _ = stepped(keras.optimizers.schedules.CosineDecay(0.1, 10))
    with keras.device("meta"):
        rate = step._update._learning_rate()
    assert rate == pytest.approx(0.1)
