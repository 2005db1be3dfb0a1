"""A journey trains a model on the loss it was compiled with: Keras's own step is the witness."""

from __future__ import annotations

import numpy as np
import pytest

from saccade.models.backend import load_keras
from saccade.progress import Silence
from saccade.training.course import Course
from saccade.training.keras_loop import KerasLoop
from saccade.training.loop import train_network
from saccade.training.plan import Facts, derive_plan
from saccade.training.result import Pictures, never

keras = load_keras()
K, L = keras.losses, keras.layers
X = np.random.default_rng(3).integers(0, 256, (12, 4, 4, 1), dtype=np.uint8)
Y = np.arange(12) % 3
ONE_HOT = np.eye(3, dtype=np.float32)[Y]
PARTS = {"train": Pictures(X, np.arange(12), Y), "validation": Pictures(X, np.arange(12), Y)}
FACTS = Facts(
    width_px=4,
    height_px=4,
    same_size=True,
    channels=1,
    num_classes=3,
    num_train=12,
    budget_s=None,
    epochs=1,
)


def of_numbers(y, outputs):
    rows = keras.ops.one_hot(y, 3)
    return -keras.ops.sum(rows * keras.ops.log(outputs), axis=-1)


def of_rows(y, outputs):
    return keras.ops.sum(keras.ops.square(y - outputs), axis=-1)


def compiled(loss, **options):
    keras.utils.set_random_seed(5)
    inputs = keras.Input((4, 4, 1))
    maps = L.Flatten()(L.Rescaling(1 / 255)(inputs))
    model = keras.Model(inputs, L.Dense(3, activation="softmax", name="answer")(maps))
    model.compile(keras.optimizers.SGD(0.5), loss, **options)
    return model


def by_engine(model):
    train_network(
        model,
        **PARTS,
        plan=derive_plan(FACTS, model="f:g"),
        checkpoint_dir=None,
        progress=Silence(),
    )


def by_keras(model):
    plan = derive_plan(FACTS, model="f:g")
    with Silence().stage("train", total=100) as stage:
        course = Course(**PARTS, plan=plan, checkpoint_dir=None, should_stop=never, stage=stage)
        KerasLoop(model, course).run()


@pytest.mark.parametrize("train", [by_engine, by_keras])
@pytest.mark.parametrize(
    ("loss", "labels"),
    [
        ("mse", ONE_HOT),
        ("mae", ONE_HOT),
        (K.CategoricalFocalCrossentropy(), ONE_HOT),
        (K.CategoricalHinge(), ONE_HOT),
        (K.KLDivergence(), ONE_HOT),
        (K.Poisson(), ONE_HOT),
        (K.CategoricalCrossentropy(name="mine"), ONE_HOT),
        (["categorical_crossentropy"], ONE_HOT),
        ({"answer": K.SparseCategoricalCrossentropy()}, Y),
        ("crossentropy", Y),
        (of_numbers, Y),
        (of_rows, ONE_HOT),
    ],
)
def test_step_is_that_of_keras(loss, labels, train):
    """One epoch of one batch, from the same weights."""
    ours, theirs = compiled(loss), compiled(loss)
    before = theirs.get_weights()
    train(ours)
    theirs.train_on_batch(X.astype(np.float32), labels)
    for mine, true, first in zip(ours.get_weights(), theirs.get_weights(), before, strict=True):
        assert np.allclose(mine, true, atol=1e-6)  # float32, and sums in another order
        assert np.abs(true - first).max() > 1e-4


def test_weight_of_the_loss_counts():
    weights = []
    for loss, rate in (("mse", 0.5), (["mse"], 1.0)):
        model = compiled(loss, **({} if rate == 0.5 else {"loss_weights": [0.5]}))
        model.optimizer.learning_rate = rate
        by_engine(model)
        weights.append(model.get_weights())
    for some, others in zip(*weights, strict=True):
        assert np.allclose(some, others, atol=1e-6)
