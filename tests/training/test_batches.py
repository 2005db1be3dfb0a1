"""Batches from memory, from the device and through a thread: the same pictures, in one order."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.training.test_loop import FACTS, digits, equal, weights_of

from saccade.augmentation import Augmentation
from saccade.models import build_model
from saccade.models.backend import set_seed
from saccade.progress import Silence
from saccade.training.batches import Batches, InMemory, Resident, Streamed, source_of
from saccade.training.device import ahead, fits, kept_on
from saccade.training.examples import Examples
from saccade.training.examples import Streamed as StreamedExamples
from saccade.training.examples import source_of as source_of_examples
from saccade.training.loop import _Loop
from saccade.training.plan import derive_plan
from saccade.training.result import Hooks, Pictures

CPU = torch.device("cpu")
EVERY = Augmentation(shift=0.2, rotate=20, light=0.3, erase=0.3, mixup=0.4, cutmix=1.0)


def mapped(folder):
    """Pictures of which a few rows, out of order, are wanted; they lie in a file."""
    pixels = np.random.default_rng(0).integers(0, 256, (50, 9, 7, 3)).astype(np.uint8)
    np.save(folder / "pixels.npy", pixels)
    rows = np.random.default_rng(1).permutation(50)[:40]
    return Pictures(np.load(folder / "pixels.npy", mmap_mode="r"), rows, np.arange(40) % 5)


def elsewhere(pictures):
    return [Resident(pictures, CPU), Streamed(pictures, CPU)]


def test_every_source_shows_the_same(tmp_path):
    pictures = mapped(tmp_path)
    groups = np.random.default_rng(2).permutation(40)[:36].reshape(4, 9)

    def shown(source):
        batches = Batches(pictures, source, EVERY, 5).shown(groups, np.random.default_rng(3))
        return [(np.asarray(pixels), labels) for pixels, labels in batches]

    wanted = shown(InMemory(pictures))
    assert len(wanted) == 4
    for source in elsewhere(pictures):
        for (pixels, labels), (own, shares) in zip(shown(source), wanted, strict=True):
            assert np.array_equal(pixels, own)
            assert np.array_equal(labels, shares)
        in_order = np.concatenate([np.asarray(batch) for batch in source.in_order()])
        assert np.array_equal(in_order, pictures.pixels[pictures.rows])


def test_what_fills_a_quarter_of_a_card_stays_there(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (4_000, 80_000))
    card, pictures = torch.device("cuda", 0), mapped(tmp_path)
    assert (fits(1_000, card), fits(1_001, card), fits(1, CPU)) == (True, False, False)
    data = Examples.of(pictures.pixels[:40], pictures.labels)
    assert isinstance(source_of(pictures, card), Streamed)
    assert isinstance(source_of_examples(data, card), StreamedExamples)
    for device in (CPU, torch.device("mps")):
        assert isinstance(source_of(pictures, device), InMemory)
        assert source_of_examples(data, device) is data


def test_large_data_is_brought_in_parts(monkeypatch, tmp_path):
    monkeypatch.setattr("saccade.training.device._BYTES_AT_ONCE", 7 * 9 * 7 * 3)  # 7 pictures
    pictures = mapped(tmp_path)
    kept = kept_on(pictures.pixels, pictures.rows, CPU)
    assert np.array_equal(kept.numpy(), pictures.pixels[pictures.rows])


@pytest.mark.parametrize("place", [Resident, Streamed])
def test_training_elsewhere_ends_with_the_same_weights(place):
    """The processor stands for a card: its tensors, batches and scoring, to the last bit."""
    plan = derive_plan(replace(FACTS, epochs=2), augmentation=EVERY)

    def trained(move):
        set_seed(5)
        model = build_model("auto", input_shape=(8, 8, 1), num_classes=10, design=plan.design)
        train, validation = digits()
        parts = {"train": train, "validation": validation, "plan": plan, "hooks": Hooks()}
        progress = Silence()
        with progress.stage("train", total=100) as stage:
            loop = _Loop(model, **parts, stage=stage, progress=progress)
            if move:
                scored = [(part, place(part, CPU)) for part in (loop.sample, loop.validation)]
                loop.learner._scored = scored
                loop.batches = Batches(train, place(train, CPU), loop.plan.augmentation, 10)
            result = loop.run(None)
        return weights_of(model), result.history

    (weights, history), (own, own_history) = trained(True), trained(False)
    assert equal(weights, own)
    assert history == own_history


def test_thread_keeps_two_ahead_and_no_more():
    made = []

    def items():
        for number in range(8):
            made.append(number)
            yield number

    batches = ahead(items())
    assert next(batches) == 0
    batches.close()  # waits for what it has begun
    assert len(made) <= 3
    assert list(ahead(range(20))) == list(range(20))


def test_error_in_the_thread_is_raised_where_batches_are_used():
    def items():
        yield 1
        raise OSError("the disk is gone")

    batches = ahead(items())
    assert next(batches) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches)


def test_epoch_cut_short_leaves_no_thread(tmp_path):
    pictures, before = mapped(tmp_path), threading.active_count()
    groups = np.arange(40).reshape(8, 5)
    source = Streamed(pictures, CPU)
    shown = Batches(pictures, source, EVERY, 5).shown(groups, np.random.default_rng(0))
    next(shown)
    assert threading.active_count() == before + 1
    shown.close()
    assert threading.active_count() == before
