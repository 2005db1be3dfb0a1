"""What is measured, planned and shown before training begins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.training.test_loop import FACTS, course_of, digits

from saccade.models import build_model
from saccade.progress import Lines, Silence
from saccade.training.compiler import Compilable
from saccade.training.learner import Learner
from saccade.training.loop import train_network
from saccade.training.plan import derive_plan
from saccade.training.result import Pictures
from saccade.training.warmup import _seconds_a_step, plan_horizon


@pytest.mark.parametrize(("asked", "compiles"), [("on", True), ("off", False)])
def test_compiling_is_a_stage_of_its_own(asked, compiles, capsys, monkeypatch):
    monkeypatch.setenv("SACCADE_COMPILE", asked)
    facts = replace(FACTS, epochs=None, budget_s=3600.0)
    plan = replace(derive_plan(facts, model="t3"), max_epochs=100_000)
    model = build_model("t3", input_shape=(8, 8, 1), num_classes=10)  # is compiled soonest
    learner = Learner(model, plan)
    with Silence().stage("train") as stage:
        plan_horizon(learner, course_of(plan, stage), progress=Lines())
    assert learner.step.compiled == compiles
    assert ("compile: " in capsys.readouterr().err) == compiles


@pytest.mark.usefixtures("no_kernels")
@pytest.mark.parametrize(
    ("network", "reason"),
    [("t3", "float32 gains nothing by it"), ("t5", "it takes about 11 s, and would save")],
)
def test_result_says_why_the_step_was_not_compiled(network, reason, monkeypatch):
    monkeypatch.delenv("SACCADE_COMPILE", raising=False)
    monkeypatch.setenv("SACCADE_PRECISION", "float32" if network == "t3" else "bf16")
    train, validation = digits()
    plan = derive_plan(replace(FACTS, epochs=None, budget_s=1.0), model=network)
    result = train_network(
        build_model(network, input_shape=(8, 8, 1), num_classes=10),
        train=train,
        validation=validation,
        plan=plan,
        checkpoint_dir=None,
        progress=Silence(),
    )
    assert not result.compiled
    assert result.compiled_reason.startswith(reason)
    assert result.to_json()["compiled_reason"] == result.compiled_reason


def test_bar_is_full_after_an_early_stop(capsys):
    train, validation = digits()
    plan = replace(derive_plan(replace(FACTS, epochs=30)), patience=1, learning_rate=0.0)
    model = build_model("auto", input_shape=(8, 8, 1), num_classes=10, design=plan.design)
    result = train_network(
        model,
        train=train,
        validation=validation,
        plan=plan,
        checkpoint_dir=None,
        progress=Lines(),
    )
    assert result.num_epochs < 30
    assert "train: 100 of 100" in capsys.readouterr().err


@pytest.mark.parametrize(("graphs", "num_steps"), [(False, 4), (True, 5)])
def test_steps_that_record_cuda_graphs_are_not_measured(graphs, num_steps, monkeypatch):
    """Three are; before them one compiles, and by CUDA graphs another records."""
    plan = derive_plan(FACTS, model="t3")
    learner = Learner(build_model("t3", input_shape=(8, 8, 1), num_classes=10), plan)
    train, _ = digits()
    chosen = np.arange(16)
    batch = Pictures(train.pixels[train.rows[chosen]], chosen, train.labels[chosen])
    monkeypatch.setattr(Compilable, "reuses_memory", graphs)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: None)
    assert _seconds_a_step(learner, batch) > 0
    learner.step.write_back()
    assert int(learner.step._update.optimizer.iterations.value) == num_steps
