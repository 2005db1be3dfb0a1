"""The loss of a user's model as Keras reads it, its labels, and what is refused in words."""

from __future__ import annotations

import numpy as np
import pytest

from saccade.errors import SettingsError
from saccade.models.backend import load_keras
from saccade.models.labels import check_class_outputs, check_label_outputs
from saccade.models.losses import compiled_losses, label_form, loss_name, the_loss

keras = load_keras()
K, L = keras.losses, keras.layers


def classifier(loss, *, outputs=3, **options):
    inputs = keras.Input((4,))
    ends = "sigmoid" if outputs == 1 else "softmax"
    model = keras.Model(inputs, L.Dense(outputs, activation=ends, name="answer")(inputs))
    model.compile("sgd", loss, **options)
    return model


def of_numbers(y, outputs):
    return K.sparse_categorical_crossentropy(y, outputs)


def of_rows(y, outputs):
    return keras.ops.sum(keras.ops.square(y - outputs), axis=-1)


class OfRows(K.Loss):
    def call(self, y, outputs):
        return of_rows(y, outputs)


@pytest.mark.parametrize(
    ("loss", "form"),
    [
        ("sparse_categorical_crossentropy", "numbers"),
        ("crossentropy", "numbers"),  # Keras goes by the labels, and these are what we have
        ("categorical_crossentropy", "one-hot"),
        (K.CategoricalCrossentropy(name="mine"), "one-hot"),
        (K.CategoricalFocalCrossentropy(), "one-hot"),
        ("mse", "one-hot"),
        (K.CategoricalHinge(), "one-hot"),
        (K.KLDivergence(), "one-hot"),
        (["poisson"], "one-hot"),
        ({"answer": K.SparseCategoricalCrossentropy()}, "numbers"),
        (of_numbers, "numbers"),
        (of_rows, "one-hot"),
        (lambda y, outputs: of_rows(y, outputs), "one-hot"),
        (OfRows(), "one-hot"),
    ],
)
@pytest.mark.parametrize("outputs", [2, 3])
def test_labels_that_a_loss_takes(loss, form, outputs):
    model = classifier(loss, outputs=outputs)
    check_class_outputs(model, "own", num_classes=outputs)
    assert label_form(the_loss(model, "own"), num_outputs=outputs) == form


@pytest.mark.parametrize(
    "loss", ["mse", ["binary_crossentropy"], K.BinaryFocalCrossentropy(), of_rows]
)
def test_one_output_takes_zeros_and_ones(loss):
    check_class_outputs(classifier(loss, outputs=1), "own", num_classes=2)


@pytest.mark.parametrize(
    ("loss", "outputs", "why"),
    [
        (None, 3, "compiled with no loss; give one, such as"),
        (["mse", "mae"], 3, "2 losses for its one output; give one"),
        ("nonsense", 3, "does not take .Could not interpret loss identifier: nonsense.; give one"),
        ({"other": "mse"}, 3, "does not take .*Expected keys .'answer'."),
        ([], 3, "compiled with no loss"),
        (["binary_crossentropy"], 3, "binary_crossentropy over 3 outputs, which asks yes or no"),
        (
            K.CTC(),
            3,
            "'ctc' does not take class numbers or one-hot rows for 3 outputs .*; use sparse",
        ),
        (K.CategoricalCrossentropy(reduction=None), 3, "reduction=None, a number a picture"),
        (
            "categorical_crossentropy",
            1,
            "over one output, which is 0 for every picture; use binary",
        ),
        (of_numbers, 1, "'of_numbers' does not take labels of 0 and 1 for 1 output .*; use binary"),
    ],
)
def test_loss_that_trains_nothing_is_refused_in_one_line(loss, outputs, why):
    with pytest.raises(SettingsError, match=f"^own .*{why}") as refused:
        check_class_outputs(classifier(loss, outputs=outputs), "own", num_classes=max(outputs, 2))
    assert "\n" not in str(refused.value)


def test_dictionary_of_a_model_without_names_is_refused():
    model = keras.Sequential([keras.Input((4,)), L.Dense(3, name="answer")])
    model.compile("sgd", {"answer": "mse"})
    with pytest.raises(TypeError):  # of Keras itself
        model.train_on_batch(np.ones((2, 4)), np.ones((2, 3)))
    with pytest.raises(SettingsError, match="a Sequential model's output has no name"):
        check_class_outputs(model, "own", num_classes=3)


def test_weight_of_a_loss_is_read():
    ((loss, weight),) = compiled_losses(classifier(["mse"], loss_weights=[0.25]))
    assert (loss_name(loss), weight) == ("mean_squared_error", 0.25)


@pytest.mark.parametrize("loss", [["binary_crossentropy"], K.BinaryCrossentropy(name="mine")])
def test_labels_by_themselves_may_have_their_loss_in_a_list_or_called_otherwise(loss):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, L.Dense(3, activation="sigmoid")(inputs))
    model.compile("sgd", loss)
    check_label_outputs(model, "own", num_labels=3)
