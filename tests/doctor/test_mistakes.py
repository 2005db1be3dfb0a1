"""Each mistake is found by its name, and its cure, taken at its word, makes the finding vanish."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import saccade
from saccade.doctor import Case, DataFacts, FitCall, examine
from saccade.finding import Finding
from saccade.models.backend import load_keras

keras = load_keras()
L = keras.layers
FIT = {
    "batch_size": None,
    "epochs": 1,
    "initial_epoch": 0,
    "shuffle": True,
    "callbacks": None,
    "validation_data": None,
    "validation_split": 0.0,
}


def pictures(count: int = 60, side: int = 12, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels from 0 to 255 and class numbers in no order."""
    random = np.random.default_rng(1)
    x = random.integers(0, 256, (count, side, side, 3)).astype("float32")
    return x, random.permutation(np.arange(count) % classes)


def network(*layers: Any, loss: Any = "sparse_categorical_crossentropy") -> Any:
    """Return a compiled network that divides its pixels, then does as its layers say."""
    model = keras.Sequential([keras.Input((12, 12, 3)), L.Rescaling(1 / 255), *layers])
    model.compile("adam", loss)
    return model


def convolutional(*last: Any, **options: Any) -> Any:
    return network(L.Conv2D(4, 3, activation="relu"), L.MaxPooling2D(), *last, **options)


def right(outputs: int = 3) -> Any:
    return convolutional(L.Flatten(), L.Dense(outputs, activation="softmax"))


@dataclass
class Patient:
    """A model, its data and how it is trained; `cured` does what a finding says."""

    model: Any
    x: Any
    y: Any
    fit: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, Any] = field(default_factory=dict)  # what the caller of `fit` sees

    def findings(self) -> tuple[Finding, ...]:
        call = FitCall.of(FIT | {"x": self.x, "y": self.y} | self.fit, self.names)
        return examine(Case.of(self.model, data=DataFacts.of(self.x, self.y), call=call))

    def names_found(self) -> list[str]:
        return [finding.name for finding in self.findings()]

    def cured(self, finding: Finding) -> Patient:
        place = re.search(r"# (before|in place of|behind) '([^']+)'", finding.cure)
        scope = {"keras": keras, "np": np, "model": self.model, "x": self.x, "y": self.y}
        if place is not None:
            (layer,) = eval(f"({finding.cure}\n)", scope)
            return self._with(model=self._rebuilt(layer, *place.groups()))
        if re.match(r"\w+=[^=]", finding.cure):
            return self._with(fit={**self.fit, **eval(f"dict({finding.cure})", scope)})
        exec(finding.cure, scope)
        return self._with(x=scope["x"], y=scope["y"])

    def train(self, **options: Any) -> Any:
        return saccade.fit(self.model, self.x, self.y, **{**self.fit, **options})

    def _with(self, **changed: Any) -> Patient:
        return Patient(**{**vars(self), **changed})

    def _rebuilt(self, layer: Any, where: str, name: str) -> Any:
        layers = list(_placed(self.model.layers, layer, where, name))
        model = keras.Sequential([keras.Input(self.model.input_shape[1:]), *layers])
        model.compile("adam", self.model.loss)
        return model


def _placed(layers: Iterable[Any], new: Any, where: str, name: str) -> Iterable[Any]:
    for layer in layers:
        if layer.name == name and where in ("before", "in place of"):
            yield new
        if layer.name != name or where != "in place of":
            yield type(layer).from_config(layer.get_config())
        if layer.name == name and where == "behind":
            yield new


X, Y = pictures()
IMAGENET = {"mean": [0.485, 0.456, 0.406], "variance": [0.229**2, 0.224**2, 0.225**2]}
SORTED = np.sort(Y)
ONE_HOT = np.eye(3, dtype="float32")[Y]
SPARSE = keras.losses.SparseCategoricalCrossentropy
BINARY = keras.losses.BinaryCrossentropy


def deep(activation: str | None) -> Patient:
    layers = [L.Conv2D(4, 3, activation=activation), L.Conv2D(4, 3, activation="relu")]
    return Patient(network(*layers, L.Flatten(), L.Dense(3, activation="softmax")), X, Y)


def deep_normalised(activation: str | None) -> Patient:
    layers = [L.Conv2D(4, 3), L.BatchNormalization(), L.Activation(activation)]
    layers += [L.Conv2D(8, 3), L.BatchNormalization(), L.Activation(activation)]
    pooled = [L.AveragePooling2D(2), L.Flatten(), L.Dense(3, activation="softmax")]
    return Patient(network(*layers, *pooled), X, Y)


def ends_in(activation: str | None, loss: object, outputs: int = 3, y: object = Y) -> Patient:
    last = L.Dense(outputs, activation=activation)
    return Patient(convolutional(L.Flatten(), last, loss=loss), X, y)


def ends_with(*layers: object, outputs: int = 3, y: object = Y, **options: Any) -> Patient:
    """Behind a dense layer without an activation."""
    return Patient(convolutional(L.Flatten(), L.Dense(outputs), *layers, **options), X, y)


def ends_in_dense(*layers: object) -> Patient:
    """Behind layers on a flat row."""
    last = L.Dense(3, activation="softmax")
    return Patient(convolutional(L.Flatten(), *layers, last), X, Y)


def map_ends_with(*layers: object, **options: Any) -> Patient:
    """Behind a map of three channels that a convolution makes."""
    return Patient(convolutional(L.Conv2D(3, 1, name="map"), *layers, **options), X, Y)


def plain(*, divided_by: float = 1.0) -> Patient:
    layers = [keras.Input((12, 12, 3)), L.Conv2D(4, 3, activation="relu")]
    model = keras.Sequential([*layers, L.Flatten(), L.Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return Patient(model, X / divided_by, Y)


def plain_behind(first: object) -> Patient:
    layers = [keras.Input((12, 12, 3)), first, L.Conv2D(4, 3, activation="relu"), L.Flatten()]
    model = keras.Sequential([*layers, L.Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return Patient(model, X, Y)


def divided_in_two_layers() -> Patient:
    layers = [L.Rescaling(1 / 255), L.Conv2D(4, 3, activation="relu"), L.Flatten()]
    return Patient(network(*layers, L.Dense(3, activation="softmax")), X, Y)


def divided_before_imagenets_statistics() -> Patient:
    """As EfficientNetV2 and ConvNeXt begin: each channel has an offset of its own."""
    colours = L.Normalization(mean=[0.485, 0.456, 0.406], variance=[0.052, 0.050, 0.051])
    layers = [L.Rescaling(1 / 255), colours, L.Conv2D(4, 3, activation="relu"), L.Flatten()]
    return Patient(network(*layers, L.Dense(3, activation="softmax")), X, Y)


def normalised_first(*before: object, divided_by: float = 1.0, **statistics: Any) -> Patient:
    """Pixels to which a pretrained network's mean and variance are applied."""
    layers = [keras.Input((12, 12, 3)), *before, L.Normalization(**statistics)]
    layers += [L.Conv2D(4, 3), L.BatchNormalization(), L.ReLU(), L.Flatten()]
    model = keras.Sequential([*layers, L.Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return Patient(model, X / divided_by, Y)


def divided_by_arithmetic() -> Patient:
    inputs = keras.Input((12, 12, 3))
    maps = L.Conv2D(4, 3, activation="relu")(inputs / 255.0)
    model = keras.Model(inputs, L.Dense(3, activation="softmax")(L.Flatten()(maps)))
    model.compile("adam", "sparse_categorical_crossentropy")
    return Patient(model, X / 255, Y)


def normalised(**fit: object) -> Patient:
    return Patient(
        convolutional(L.BatchNormalization(), L.Flatten(), L.Dense(3, activation="softmax")),
        X,
        Y,
        fit,
    )


def fitted(y: object = Y, **fit: object) -> Patient:
    return Patient(right(), X, y, fit)


def with_test_data() -> Patient:
    x_test, y_test = pictures(20)
    x_test = x_test[::-1].copy()
    given = {"validation_data": (x_test, y_test)}
    return Patient(right(), X[20:], Y[20:], given, names={"x_test": x_test})


# The tutorials' mistakes M1 to M6 first, each in the ways in which readers meet it; then their kin.
MISTAKES: dict[str, tuple[str, Callable[[], Patient]]] = {
    "M1 in data and model": ("pixels-divided-twice", lambda: Patient(right(), X / 255, Y)),
    "M1 in the data": ("pixels-divided-twice", lambda: plain(divided_by=255.0**2)),
    "M1 in the model": ("pixels-divided-twice", divided_in_two_layers),
    "M1 by channels": ("pixels-divided-twice", divided_before_imagenets_statistics),
    "M1 by arithmetic": ("pixels-divided-twice", divided_by_arithmetic),
    "M2": ("softmax-taken-as-logits", lambda: ends_in("softmax", SPARSE(from_logits=True))),
    "M2, list": ("softmax-taken-as-logits", lambda: ends_in("softmax", [SPARSE(from_logits=True)])),
    "gelu": (
        "logits-taken-as-probabilities",
        lambda: ends_in("gelu", ["sparse_categorical_crossentropy"]),
    ),
    "M3": ("test-set-as-validation", with_test_data),
    "M3, same": ("validation-seen-in-training", lambda: fitted(validation_data=(X, Y))),
    "M3, equal": (
        "validation-seen-in-training",
        lambda: fitted(validation_data=(X[10:30].copy(), Y[10:30])),
    ),
    "M4": ("softmax-of-one", lambda: ends_in("softmax", "sparse_categorical_crossentropy", 1)),
    "M5": (
        "dense-on-feature-map",
        lambda: Patient(convolutional(L.Dense(8, "relu"), L.Dense(3, "softmax")), X, Y),
    ),
    "M5, by convolution": (
        "map-of-answers",
        lambda: Patient(convolutional(L.Conv2D(3, 1, activation="softmax")), X, Y),
    ),
    "M5, flattened": (
        "dense-on-feature-map",
        lambda: Patient(
            convolutional(
                L.Dense(1, "sigmoid"), L.Flatten(name="last"), loss="binary_crossentropy"
            ),
            X,
            Y % 2,
        ),
    ),
    "M6": ("epochs-unwatched", lambda: fitted(epochs=500, validation_split=0.2)),
    "M6, blind": ("epochs-unwatched", lambda: fitted(epochs=100)),
    "sigmoid": (
        "sigmoid-taken-as-logits",
        lambda: ends_in("sigmoid", BINARY(from_logits=True), 1, Y % 2),
    ),
    "logits": (
        "logits-taken-as-probabilities",
        lambda: ends_in(None, "sparse_categorical_crossentropy"),
    ),
    "relu": (
        "logits-taken-as-probabilities",
        lambda: ends_in("relu", "sparse_categorical_crossentropy"),
    ),
    "sigmoids": (
        "sigmoid-with-categorical-loss",
        lambda: ends_in("sigmoid", "sparse_categorical_crossentropy"),
    ),
    "binary": (
        "binary-loss-over-softmax",
        lambda: ends_in("softmax", "binary_crossentropy", y=ONE_HOT),
    ),
    "one sigmoid": (
        "categorical-loss-of-one-output",
        lambda: ends_in("sigmoid", "sparse_categorical_crossentropy", 1, Y % 2),
    ),
    "one-hot": (
        "one-hot-with-sparse-loss",
        lambda: ends_in("softmax", "sparse_categorical_crossentropy", y=ONE_HOT),
    ),
    "numbers": (
        "numbers-with-categorical-loss",
        lambda: ends_in("softmax", "categorical_crossentropy"),
    ),
    "from 1": ("labels-out-of-range", lambda: Patient(right(), X, Y + 1)),
    "too few outputs": ("labels-out-of-range", lambda: Patient(right(2), X, Y)),
    "minus one and one": (
        "labels-out-of-range",
        lambda: ends_in("sigmoid", "binary_crossentropy", 1, 2 * (Y % 2) - 1),
    ),
    "wide": (
        "classes-and-outputs-differ",
        lambda: ends_in("softmax", "categorical_crossentropy", 4, ONE_HOT),
    ),
    "not scaled": ("pixels-not-scaled", plain),
    "linear": ("no-non-linearity", lambda: deep(None)),
    "linear, normalised": ("no-non-linearity", lambda: deep_normalised(None)),
    "two softmaxes": (
        "softmax-of-softmax",
        lambda: ends_with(L.Softmax(), L.Activation("softmax")),
    ),
    "dense softmax, softmax": (
        "softmax-of-softmax",
        lambda: Patient(
            convolutional(L.Flatten(), L.Dense(3, activation="softmax"), L.Softmax()), X, Y
        ),
    ),
    "convolution's softmax, softmax": (
        "softmax-of-softmax",
        lambda: Patient(
            convolutional(
                L.Conv2D(3, 1, activation="softmax"), L.GlobalAveragePooling2D(), L.Softmax()
            ),
            X,
            Y,
        ),
    ),
    "softmax of sigmoids": (
        "softmax-of-sigmoid",
        lambda: ends_with(L.Activation("sigmoid"), L.Softmax()),
    ),
    "hidden softmax": (
        "softmax-between-layers",
        lambda: ends_in_dense(L.Dense(8, activation="softmax"), L.Dropout(0.2)),
    ),
    "hidden softmax layer": (
        "softmax-between-layers",
        lambda: ends_in_dense(L.Dense(8), L.Softmax()),
    ),
    "two sigmoids": (
        "sigmoid-of-sigmoid",
        lambda: ends_with(
            *[L.Activation("sigmoid") for _ in range(2)],
            outputs=1,
            y=Y % 2,
            loss="binary_crossentropy",
        ),
    ),
    "dropout of shares": (
        "noise-behind-the-answers",
        lambda: ends_with(L.Softmax(), L.Dropout(0.5)),
    ),
    "dropout of logits": (
        "noise-behind-the-answers",
        lambda: ends_with(L.Dropout(0.5), loss=SPARSE(from_logits=True)),
    ),
    "noise before softmax": (
        "noise-behind-the-answers",
        lambda: map_ends_with(L.GlobalAveragePooling2D(), L.GaussianNoise(0.5), L.Softmax()),
    ),
    "softmax of a batch": ("softmax-over-wrong-axis", lambda: ends_with(L.Softmax(axis=0))),
    "softmax of a batch, from behind": (
        "softmax-over-wrong-axis",
        lambda: ends_with(L.Softmax(axis=-2)),
    ),
    "softmax of rows": (
        "softmax-over-wrong-axis",
        lambda: map_ends_with(L.Softmax(axis=1), L.GlobalAveragePooling2D()),
    ),
    "softmax of places": (
        "softmax-over-wrong-axis",
        lambda: map_ends_with(L.Softmax(axis=(1, 2)), L.GlobalAveragePooling2D()),
    ),
    **{
        f"{type(layer).__name__} as probabilities": (
            "logits-taken-as-probabilities",
            lambda layer=layer: ends_with(layer),
        )
        for layer in (L.LeakyReLU(), L.ELU(), L.PReLU(), L.Activation("selu"))
    },
    "normalised as probabilities": (
        "logits-taken-as-probabilities",
        lambda: ends_with(L.BatchNormalization()),
    ),
    "convolution's relu as probabilities": (
        "logits-taken-as-probabilities",
        lambda: Patient(
            convolutional(L.Conv2D(3, 1, activation="relu"), L.GlobalAveragePooling2D()), X, Y
        ),
    ),
    "relu of logits": ("logits-cut-off", lambda: ends_in("relu", SPARSE(from_logits=True))),
    "tanh of logits": (
        "logits-cut-off",
        lambda: ends_with(L.Activation("tanh"), loss=SPARSE(from_logits=True)),
    ),
    "convolution's relu of logits": (
        "logits-cut-off",
        lambda: Patient(
            convolutional(
                L.Conv2D(3, 1, activation="relu"),
                L.GlobalAveragePooling2D(),
                loss=SPARSE(from_logits=True),
            ),
            X,
            Y,
        ),
    ),
    "elu of one logit": (
        "logits-cut-off",
        lambda: ends_with(L.ELU(), outputs=1, y=Y % 2, loss=BINARY(from_logits=True)),
    ),
    "ImageNet's statistics": (
        "statistics-of-other-pixels",
        lambda: normalised_first(**IMAGENET),
    ),
    "deviation for variance": (
        "statistics-of-other-pixels",
        lambda: normalised_first(mean=0.449, variance=0.226),
    ),
    "ImageNet's deviation alone": (
        "statistics-of-other-pixels",
        lambda: plain_behind(L.Rescaling(1 / 0.226)),
    ),
    "ImageNet's statistics by arithmetic": (
        "statistics-of-other-pixels",
        lambda: plain_behind(L.Rescaling(1 / 0.226, -0.449 / 0.226)),
    ),
    "batches": ("tiny-batches", lambda: normalised(batch_size=4)),
    "sorted": ("sorted-without-shuffling", lambda: fitted(SORTED, shuffle=False)),
    "split": ("validation-split-of-sorted", lambda: fitted(SORTED, validation_split=0.2)),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_found_and_its_cure_cures(mistake):
    name, make = MISTAKES[mistake]
    patient = make()
    (finding,) = patient.findings()
    assert finding.name == name
    assert finding.where
    assert finding.message.endswith(".")
    assert patient.cured(finding).names_found() == []


def test_dropout_of_all_shares_leaves_no_number():
    patient = ends_with(L.Softmax(), L.Dropout(0.9))
    (finding,) = patient.findings()
    assert "no number" in finding.message
    assert np.isnan(patient.train(verbose=0).history["loss"][0])
    assert np.isfinite(patient.cured(finding).train(verbose=0).history["loss"][0])
    (finding,) = ends_with(L.Dropout(0.9), L.Softmax()).findings()
    assert "no number" not in finding.message


def test_softmax_between_layers_may_be_meant():
    """As the answers of a network that is trained already, and as shares of others' numbers."""
    assert ends_in_dense(L.Dense(8, activation="softmax", trainable=False)).names_found() == []
    inputs = keras.Input((8,))
    gated = L.Multiply()([inputs, L.Dense(8, activation="softmax")(inputs)])
    assert examine(Case.of(keras.Model(inputs, L.Dense(3, activation="softmax")(gated)))) == ()


def test_softmax_over_places_may_be_meant():
    """As attention, which says where to look, and of maps whose channels come first."""
    inputs = keras.Input((12, 12, 3))
    maps = L.Conv2D(4, 3, activation="relu")(inputs)
    looked = L.Multiply()([maps, L.Softmax(axis=(1, 2))(L.Conv2D(1, 1)(maps))])
    pooled = L.GlobalAveragePooling2D()(looked)
    assert examine(Case.of(keras.Model(inputs, L.Dense(3, activation="softmax")(pooled)))) == ()
    first = {"data_format": "channels_first"}
    layers = [L.Conv2D(3, 1, **first), L.Softmax(axis=1), L.GlobalAveragePooling2D(**first)]
    assert examine(Case.of(keras.Sequential([keras.Input((3, 12, 12)), *layers]))) == ()


@pytest.mark.parametrize("activation", ["relu", "elu", "selu", "gelu", "silu", "softplus", "tanh"])
def test_answers_that_an_activation_makes_impossible(activation):
    """By the most extreme answers of any number that goes into it."""
    numbers = np.linspace(-30, 30, 6001, dtype="float32")
    logits = np.asarray(getattr(keras.activations, activation)(numbers), dtype="float64")
    answers = 1 / (1 + np.exp(-logits))
    last = L.Activation(activation)
    (finding,) = ends_with(last, outputs=1, y=Y % 2, loss=BINARY(from_logits=True)).findings()
    limit = answers.max() if activation == "tanh" else answers.min()
    assert f"{100 * limit:.0f} %" in finding.message


def test_surest_of_three_answers_behind_tanh():
    (finding,) = ends_in("tanh", SPARSE(from_logits=True)).findings()
    powers = np.exp([1.0, -1.0, -1.0])
    assert f"of 3 is surer than {100 * powers[0] / powers.sum():.0f} %" in finding.message


def test_flattened_map_without_pooling_is_an_explosion():
    layers = [keras.Input((64, 64, 3)), L.Conv2D(32, 3, activation="relu"), L.Flatten()]
    patient = Patient(keras.Sequential([*layers, L.Dense(8, "relu"), L.Dense(3)]), None, None)
    (finding,) = patient.findings()
    assert finding.name == "flatten-explosion"
    assert "123,008 numbers" in finding.message  # 62 · 62 · 32
    assert f"{123_008 * 8 + 8:,} of the network's" in finding.message
    assert patient.cured(finding).names_found() == []


def test_flattened_map_has_one_finding_whatever_the_classes():
    model = convolutional(L.Dense(1, "sigmoid"), L.Flatten(), loss="binary_crossentropy")
    facts = DataFacts(low=0.0, high=255.0, num_rows=9, are_pictures=True, num_classes=2)
    (finding,) = examine(Case.of(model, data=facts))
    assert finding.name == "dense-on-feature-map"
    pooled = [L.GlobalAveragePooling2D(keepdims=True), L.Dense(1, "sigmoid"), L.Flatten()]
    right_one = convolutional(*pooled, loss="binary_crossentropy")
    assert examine(Case.of(right_one, data=facts)) == ()


def test_softmax_of_one_is_cured_by_as_many_outputs_as_classes():
    model = ends_in("softmax", "binary_crossentropy", 1).model
    for classes, cure in ((2, 'Dense(1, activation="sigmoid")'), (3, "Dense(3, activation=")):
        facts = DataFacts(low=0.0, high=255.0, num_rows=9, are_pictures=True, num_classes=classes)
        (finding,) = examine(Case.of(model, data=facts))
        assert cure in finding.cure
        assert ("sparse_categorical_crossentropy" in finding.cure) == (classes == 3)


def test_no_finding_without_a_mistake():
    assert fitted(validation_split=0.2, epochs=20).names_found() == []
    assert normalised(batch_size=8).names_found() == []
    assert deep("relu").names_found() == []
    assert deep_normalised("relu").names_found() == []
    assert ends_in(None, SPARSE(from_logits=True)).names_found() == []
    assert ends_in("sigmoid", "binary_crossentropy", 1, Y % 2).names_found() == []
    assert ends_in("sigmoid", "binary_crossentropy", 3, ONE_HOT).names_found() == []
    assert ends_in("softmax", "binary_crossentropy", 2, ONE_HOT[:, :2]).names_found() == []
    assert plain(divided_by=255.0).names_found() == []
    for last in (
        L.LeakyReLU(),
        L.ReLU(negative_slope=0.1),
        L.PReLU(),
        L.ELU(),
        L.BatchNormalization(),
    ):
        assert ends_with(last, loss=SPARSE(from_logits=True)).names_found() == []
    whole = {"mean": [123.7, 116.3, 103.5], "variance": [3409.0, 3262.0, 3292.0]}
    assert normalised_first(**whole).names_found() == []
    assert normalised_first(L.Rescaling(1 / 255), **IMAGENET).names_found() == []
    assert normalised_first(divided_by=255.0, **IMAGENET).names_found() == []
    assert examine(Case.of(normalised_first(**IMAGENET).model)) == ()  # they may come divided
    of_places = {"axis": (1, 2, 3), "mean": np.zeros((12, 12, 3)), "variance": X.var(axis=0) * 0}
    assert normalised_first(**of_places).names_found() == []  # where nothing ever changes
    assert ends_with(L.Softmax(axis=1)).names_found() == []
    assert ends_with(L.Softmax(), L.Dropout(0.0)).names_found() == []
    body = keras.Sequential([keras.Input((12, 12, 3)), L.Rescaling(1 / 255), L.Conv2D(4, 3, 2)])
    body.add(L.Dropout(0.5))  # which another network goes on from
    assert Patient(body, X, None).names_found() == []
    assert ends_with(L.Softmax()).names_found() == []
    assert map_ends_with(L.GlobalAveragePooling2D(), L.Softmax()).names_found() == []
    assert fitted(SORTED).names_found() == []  # shuffled
    unseen = np.random.default_rng(2).integers(0, 256, (20, 12, 12, 3)).astype("float32")
    assert fitted(validation_data=(unseen, Y[:20])).names_found() == []


@pytest.mark.parametrize("loss", ["crossentropy", "nonsense"])
def test_loss_that_has_no_name_in_keras_is_no_obstacle(loss):
    assert ends_in("softmax", loss).names_found() == []


def test_test_data_is_known_by_its_names_alone():
    for name, found in {"x_test": 1, "test_images": 1, "X_test": 1, "testing": 1, "xTest": 1,
                        "latest": 0, "contest": 0, "tested": 0, "x_val": 0}.items():  # fmt: skip
        x_val, y_val = pictures(20)
        given = {"validation_data": (x_val[:5], y_val[:5])}  # a part of it, too
        patient = Patient(right(), X[20:], Y[20:], given, names={name: x_val})
        x_val[:] = x_val[::-1].copy()
        assert patient.names_found().count("test-set-as-validation") == found, name


# Training for 500 epochs would say no more than for 100; test data is in a test of its own.
ALONE = ("M2, list", "M3", "M6", "M5, by convolution", "M5, flattened")
IN_FIT = [mistake for mistake in MISTAKES if mistake[0] == "M" and mistake not in ALONE]


@pytest.mark.filterwarnings("ignore:.*softmax over axis -1:UserWarning")  # Keras of M4
@pytest.mark.parametrize("mistake", IN_FIT)
def test_fit_prints_the_mistake_before_it_trains(mistake, capsys):
    name, make = MISTAKES[mistake]
    patient = make()
    if name == "epochs-unwatched":
        patient = Patient(patient.model, X[:8], Y[:8], patient.fit)
    if name in ("dense-on-feature-map", "softmax-of-one"):  # labels without an output of theirs
        with pytest.raises((ValueError, IndexError), match="shape|out of bounds"):
            patient.train(verbose=2)
    else:
        assert patient.train(verbose=2).history["loss"]
    assert_tells(name, capsys.readouterr().out.splitlines())


def assert_tells(name: str, printed: list[str]) -> None:
    (found,) = [i for i, line in enumerate(printed) if line.startswith(f"saccade: {name}: ")]
    assert printed[found + 1].startswith("         Cure: ")
    assert not [line for line in printed[:found] if line.startswith("Epoch")]


def test_fit_sees_its_callers_names(capsys):
    x_test, y_test = X[:20], Y[:20]
    saccade.fit(right(), X[20:], Y[20:], validation_data=(x_test, y_test), verbose=2)
    assert_tells("test-set-as-validation", capsys.readouterr().out.splitlines())


def test_fit_is_silent_where_all_is_well_or_where_it_was_told_to_be(capsys):
    fitted(validation_split=0.2).train(verbose=2)
    assert "Cure" not in capsys.readouterr().out
    plain().train(verbose=0)
    assert capsys.readouterr().out == ""


def test_fit_finds_the_same_where_keras_itself_trains(capsys):
    plain().train(verbose=2, steps_per_epoch=1)
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("saccade: trained by Keras's own fit, because steps_per_epoch")
    assert second.startswith("saccade: pixels-not-scaled: ")


def test_data_that_is_no_array_is_no_obstacle(capsys):
    class Rows(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return X[:8], Y[:8]

    saccade.fit(right(), Rows(workers=1), verbose=2)
    assert "Cure" not in capsys.readouterr().out
