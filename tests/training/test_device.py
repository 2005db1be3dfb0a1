"""A step on a graphics card asks it for nothing: on one that PyTorch only imagines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from saccade.models import build_model
from saccade.models.backend import load_keras
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


def test_rate_is_read_once_and_again_when_it_is_changed():
    model, step, moved = stepped(0.1)
    x, y = np.ones((6, 4, 4, 1), np.float32), np.arange(6) % 3
    assert moved() > 0
    with NumbersRead() as read:
        for _ in range(5):
            step.train(x, y)
    assert read.count == 0
    model.optimizer.learning_rate = 0.0
    assert moved() == 0
    model.optimizer.learning_rate = 0.1
    assert moved() > 0


def test_rate_of_a_schedule_follows_the_steps():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.1, 0.0])
    _, _, moved = stepped(schedule)
    assert [moved() > 0 for _ in range(4)] == [True, True, False, False]
