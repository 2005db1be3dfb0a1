"""Training as a journey does it, on real digits: learns, repeats, resumes, ends in time."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from sklearn.datasets import load_digits

from saccade.augmentation import Augmentation
from saccade.errors import DataError
from saccade.models import build_model, load_keras
from saccade.progress import Silence
from saccade.training.course import Course
from saccade.training.keras_loop import KerasLoop
from saccade.training.learner import Learner
from saccade.training.loop import train_network
from saccade.training.plan import Facts, derive_plan
from saccade.training.result import Pictures, never

keras = load_keras()

FACTS = Facts(
    width_px=8,
    height_px=8,
    same_size=True,
    channels=1,
    num_classes=10,
    num_train=400,
    budget_s=None,
    epochs=4,
)


def digits():
    """400 digits to train on and 200 to validate, rows of one array, as from the cache."""
    data = load_digits()
    pixels = np.rint(data.images * 255 / 16).astype(np.uint8)[..., None]
    rows = np.random.default_rng(0).permutation(len(pixels))[:600]
    return [Pictures(pixels, part, data.target[part]) for part in (rows[:400], rows[400:])]


def train(plan, *, model=None, folder=None, should_stop=never, parts=None):
    keras.utils.set_random_seed(5)  # the weights at the start
    if model is None:
        model = build_model("auto", input_shape=(8, 8, 1), num_classes=10, design=plan.design)
    train_part, validation = parts or digits()
    result = train_network(
        model,
        train=train_part,
        validation=validation,
        plan=plan,
        checkpoint_dir=folder,
        progress=Silence(),
        should_stop=should_stop,
    )
    return model, result


def weights_of(model):
    return [np.array(weights) for weights in model.get_weights()]


def equal(some, others):
    return all(np.array_equal(a, b) for a, b in zip(some, others, strict=True))


def accuracy_of(model, pictures):
    """The witness: plain Keras predicts, and counts by hand."""
    outputs = model.predict(pictures.pixels[pictures.rows].astype(np.float32), verbose=0)
    return float((outputs.argmax(axis=1) == pictures.labels).mean())


def test_auto_learns_digits():
    model, result = train(derive_plan(replace(FACTS, epochs=8)))
    _, validation = digits()
    best = result.history["val_accuracy"][result.best_epoch - 1]
    assert best > 0.9
    assert accuracy_of(model, validation) == pytest.approx(best, abs=0.006)  # one picture of 200
    assert result.num_epochs == 8
    assert {len(values) for values in result.history.values()} == {8}


def test_model_has_the_weights_of_the_best_epoch():
    """After the third epoch all kernels are 0, from which no gradient leads away."""
    model = build_model("t3", input_shape=(8, 8, 1), num_classes=10)
    model.compile(optimizer=keras.optimizers.SGD(1e-2), loss="sparse_categorical_crossentropy")

    asked = count(1)

    def wipe_out():
        if next(asked) == 3 * 26:  # after each of an epoch's 25 batches, and after the epoch
            for layer in model.layers[2:]:
                layer.kernel.assign(layer.kernel * 0)
        return False

    plan = derive_plan(replace(FACTS, epochs=6), model="t3")
    _, result = train(plan, model=model, should_stop=wipe_out)
    _, validation = digits()
    losses = result.history["val_calibrated_loss"]
    assert result.best_epoch == 1 + losses.index(min(losses)) == 3
    best = result.history["val_accuracy"][result.best_epoch - 1]
    assert accuracy_of(model, validation) == pytest.approx(best, abs=0.006)


def test_measuring_leaves_no_trace():
    """The optimizer has counted the 4 epochs of 25 batches, and not the steps of the warm-up."""
    model = build_model("t6-batchnorm", input_shape=(8, 8, 1), num_classes=10)
    train(derive_plan(FACTS, model="t6-batchnorm"), model=model)
    assert int(model.optimizer.iterations) == 4 * 25


def test_same_seed_same_weights():
    plan = derive_plan(FACTS)
    one, two = train(plan)[0], train(plan)[0]
    other, _ = train(replace(plan, seed=1))
    assert equal(weights_of(one), weights_of(two))
    assert not equal(weights_of(one), weights_of(other))


EVERY_CHANGE = Augmentation(
    rotate=10, shift=0.1, shear=0.1, zoom=0.1, flip=True, light=0.1, erase=0.2, mixup=0.4, cutmix=1
)


@pytest.mark.parametrize("augmentation", [None, EVERY_CHANGE])
@pytest.mark.parametrize("stop_in_the_middle", [False, True])
def test_resumed_run_equals_an_uninterrupted_one(tmp_path, stop_in_the_middle, augmentation):
    plan = derive_plan(FACTS, augmentation=augmentation)
    whole, expected = train(plan)
    steps = iter(range(10**6))
    after = 30 if stop_in_the_middle else 25  # steps; 25 are an epoch of batches of 16
    _, stopped = train(plan, folder=tmp_path, should_stop=lambda: next(steps) >= after)
    assert stopped.stopped
    assert stopped.num_epochs < 4
    model, result = train(plan, folder=tmp_path)
    assert not result.stopped
    assert result.history == expected.history
    assert equal(weights_of(model), weights_of(whole))


def test_going_on_by_other_arithmetic_is_noted(tmp_path, monkeypatch):
    plan = derive_plan(FACTS)
    steps = iter(range(10**6))
    monkeypatch.setenv("SACCADE_PRECISION", "float32")
    train(plan, folder=tmp_path, should_stop=lambda: next(steps) >= 25)
    monkeypatch.setenv("SACCADE_PRECISION", "bf16")
    _, result = train(plan, folder=tmp_path)
    (note,) = (note for note in result.notes if "went on by" in note)
    by, after = re.fullmatch("went on by (.+), after (.+): close to .+", note).groups()
    assert (by[:4], after[:7]) == ("bf16", "float32")
    assert by[4:] == after[7:]  # kernels, threads and PyTorch's version


def test_finished_run_is_not_trained_again(tmp_path):
    plan = derive_plan(FACTS)
    model, first = train(plan, folder=tmp_path)
    again, second = train(plan, folder=tmp_path)
    assert second.history == first.history
    assert equal(weights_of(model), weights_of(again))


def test_budget_is_kept():
    facts = replace(FACTS, epochs=None, budget_s=4.0)
    # So low a rate improves to the end: else training may rightly end once nothing does.
    plan = replace(derive_plan(facts), max_epochs=10**6, patience=10**6, learning_rate=1e-4)
    began = time.monotonic()
    _, result = train(plan)
    assert 3.0 < time.monotonic() - began < 7.0  # generous: the machine may be busy
    assert result.num_epochs >= 1
    assert not result.stopped
    assert not result.ended_early
    assert result.notes == ()


def test_training_stops_when_nothing_improves():
    plan = replace(derive_plan(replace(FACTS, epochs=60), model="t3"), patience=3)
    parts = digits()
    parts[1] = replace_labels(parts[1])  # nothing can be learnt about these
    _, result = train(
        plan, model=build_model("t3", input_shape=(8, 8, 1), num_classes=10), parts=parts
    )
    assert result.num_epochs < 30
    assert "stopped early" in result.notes[-1]
    assert result.ended_early


def replace_labels(pictures):
    labels = np.random.default_rng(0).integers(0, 10, len(pictures.labels))
    return Pictures(pictures.pixels, pictures.rows, labels)


def test_loss_that_is_not_a_number_is_undone():
    """A rate of 10^8 overflows at once; halved often enough is not to be had, so it gives up."""
    plan = replace(derive_plan(FACTS), learning_rate=1e30)
    with pytest.raises(DataError, match="not a number in epoch 1, even at 0.125 of the learning"):
        train(plan)


def test_budget_that_ends_without_a_number_is_no_result():
    """The clock allows one step, whose loss is a number still; what it leaves is none."""
    plan = derive_plan(replace(FACTS, epochs=None, budget_s=0.01))
    with pytest.raises(DataError, match="not a number in any epoch that the time allowed"):
        train(replace(plan, learning_rate=1e30))


@pytest.mark.parametrize("when", [40, 50])  # in the midst of the epoch; after its last step
def test_recovers_from_one_loss_that_is_not_a_number(when):
    """A weight turns to NaN once, in the second epoch; the run goes on from the first."""
    spoiled = []

    def spoil():
        steps = int(counted[0])
        counted[0] += 1
        if steps == when and not spoiled:
            model.layers[-1].bias.assign(np.full(10, np.nan, np.float32))
            spoiled.append(steps)
        return False

    counted = [0]
    plan = derive_plan(FACTS)
    model = build_model("auto", input_shape=(8, 8, 1), num_classes=10, design=plan.design)
    _, result = train(plan, model=model, should_stop=spoil)
    assert spoiled
    assert result.num_epochs == 4
    assert np.isfinite(result.history["loss"]).all()
    assert any("retried at 0.5 of the learning rate" in note for note in result.notes)


@pytest.mark.parametrize("name", ["t3", "t6", "t6-dropout", "t6-batchnorm"])
def test_tutorials_train_as_they_are(name):
    model = build_model(name, input_shape=(8, 8, 1), num_classes=10)
    _, result = train(derive_plan(FACTS, model=name), model=model)
    assert result.history["val_loss"][-1] < np.log(10)  # better than guessing


def test_one_sigmoid_learns_two_classes():
    parts = [Pictures(p.pixels, p.rows, (p.labels > 4).astype(int)) for p in digits()]
    stack = [
        keras.Input((8, 8, 1)),
        keras.layers.Rescaling(1 / 255),
        keras.layers.Flatten(),
        keras.layers.Dense(32, activation="relu"),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
    model = keras.Sequential(stack)
    model.compile(optimizer="rmsprop", loss="binary_crossentropy")
    _, result = train(derive_plan(replace(FACTS, epochs=12), model="t7"), model=model, parts=parts)
    assert result.history["val_accuracy"][-1] > 0.75


def test_model_not_compiled_gets_our_recipe():
    stack = [keras.Input((8, 8, 1)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    model = keras.Sequential([*stack, keras.layers.Dense(10, activation="softmax")])
    _, result = train(derive_plan(replace(FACTS, epochs=10), model="f:g"), model=model)
    assert result.history["val_accuracy"][-1] > 0.8


def test_fewer_pictures_than_a_batch():
    parts = [Pictures(p.pixels, p.rows[:5], p.labels[:5]) for p in digits()]
    _, result = train(derive_plan(replace(FACTS, num_train=5, epochs=2)), parts=parts)
    assert result.num_epochs == 2


def test_no_pictures_to_validate_on():
    parts = digits()
    parts[1] = Pictures(parts[1].pixels, parts[1].rows[:0], parts[1].labels[:0])
    with pytest.raises(DataError, match="at least one picture"):
        train(derive_plan(FACTS), parts=parts)


def test_labels_that_do_not_belong_to_the_rows():
    parts = digits()
    parts[0] = Pictures(parts[0].pixels, parts[0].rows, parts[0].labels[:-1])
    with pytest.raises(ValueError, match="400 rows have 399 labels"):
        train(derive_plan(FACTS), parts=parts)


def test_own_model_sees_changed_pictures_where_that_is_asked(monkeypatch):
    """Black pictures erased by noise are black no more; validation pictures stay as they are."""
    parts = [Pictures(np.zeros_like(part.pixels), *part[1:]) for part in digits()]
    plan = derive_plan(replace(FACTS, epochs=1), model="t3", augmentation=Augmentation(erase=0.5))
    seen = {"train": [], "outputs": []}
    for name in seen:
        method = getattr(Learner, "_outputs" if name == "outputs" else name)

        def watched(self, pixels, *rest, name=name, method=method):
            seen[name].append(int(pixels.max()))
            return method(self, pixels, *rest)

        monkeypatch.setattr(Learner, method.__name__, watched)
    model = build_model("t3", input_shape=(8, 8, 1), num_classes=10)
    _, result = train(plan, model=model, parts=parts)
    assert max(seen["train"]) > 200
    assert max(seen["outputs"]) == 0
    assert result.augmentation == Augmentation(erase=0.5)


def test_mixed_labels_need_a_loss_that_takes_them():
    plan = derive_plan(FACTS, model="t3", augmentation=Augmentation(mixup=1))
    model = build_model("t3", input_shape=(8, 8, 1), num_classes=10)
    with pytest.raises(ValueError, match="mixed labels need a loss over one-hot labels"):
        train(plan, model=model)


def course_of(plan, stage):
    train, validation = digits()
    parts = {"train": train, "validation": validation, "plan": plan, "stage": stage}
    return Course(**parts, checkpoint_dir=None, should_stop=never)


def train_by_keras(plan, *, model):
    with Silence().stage("train", total=100) as stage:
        return model, KerasLoop(model, course_of(plan, stage)).run()


def test_keras_trains_on_mixed_labels_too():
    plan = derive_plan(replace(FACTS, epochs=2), augmentation=Augmentation(mixup=0.4))
    model = build_model("auto", input_shape=(8, 8, 1), num_classes=10, design=plan.design)
    _, result = train_by_keras(plan, model=model)
    assert result.history["val_accuracy"][-1] > 0.3


def two_layers():
    keras.utils.set_random_seed(5)
    L = keras.layers
    layers = [L.Rescaling(1 / 255), L.Flatten(), L.Dense(16, "relu"), L.Dense(10)]
    return keras.Sequential([keras.Input((8, 8, 1)), *layers])


@pytest.mark.parametrize("fit", [train, train_by_keras])
def test_lowest_layer_has_its_share_of_the_rate(fit):
    """A millionth of it, and over 100 steps of at most 10 rates each that cannot be seen."""
    plan = replace(derive_plan(FACTS), design=None, learning_rate=1e-2, lowest_share=1e-6)
    before = weights_of(two_layers())
    model, _ = fit(plan, model=two_layers())
    kernel, _, head, _ = (abs(a - b).max() for a, b in zip(weights_of(model), before, strict=True))
    assert 0 < kernel < 1e-5
    assert head > 0.1


def test_resumed_run_keeps_the_rates_of_its_layers(tmp_path):
    plan = replace(derive_plan(FACTS), design=None, learning_rate=1e-2, lowest_share=0.25)
    whole, _ = train(plan, model=two_layers())
    steps = iter(range(10**6))
    halfway = {"folder": tmp_path, "should_stop": lambda: next(steps) >= 30}
    _, stopped = train(plan, model=two_layers(), **halfway)
    model, _ = train(plan, model=two_layers(), folder=tmp_path)
    assert stopped.stopped
    assert equal(weights_of(model), weights_of(whole))


def one_layer(optimizer):
    keras.utils.set_random_seed(5)
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(10)]
    model = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


@pytest.mark.parametrize("fit", [train, train_by_keras])
def test_own_optimizer_s_schedule_is_followed(fit):
    """It is 0 from the sixth step on, so a second epoch, of 25 steps, changes nothing."""
    weights = []
    for epochs in (1, 2):
        rate = keras.optimizers.schedules.PiecewiseConstantDecay([5], [0.1, 0.0])
        plan = derive_plan(replace(FACTS, epochs=epochs), model="f:g")
        model, result = fit(plan, model=one_layer(keras.optimizers.SGD(rate)))
        assert (result.num_epochs, int(model.optimizer.iterations)) == (epochs, 25 * epochs)
        weights.append(weights_of(model))
    assert equal(*weights)
    assert not equal(weights[0], weights_of(one_layer("sgd")))


@pytest.mark.parametrize("fit", [train, train_by_keras])
def test_loss_that_is_no_number_at_an_own_schedule_is_told_at_once(fit):
    rate = keras.optimizers.schedules.PiecewiseConstantDecay([5], [3e38, 3e38])
    with pytest.raises(DataError, match="epoch 1, and the optimizer's own schedule"):
        fit(derive_plan(FACTS, model="f:g"), model=one_layer(keras.optimizers.SGD(rate)))


@pytest.mark.parametrize("fit", [train, train_by_keras])
def test_own_optimizer_that_wraps_others_trains(fit):
    O = keras.optimizers  # noqa: E741
    wrapped = [O.LossScaleOptimizer(O.Adam(0.01))]
    if hasattr(O, "MultiOptimizer"):
        wrapped.append(O.MultiOptimizer(O.OptimizerMap(O.Adam(0.01), {".*bias": O.SGD(0.1)})))
    for optimizer in wrapped:
        _, result = fit(derive_plan(FACTS, model="f:g"), model=one_layer(optimizer))
        assert result.history["val_accuracy"][-1] > 0.5


def test_model_that_our_engine_cannot_run_is_trained_by_keras():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.flat, self.dense = keras.layers.Flatten(), keras.layers.Dense(10)

        def call(self, inputs):
            return self.dense(self.flat(inputs))

    inputs = keras.Input((8, 8, 1))
    scaled = keras.layers.Rescaling(1 / 255)(inputs)
    model = keras.Model(inputs, Own()(scaled))
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    _, result = train(derive_plan(FACTS, model="f:g"), model=model)
    assert result.num_epochs == 4
