"""On a real graphics card, where there is one: what other tests hold to an imagined card."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.training.test_batches import EVERY, mapped
from tests.training.test_loop import FACTS, digits
from tests.training.test_step import batch, network, plain_and_compiled

import saccade
from saccade.models import build_model
from saccade.models.backend import load_keras
from saccade.training.batches import Batches, InMemory, Resident, Streamed
from saccade.training.compiler import obstacle
from saccade.training.learner import Learner
from saccade.training.plan import derive_plan

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no graphics card"),
    pytest.mark.filterwarnings("ignore:Synchronization debug mode"),  # it does not see everything
]
keras = load_keras()
CARD = torch.device("cuda", 0)


@pytest.mark.parametrize("place", [Resident, Streamed])
def test_batches_on_a_card_are_those_in_memory(place, tmp_path):
    pictures = mapped(tmp_path)
    groups = np.random.default_rng(2).permutation(40)[:36].reshape(4, 9)
    shown = [
        list(Batches(pictures, source, EVERY, 5).shown(groups, np.random.default_rng(3)))
        for source in (InMemory(pictures), place(pictures, CARD))
    ]
    for (own, shares), (pixels, labels) in zip(*shown, strict=True):
        assert pixels.device == CARD
        assert np.array_equal(pixels.cpu().numpy(), own)
        assert np.array_equal(labels, shares)


@pytest.mark.parametrize("place", [Resident, Streamed])
def test_epoch_waits_for_nothing_on_a_card(place):
    """PyTorch raises where anything waits; the first steps may, as its libraries get ready."""
    train, _ = digits()
    plan = derive_plan(replace(FACTS, epochs=40))
    model = build_model("auto", input_shape=(8, 8, 1), num_classes=10, design=plan.design)
    learner = Learner(model, plan)
    learner.start_average(2.0)
    batches = Batches(train, place(train, CARD), EVERY, 10)
    groups = np.arange(400).reshape(25, 16)

    def epoch(some):
        for pixels, labels in batches.shown(some, np.random.default_rng(0)):
            loss = learner.train(pixels, labels, 0.01)
        return loss

    epoch(groups[:5])
    torch.cuda.set_sync_debug_mode("error")
    try:
        loss = epoch(groups)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert np.isfinite(float(loss))


def test_step_by_cuda_graphs_is_the_step_it_was(tmp_path, monkeypatch):
    """Five steps: one compiles, one records, the rest are replayed into the same memory."""
    if obstacle():
        pytest.skip(obstacle())
    monkeypatch.setenv("SACCADE_COMPILE", "on")
    (one, two), (x, y) = plain_and_compiled(tmp_path, monkeypatch), batch()
    kept, copies = [], []
    for _ in range(5):
        own = float(one.train(x, y))
        kept.append((two.train(x, y), two.outputs))
        copies.append([each.clone() for each in kept[-1]])
        assert float(kept[-1][0]) == pytest.approx(own, rel=1e-2)  # a card multiplies in TF32
    assert two.compiled, two.notes
    for given, wanted in zip(kept, copies, strict=True):
        for each, copy in zip(given, wanted, strict=True):
            assert torch.equal(each, copy)  # still what it was after the steps that followed


def test_fit_on_a_card_follows_a_schedule():
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 20)
    model, (x, y) = network(optimizer=keras.optimizers.SGD(schedule)), batch(64)
    history = saccade.fit(model, x, y, batch_size=16, epochs=5, verbose=0).history
    assert model.trainable_variables[0].value.device.type == "cuda"
    assert history["loss"][-1] < history["loss"][0]
    assert int(model.optimizer.iterations.value) == 20
