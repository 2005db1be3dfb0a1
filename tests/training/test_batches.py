"""Batches from memory, from the device and through a thread: the same pictures, in one order."""

from __future__ import annotations

import threading
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.training.test_loop import FACTS, course_of, equal, weights_of

from saccade.augmentation import Augmentation
from saccade.models import build_model
from saccade.models.backend import load_keras, set_seed
from saccade.progress import Silence
from saccade.training.batches import Batches, InMemory, Resident, Streamed, sources_of
from saccade.training.device import ahead, kept_on, staying
from saccade.training.examples import Examples
from saccade.training.examples import Streamed as StreamedExamples
from saccade.training.examples import sources_of as sources_of_examples
from saccade.training.loop import Loop
from saccade.training.plan import derive_plan
from saccade.training.result import Pictures
from saccade.training.session import Session
from saccade.training.step import TrainingStep

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


def card_of(monkeypatch, free, reserved=0, used=0):
    """A card of which PyTorch says that so many bytes are free, or set aside by it and used."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 80_000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: reserved)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: used)
    return torch.device("cuda", 0)


def test_what_fills_a_quarter_of_a_card_stays_there(monkeypatch, tmp_path):
    card, pictures = card_of(monkeypatch, free=4_000), mapped(tmp_path)
    assert staying([1_000], card) == [True]
    assert staying([1_001], card) == staying([1], CPU) == [False]
    data = Examples.of(pictures.pixels[:40], pictures.labels)
    assert isinstance(sources_of([pictures], card)[0], Streamed)
    assert isinstance(sources_of_examples([data], card)[0], StreamedExamples)
    for device in (CPU, torch.device("mps")):
        assert isinstance(sources_of([pictures], device)[0], InMemory)
        assert sources_of_examples([data], device)[0] is data


def test_all_that_stays_on_a_card_fills_a_quarter_together(monkeypatch):
    card = card_of(monkeypatch, free=4_000)
    assert staying([600, 400, 1], card) == [True, True, False]
    assert staying([1_001, 600, 401, 400], card) == [False, True, False, True]


def test_memory_that_pytorch_keeps_back_counts_as_free(monkeypatch):
    card = card_of(monkeypatch, free=1_000, reserved=5_000, used=2_000)
    assert staying([1_000], card) == [True]
    assert staying([1_001], card) == [False]


def test_step_done_with_gives_its_memory_back_first(monkeypatch):
    """A step refers to itself, so it goes only when Python looks for such."""
    model = build_model("t3", input_shape=(4, 4, 1), num_classes=3)
    gone = weakref.ref(TrainingStep(model))
    assert gone() is not None
    staying([1], card_of(monkeypatch, free=4_000))
    assert gone() is None


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
        progress = Silence()
        with progress.stage("train", total=100) as stage:
            loop = Loop(model, course_of(plan, stage), progress)
            if move:
                sets = (loop.course.train, loop.course.sample, loop.course.validation)
                loop.learner.sources = [place(part, CPU) for part in sets]
                source = loop.learner.sources[0]
                loop.batches = Batches(loop.course.train, source, loop.course.plan.augmentation, 10)
            result = loop.run()
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


class Broken(Exception):
    """What goes wrong where batches are used."""


def breaks(*_, **__):
    raise Broken


class Breaks(load_keras().callbacks.Callback):
    """Goes wrong at the end of a batch: trained on, or scored."""

    def __init__(self, scored):
        super().__init__()
        setattr(self, "on_test_batch_end" if scored else "on_train_batch_end", breaks)


@pytest.mark.parametrize("scored", [False, True])
def test_error_in_fit_leaves_no_thread(scored):
    """Whoever keeps the error keeps its frames, and their names; batches must have none."""
    random = np.random.default_rng(0)
    x, y = random.random((40, 4, 4, 1), np.float32), np.arange(40) % 3
    model = build_model("t3", input_shape=(4, 4, 1), num_classes=3)
    model.compile("sgd", "sparse_categorical_crossentropy")
    asked = {"batch_size": 4, "epochs": 1, "initial_epoch": 0, "verbose": 0, "shuffle": True}
    asked |= {"x": x, "y": y, "validation_data": (x, y), "validation_split": 0.0}
    asked |= {"validation_freq": 1, "validation_batch_size": 4, "callbacks": [Breaks(scored)]}
    nothing = ("sample_weight", "class_weight", "steps_per_epoch", "validation_steps")
    session = Session(model, dict.fromkeys(nothing) | asked)
    session._train, session._validation = (
        StreamedExamples(Examples.of(x, y), CPU) for _ in range(2)
    )
    before = threading.active_count()
    with pytest.raises(Broken) as kept:
        session.run()
    assert threading.active_count() == before, kept


@pytest.mark.parametrize("scored", [False, True])
def test_error_in_the_journey_leaves_no_thread(scored, monkeypatch):
    plan = derive_plan(replace(FACTS, epochs=1), model="t3")
    model = build_model("t3", input_shape=(8, 8, 1), num_classes=10)
    progress = Silence()
    with progress.stage("train", total=100) as stage:
        loop = Loop(model, course_of(plan, stage), progress)
        loop.learner.sources = [Streamed(each, CPU) for each in loop.learner._shown]
        loop.batches = Batches(
            loop.course.train, loop.learner.sources[0], loop.course.plan.augmentation, 10
        )
        before = threading.active_count()
        if scored:
            monkeypatch.setattr(loop.learner.step, "infer", breaks)
            run = lambda: loop.learner.outputs(loop.course.validation)  # noqa: E731
        else:
            monkeypatch.setattr(loop.learner.step, "train", breaks)
            run = lambda: loop.run_epoch(None)  # noqa: E731
        with pytest.raises(Broken) as kept:
            run()
        assert threading.active_count() == before, kept
