"""`saccade.fit` beside Keras's own ``fit``: same weights, same History, same callbacks."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import saccade
from saccade.errors import SettingsError
from saccade.models.backend import load_keras
from saccade.training.graph import Graph, Unsupported
from saccade.training.session import _BATCH_HOOKS, _overrides

keras = load_keras()
L = keras.layers

# Float32 sums in another order, over some dozen updates with gradients that are not tiny.
CLOSE = {"rtol": 2e-4, "atol": 2e-5}


@pytest.fixture(autouse=True)
def _float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SACCADE_PRECISION", "float32")


def pictures(count: int = 70, channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, count)
    x = rng.normal(size=(count, 12, 10, channels)).astype(np.float32) + y[:, None, None, None]
    return x, y


def t1() -> Any:
    model = keras.Sequential([keras.Input((1,)), L.Dense(1)])
    model.compile(optimizer="sgd", loss="mean_squared_error")
    return model


def t3(**compile_options: Any) -> Any:
    layers = [L.Flatten(), L.Dense(16, activation="relu"), L.Dense(3)]
    model = keras.Sequential([keras.Input((12, 10, 3)), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        **({"optimizer": "adam", "loss": loss, "metrics": ["accuracy"]} | compile_options)
    )
    return model


def t6(*before_last: Any) -> Any:
    model = keras.Sequential(
        [
            keras.Input((12, 10, 3)),
            L.Conv2D(6, 3, padding="same", activation="relu"),
            L.MaxPooling2D(),
            L.Conv2D(8, 3, activation="relu"),
            L.MaxPooling2D(),
            L.Flatten(),
            L.Dense(20, activation="relu"),
            *before_last,
            L.Dense(3, activation="softmax"),
        ]
    )
    # With batch normalisation a rate of 0.05 is chaotic: Keras itself ends 0.009 away after three
    # epochs when its first weights change by one unit in the last place.
    normalised = any(isinstance(layer, L.BatchNormalization) for layer in before_last)
    rate = 0.005 if normalised else 0.05
    optimizer = keras.optimizers.SGD(rate, momentum=0.9)
    model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def t7() -> Any:
    model = keras.Sequential(
        [L.Conv2D(4, 3, activation="relu"), L.MaxPooling2D(), L.Flatten(), L.Dense(1, "sigmoid")]
    )  # built by the first batch
    model.compile("rmsprop", "binary_crossentropy", metrics=["acc"])
    return model


def branches() -> Any:
    inputs = keras.Input((12, 10, 3))
    inner = keras.Sequential([keras.Input((12, 10, 3)), L.Conv2D(4, 3, padding="same")])
    shared = L.Conv2D(4, 1, kernel_regularizer="l2")
    x = inner(inputs) / 2.0
    x = L.Concatenate()([shared(x), L.Add()([x, shared(x)]), L.LeakyReLU()(x)])
    outputs = L.Dense(3)(L.LayerNormalization()(L.GlobalAveragePooling2D()(x)))
    model = keras.Model(inputs, outputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss, metrics=["accuracy"], loss_weights=0.5)
    return model


def values(model: Any) -> list[np.ndarray]:
    return [v.value.detach().numpy().copy() for v in model.variables if v.dtype == "float32"]


def fit_both(make: Callable[[], Any], x: Any, y: Any, **options: Any) -> tuple[Any, Any]:
    """Train two equal models, one by us and one by Keras; compare; return both."""
    keras.utils.set_random_seed(5)
    ours = make()
    keras.utils.set_random_seed(5)
    theirs = make()
    options = {"epochs": 3, "verbose": 0, "shuffle": False, "batch_size": 16} | options
    history, wanted = saccade.fit(ours, x, y, **options), theirs.fit(x, y, **options)
    assert list(history.history) == list(wanted.history)
    assert history.epoch == wanted.epoch
    for name, row in wanted.history.items():
        np.testing.assert_allclose(history.history[name], row, err_msg=name, **CLOSE)
    for a, b in zip(values(ours), values(theirs), strict=True):
        np.testing.assert_allclose(a, b, **CLOSE)
    assert int(ours.optimizer.iterations) == int(theirs.optimizer.iterations)
    return ours, theirs


def says_why(capsys: pytest.CaptureFixture[str], model: Any, *args: Any, **options: Any) -> str:
    saccade.fit(model, *args, verbose=2, **options)
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("saccade: trained by Keras's own fit, because ")
    return first


def test_line_through_six_points() -> None:
    x = np.arange(-1.0, 5.0)
    ours, _ = fit_both(t1, x, 2 * x - 1, epochs=500)
    answer = float(ours.predict(np.array([[10.0]]), verbose=0)[0, 0])
    assert 18.9 < answer < 19.0  # close to 19, and, as the tutorial says, not exactly


@pytest.mark.parametrize("make", [t3, t6, branches, lambda: t6(L.BatchNormalization())])
def test_classifier_trains_as_keras_does(make: Callable[[], Any]) -> None:
    x, y = pictures()
    fit_both(make, x, y, validation_data=(x[:20], y[:20]))


def test_binary_classifier_that_its_first_batch_builds() -> None:
    x, y = pictures()
    fit_both(t7, x, (y > 0).astype(np.float32), validation_split=0.25, epochs=2)


def test_grey_pictures_without_a_channel_axis_and_whole_numbers() -> None:
    x, y = pictures(channels=1)
    pixels = (x[..., 0] * 20 + 100).clip(0, 255).astype(np.uint8)

    def make() -> Any:
        model = keras.Sequential(
            [
                keras.Input((12, 10, 1)),
                L.Rescaling(1 / 255),
                L.Conv2D(4, 3),
                L.Flatten(),
                L.Dense(3),
            ]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss, metrics=["accuracy"])
        return model

    fit_both(make, pixels, y.reshape(-1, 1).astype(np.int8))


@pytest.mark.parametrize(
    "options",
    [
        {"class_weight": {0: 2.0, 2: 0.5}},
        {"sample_weight": np.linspace(0.0, 2.0, 70), "validation_split": 0.2},
        {"validation_data": (*pictures(30), np.linspace(1.0, 3.0, 30))},
        {"validation_data": pictures(40), "validation_freq": 2, "validation_batch_size": 7},
        {"initial_epoch": 1, "batch_size": None},
        {"validation_data": pictures(40), "validation_freq": [1, 3]},
    ],
)
def test_options_mean_what_they_mean_to_keras(options: dict[str, Any]) -> None:
    fit_both(t3, *pictures(), **options)


def test_loss_that_sums_a_batch_is_validated_in_the_batches_asked_for() -> None:
    summed = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
    make = lambda: t3(optimizer=keras.optimizers.SGD(1e-3), loss=summed)  # noqa: E731
    fit_both(make, *pictures(), validation_split=0.5, batch_size=8, epochs=1)


@pytest.mark.parametrize(
    "centred",
    [
        lambda x: x - keras.ops.mean(x, axis=0, keepdims=True),
        L.Lambda(lambda x: x - keras.ops.mean(x, axis=0, keepdims=True)),
        lambda x: keras.Model(x, x - keras.ops.mean(x, axis=0, keepdims=True))(x / 2.0),
    ],
)
def test_samples_seen_beside_each_other_are_validated_so(centred: Callable[[Any], Any]) -> None:
    def make() -> Any:
        inputs = keras.Input((12, 10, 3))
        return compiled(keras.Model(inputs, L.Dense(3)(L.Flatten()(centred(inputs)))))

    fit_both(make, *pictures(), validation_split=0.4, batch_size=8, epochs=1)


@pytest.mark.parametrize("metric", ["BinaryAccuracy", "CategoricalAccuracy"])
def test_soft_labels_are_met_as_keras_meets_them(metric: str) -> None:
    x, y = pictures()
    soft = np.eye(3)[y] * np.array([1.0, 0.9, 0.8])[y][:, None]  # the first is sure
    options = {"loss": "mse", "metrics": [getattr(keras.metrics, metric)()]}
    fit_both(lambda: t3(**options), x, soft, validation_split=0.3, epochs=1)


def test_one_number_is_stretched_over_all_outputs() -> None:
    make = lambda: t3(optimizer=keras.optimizers.SGD(1e-3), loss="mse", metrics=["mae"])  # noqa: E731
    x, y = pictures()
    fit_both(make, x, y[:, None], validation_split=0.3)


def test_one_hot_labels_smoothing_and_other_metrics() -> None:
    x, y = pictures()
    fit_both(
        lambda: t3(
            loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
            metrics=["accuracy", "mae", keras.metrics.AUC(from_logits=True, name="area")],
        ),
        x,
        np.eye(3, dtype=np.float32)[y],
        validation_split=0.2,
    )


def test_rate_follows_a_schedule_and_callbacks() -> None:
    def make() -> Any:
        rate = keras.optimizers.schedules.CosineDecay(0.1, 12)
        return t3(optimizer=keras.optimizers.SGD(rate))

    fit_both(make, *pictures())
    halved = lambda: [keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)]  # noqa: E731
    ours, _ = fit_both(lambda: t3(optimizer="sgd"), *pictures(), callbacks=halved())
    assert float(ours.optimizer.learning_rate) == pytest.approx(0.01 / 8)


O = keras.optimizers  # noqa: E741
OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "scaled": lambda: O.SGD(0.05, momentum=0.9, loss_scale_factor=128.0),
    # The first two scales overflow: Keras skips these steps and halves the scale.
    "scaled as it can bear": lambda: O.LossScaleOptimizer(O.SGD(0.05), initial_scale=2.0**129),
    "several": lambda: O.MultiOptimizer(
        O.OptimizerMap(O.SGD(0.05), {".*bias": O.Adam(0.01)}), loss_scale_factor=64.0
    ),
    "clipped": lambda: O.Adam(0.01, clipvalue=0.01),
    "clipped together": lambda: O.SGD(0.05, global_clipnorm=0.5),
    "averaged": lambda: O.SGD(0.05, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=4),
    "accumulated": lambda: O.SGD(0.05, gradient_accumulation_steps=2),
    "decayed": lambda: O.RMSprop(1e-3, weight_decay=0.1),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_does_what_it_does_for_keras(name: str) -> None:
    if name == "several" and not hasattr(O, "MultiOptimizer"):
        pytest.skip("an older Keras")
    ours, theirs = fit_both(lambda: t3(optimizer=OPTIMIZERS[name]()), *pictures())
    for a, b in zip(ours.optimizer.variables, theirs.optimizer.variables, strict=True):
        np.testing.assert_allclose(a.value.detach(), b.value.detach(), **CLOSE)


@pytest.mark.parametrize("name", ["adam", "adamw", "rmsprop", "sgd"])
def test_layer_frozen_between_two_fits_without_compiling_again(name: str) -> None:
    """The slots of what is still trained are not the first ones, nor of the same sizes."""
    options = {"momentum": 0.9} if name == "sgd" else {}
    x, y = pictures()

    def make() -> Any:
        model = t3(optimizer=O.get({"class_name": name, "config": options}))
        model.fit(x, y, verbose=0, shuffle=False)
        model.layers[1].trainable = False
        return model

    fit_both(make, x, y)


def test_layer_unfrozen_without_compiling_again_is_refused() -> None:
    x, y = pictures()
    model = t3()
    model.layers[1].trainable = False
    saccade.fit(model, x, y, verbose=0)
    model.layers[1].trainable = True
    with pytest.raises(SettingsError, match="compile the model again"):
        saccade.fit(model, x, y, verbose=0)
    model.compile("adam", "sparse_categorical_crossentropy")
    saccade.fit(model, x, y, verbose=0)


def dropping(**compile_options: Any) -> Any:
    """Every layer that has something to change; nothing drops before."""
    layers = [
        L.Conv2D(4, 3, name="convolution"),
        L.BatchNormalization(name="normalization"),
        L.LeakyReLU(name="slope"),
        L.Dropout(1e-9, name="dropout"),
        L.Flatten(),
        L.Dense(3, kernel_regularizer="l2", name="head"),
    ]
    model = keras.Sequential([keras.Input((12, 10, 3)), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(**({"optimizer": O.SGD(0.01, momentum=0.9), "loss": loss} | compile_options))
    return model


def layer_change(name: str, attribute: str, value: Any) -> Callable[[Any], None]:
    return lambda model: setattr(model.get_layer(name), attribute, value)


def optimizer_change(attribute: str, value: Any) -> Callable[[Any], None]:
    return lambda model: setattr(model.optimizer, attribute, value)


class Changing(keras.callbacks.Callback):
    """Changes the model after the first epoch."""

    def __init__(self, change: Callable[[Any], None]) -> None:
        super().__init__()
        self.change = change

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == 0:
            self.change(self.model)


class ChangingWithin(keras.callbacks.Callback):
    """Changes the model within the first epoch, after three batches."""

    def __init__(self, change: Callable[[Any], None]) -> None:
        super().__init__()
        self.change = change

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 2:
            self.change(self.model)


CHANGES: dict[str, Callable[[Any], None]] = {
    "frozen": layer_change("convolution", "trainable", False),
    "frozen with a penalty": layer_change("head", "trainable", False),
    "statistics frozen": layer_change("normalization", "trainable", False),
    "statistics quicker": layer_change("normalization", "momentum", 0.5),
    "all dropped": layer_change("dropout", "rate", 1.0 - 1e-9),
    "slope": layer_change("slope", "negative_slope", 0.9),
    "momentum": optimizer_change("momentum", 0.2),
    "Nesterov": optimizer_change("nesterov", True),
    "decay": optimizer_change("weight_decay", 0.5),
    "clipped": optimizer_change("clipnorm", 0.01),
    "scaled": optimizer_change("loss_scale_factor", 64.0),
    "schedule": optimizer_change("learning_rate", O.schedules.ExponentialDecay(0.05, 3, 0.5)),
    "count": lambda model: model.optimizer.iterations.assign(100),
}


@pytest.mark.parametrize("name", CHANGES)
def test_change_by_a_callback_is_followed(name: str) -> None:
    fit_both(dropping, *pictures(), callbacks=[Changing(CHANGES[name])], epochs=2)


def test_change_in_the_middle_of_an_epoch_is_followed() -> None:
    for name in ("frozen", "momentum"):
        fit_both(dropping, *pictures(), callbacks=[ChangingWithin(CHANGES[name])], epochs=2)


def test_layer_frozen_for_one_epoch_trains_again() -> None:
    class Toggle(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.model.get_layer("convolution").trainable = epoch != 1

    fit_both(dropping, *pictures(), callbacks=[Toggle()])


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda model: setattr(model, "trainable", False), "nothing to train; change layers"),
        (optimizer_change("momentum", 0.9), "without momentum.* compile the model again"),
    ],
)
def test_change_that_cannot_be_followed_is_refused(change: Any, wanted: str) -> None:
    model = dropping(optimizer="sgd")
    with pytest.raises(SettingsError, match=wanted):
        saccade.fit(model, *pictures(), epochs=2, verbose=0, callbacks=[Changing(change)])


def test_callbacks_see_what_keras_would_show_them(tmp_path: Path) -> None:
    class Seen(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.batches: list[Any] = []
            self.weights: list[float] = []

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.batches.append((batch, int(self.model.optimizer.iterations.value), dict(logs)))

        def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
            self.batches.append((batch, "test", dict(logs)))

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.weights.append(float(self.model.variables[0].value.detach().sum()))
            assert self.params["steps"] == 5

    seen: list[Seen] = []

    def train(fit: Callable[..., Any]) -> Any:
        keras.utils.set_random_seed(5)
        model, callback = t3(), Seen()
        seen.append(callback)
        saved = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", save_best_only=True)
        stop = keras.callbacks.EarlyStopping(patience=1, restore_best_weights=True, min_delta=9.0)
        x, y = pictures()
        options = {"validation_split": 0.01, "shuffle": False, "verbose": 0, "batch_size": 14}
        return fit(model, x, y, epochs=6, callbacks=[callback, saved, stop], **options)

    ours, theirs = train(saccade.fit), train(lambda model, *a, **o: model.fit(*a, **o))
    assert ours.epoch == theirs.epoch == [0, 1]
    for a, b in zip(seen[0].batches, seen[1].batches, strict=True):
        assert a[:2] == b[:2]
        assert a[2] == pytest.approx(b[2], rel=1e-4)
    assert seen[0].weights == pytest.approx(seen[1].weights, rel=1e-4)
    assert keras.saving.load_model(tmp_path / "best.keras").count_params() == 5827


@pytest.mark.parametrize("kind", ["ModelCheckpoint", "BackupAndRestore"])
def test_checkpoint_of_your_own_is_called_at_every_batch(kind: str, tmp_path: Path) -> None:
    class Seen(getattr(keras.callbacks, kind)):  # type: ignore[misc]
        batches: list[int] = []

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.batches.append(batch)

    saccade.fit(t3(), *pictures(), callbacks=[Seen(tmp_path / "m.weights.keras")], verbose=0)
    assert Seen.batches == [0, 1, 2]


@pytest.mark.parametrize(("save_freq", "called"), [("epoch", False), (2, True)])
def test_checkpoint_of_keras_at_every_epoch_costs_a_batch_nothing(save_freq, called) -> None:
    saved = keras.callbacks.ModelCheckpoint("m.keras", save_freq=save_freq)
    assert _overrides(keras.callbacks.CallbackList([saved]), _BATCH_HOOKS) is called


def test_keras_goes_on_where_we_stopped() -> None:
    x, y = pictures()
    ours, theirs = fit_both(lambda: t3(optimizer="adamw"), x, y)
    for model in (ours, theirs):
        model.fit(x, y, epochs=2, verbose=0, shuffle=False, batch_size=16)
    for a, b in zip(values(ours), values(theirs), strict=True):
        np.testing.assert_allclose(a, b, **CLOSE)


def test_saved_model_holds_standard_layers_alone(tmp_path: Path) -> None:
    x, y = pictures()
    model = t6(L.Dropout(0.25), L.BatchNormalization())
    saccade.fit(model, x, y, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert [type(layer) for layer in loaded.layers] == [type(layer) for layer in model.layers]
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_shuffling_is_seeded_and_learns() -> None:
    x, y = pictures(300)
    losses = []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        losses.append(saccade.fit(t6(L.Dropout(0.1)), x, y, epochs=3, verbose=0).history["loss"])
    assert losses[0] == losses[1]
    assert losses[0][-1] < 0.5 * losses[0][0]


def test_interrupt_leaves_a_model_that_keras_goes_on_with() -> None:
    def interrupt(batch: int, logs: Any) -> None:
        if batch == 2:
            raise KeyboardInterrupt

    model, (x, y) = t3(), pictures()
    before = values(model)
    stop = keras.callbacks.LambdaCallback(on_train_batch_end=interrupt)
    with pytest.raises(KeyboardInterrupt):
        saccade.fit(model, x, y, callbacks=[stop], verbose=0)
    assert int(model.optimizer.iterations.value) == 3
    assert not np.array_equal(before[0], values(model)[0])
    model.fit(x, y, verbose=0)


def test_one_line_an_epoch_and_the_precision_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    saccade.fit(t3(), *pictures(), epochs=2, verbose=2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "saccade: trains in float32 (a network without convolutions)"
    assert [line for line in lines if line.startswith("Epoch")] == ["Epoch 1/2", "Epoch 2/2"]
    assert sum("loss:" in line for line in lines) == 2


class OwnStep(keras.Model):
    def train_step(self, data: Any) -> Any:
        return super().train_step(data)


class OwnCall(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.dense = L.Dense(3)

    def call(self, x: Any) -> Any:
        return self.dense(keras.ops.mean(x, axis=(1, 2)))


def compiled(model: Any, **options: Any) -> Any:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(**({"optimizer": "sgd", "loss": loss} | options))
    return model


def own_step() -> Any:
    inputs = keras.Input((12, 10, 3))
    return compiled(OwnStep(inputs, L.Dense(3)(L.Flatten()(inputs))))


def rounded() -> Any:
    layers = [L.Flatten(), L.Dense(3, dtype="mixed_bfloat16")]
    return compiled(keras.Sequential([keras.Input((12, 10, 3)), *layers]))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (own_step, "OwnStep has a train_step of its own"),
        (lambda: compiled(OwnCall()), "OwnCall has a call of its own"),
        (rounded, "Dense computes in mixed_bfloat16"),
        (lambda: t3(weighted_metrics=["accuracy"]), "weighted_metrics are given"),
    ],
)
def test_model_that_only_keras_can_train(make, reason: str, capsys) -> None:
    assert reason in says_why(capsys, make(), *pictures())


class OwnConvolution(L.Conv2D):
    pass


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (
            lambda: L.SpectralNormalization(L.Conv2D(2, 3, activity_regularizer="l2")),
            "Conv2D adds a loss of its own",
        ),
        (
            lambda: L.TimeDistributed(L.Bidirectional(L.LSTM(2, activity_regularizer="l2"))),
            "LSTM adds a loss of its own",
        ),
        (
            lambda: L.SpectralNormalization(OwnConvolution(2, 3)),
            "OwnConvolution is a layer of your own",
        ),
    ],
)
def test_layer_inside_another_that_only_keras_can_train(make, reason: str) -> None:
    inputs = keras.Input((12, 10, 3))
    model = keras.Model(inputs, L.Dense(3)(L.Flatten()(make()(inputs))))
    with pytest.raises(Unsupported, match=reason):
        Graph(model)


def test_penalty_on_what_a_wrapped_layer_says_is_learned_from() -> None:
    def make() -> Any:
        wrapped = L.Conv2D(4, 3, activity_regularizer=keras.regularizers.L2(0.1))
        layers = [L.SpectralNormalization(wrapped), L.Flatten(), L.Dense(3)]
        return compiled(keras.Sequential([keras.Input((12, 10, 3)), *layers]))

    fit_both(make, *pictures(), epochs=1)


@pytest.mark.parametrize(("verbose", "said"), [(1, True), ("auto", True), (0, False)])
def test_handing_over_is_said_unless_verbose_is_0(verbose, said: bool, capsys) -> None:
    saccade.fit(own_step(), *pictures(), verbose=verbose)
    shown = capsys.readouterr().out
    assert shown.startswith("saccade: trained by Keras's own fit, because ") is said
    assert bool(shown) is said


def test_data_that_only_keras_can_feed(capsys: pytest.CaptureFixture[str]) -> None:
    x, y = pictures()
    rows = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    loader = torch.utils.data.DataLoader(rows, batch_size=16)
    assert "x is a DataLoader, not an array" in says_why(capsys, t3(), loader, shuffle=False)
    assert "steps_per_epoch is given" in says_why(capsys, t3(), x, y, steps_per_epoch=2)
    assert "validation_data is a DataLoader" in says_why(capsys, t3(), x, y, validation_data=loader)


def test_model_that_is_not_compiled_gets_keras_s_own_error() -> None:
    with pytest.raises(ValueError, match="compile"):
        saccade.fit(keras.Sequential([keras.Input((1,)), L.Dense(1)]), np.ones((2, 1)), np.ones(2))


@pytest.mark.parametrize("size", [-1, 8.0, True, "8"])
@pytest.mark.parametrize("name", ["batch_size", "validation_batch_size"])
def test_batches_of_no_size_are_refused_before_anything_changes(name, size, capsys):
    model, (x, y) = t3(), pictures()
    options = {"batch_size": 16, "validation_data": (x, y)} | {name: size}
    wanted = f"^{name} is a whole number from 1, such as 32, got {re.escape(repr(size))}$"
    with pytest.raises(SettingsError, match=wanted):
        saccade.fit(model, x, y, **options)
    assert not capsys.readouterr().out
    assert not model.optimizer.iterations.value


def test_sizes_of_batches_that_keras_takes() -> None:
    x, y = pictures()
    fit_both(t3, x, y, batch_size=0, epochs=1)
    fit_both(t3, x, y, validation_batch_size=-1, epochs=1)  # nothing is validated
    assert saccade.fit(t3(), x, y, batch_size=np.int64(16), verbose=0).epoch == [0]  # kinder
