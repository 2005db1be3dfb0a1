"""The tutorials' networks by name, compiled as the tutorials train them.

>>> build_network("t5", input_shape=(28, 28, 1), num_classes=10).count_params()  # doctest: +SKIP
421642

Each takes pixels from 0 to 255 and divides them by 255 itself, once, so that nobody else does.
Labels are whole numbers, so a categorical loss is always the sparse one: the same mathematics
without one-hot vectors. Where a tutorial is printed with a mistake, the network here is the right
one: T6 ends in logits because its loss says `from_logits=True`, and T10 has one output a class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from saccade.errors import SettingsError
from saccade.models.backend import load_keras

Shape = tuple[int, ...]

_XCEPTION_MIN_SIDE_PX: Final = 71  # below this its last feature map is empty


def build_network(name: str, *, input_shape: Shape, num_classes: int) -> Any:
    """Return a tutorial's network as a compiled Keras model.

    `input_shape` is (height, width, channels), or (features,) for t1. Raises SettingsError for an
    unknown name, for pictures too small for the network, and for t7 and t8 without exactly two
    classes.
    """
    if name not in _BUILDERS:
        raise SettingsError(f"no network is called {name!r}; choose from {', '.join(NETWORKS)}")
    if name != "t1" and len(input_shape) != 3:
        raise SettingsError(f"{name} takes pictures (height, width, channels), got {input_shape}")
    try:
        model = _BUILDERS[name](input_shape, num_classes)
    except ValueError as error:
        if "negative" not in str(error):  # Keras: "… would be zero or negative", "negative dim…"
            raise
        raise SettingsError(
            f"pictures of {input_shape[0]}×{input_shape[1]} px are too small for {name}; "
            "use larger pictures or --model auto"
        ) from error
    return model


def _t1(input_shape: Shape, num_classes: int) -> Any:
    """One neuron that learns y = 2x - 1; a regression, so `num_classes` plays no part."""
    keras = load_keras()
    model = keras.Sequential([keras.Input(input_shape), keras.layers.Dense(1)], name="t1")
    model.compile(optimizer=keras.optimizers.SGD(0.01), loss="mean_squared_error")
    return model


def _t3(input_shape: Shape, num_classes: int) -> Any:
    layers = load_keras().layers
    return _adam_model(
        "t3",
        input_shape,
        [
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(num_classes, activation="softmax"),
        ],
    )


def _t4(input_shape: Shape, num_classes: int) -> Any:
    return _clothes("t4", input_shape, num_classes, filters=(64, 64), padding="valid")


def _t5(input_shape: Shape, num_classes: int) -> Any:
    return _clothes("t5", input_shape, num_classes, filters=(32, 64), padding="same")


def _clothes(
    name: str, input_shape: Shape, num_classes: int, *, filters: tuple[int, ...], padding: str
) -> Any:
    layers = load_keras().layers
    return _adam_model(
        name,
        input_shape,
        [
            *_blocks(filters, padding=padding),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(num_classes, activation="softmax"),
        ],
    )


def _t6(input_shape: Shape, num_classes: int) -> Any:
    return _small_colour("t6", input_shape, num_classes, before_last=[])


def _t6_dropout(input_shape: Shape, num_classes: int) -> Any:
    layers = load_keras().layers
    return _small_colour("t6-dropout", input_shape, num_classes, before_last=[layers.Dropout(0.25)])


def _t6_batchnorm(input_shape: Shape, num_classes: int) -> Any:
    layers = load_keras().layers
    before_last = [layers.BatchNormalization()]
    return _small_colour("t6-batchnorm", input_shape, num_classes, before_last=before_last)


def _small_colour(
    name: str, input_shape: Shape, num_classes: int, *, before_last: list[Any]
) -> Any:
    layers = load_keras().layers
    return _adam_model(
        name,
        input_shape,
        [
            *_blocks((32, 64), padding="same"),
            layers.Flatten(),
            layers.Dense(200, activation="relu"),
            layers.Dense(200, activation="relu"),
            *before_last,
            layers.Dense(num_classes),
        ],
        from_logits=True,
    )


def _t6_xception(input_shape: Shape, num_classes: int) -> Any:
    """Xception from scratch; smaller pictures are first repeated up to the 71 px that it needs."""
    keras = load_keras()
    inputs = keras.Input(input_shape)
    pixels = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)  # (-1, 1), as Xception expects
    factor = -(-_XCEPTION_MIN_SIDE_PX // min(input_shape[:2]))
    if factor > 1:
        pixels = keras.layers.UpSampling2D(factor)(pixels)
    features = keras.applications.Xception(
        include_top=False, weights=None, input_tensor=pixels, pooling="avg"
    ).output
    outputs = keras.layers.Dense(num_classes)(features)
    model = keras.Model(inputs, outputs, name="t6-xception")
    _compile_adam(model, from_logits=True)
    return model


def _t7(input_shape: Shape, num_classes: int) -> Any:
    return _two_photos("t7", input_shape, num_classes)


def _t8(input_shape: Shape, num_classes: int) -> Any:
    """T7's network; what T8 adds is done to the pictures, by `saccade train --augment`."""
    return _two_photos("t8", input_shape, num_classes)


def _two_photos(name: str, input_shape: Shape, num_classes: int) -> Any:
    if num_classes != 2:
        raise SettingsError(
            f"{name} ends in one sigmoid, for exactly two classes, got {num_classes}; "
            "use t10 instead"
        )
    last = load_keras().layers.Dense(1, activation="sigmoid")
    return _photos(name, input_shape, last, loss="binary_crossentropy")


def _t10(input_shape: Shape, num_classes: int) -> Any:
    last = load_keras().layers.Dense(num_classes, activation="softmax")
    return _photos("t10", input_shape, last, loss="sparse_categorical_crossentropy")


def _photos(name: str, input_shape: Shape, last: Any, *, loss: str) -> Any:
    keras = load_keras()
    layers = keras.layers
    stack = [
        keras.Input(input_shape),
        layers.Rescaling(1 / 255),
        *_blocks((16, 32, 64), padding="valid"),
        layers.Flatten(),
        layers.Dense(512, activation="relu"),
        last,
    ]
    model = keras.Sequential(stack, name=name)
    model.compile(optimizer=keras.optimizers.RMSprop(0.001), loss=loss, metrics=["accuracy"])
    return model


def _blocks(filters: tuple[int, ...], *, padding: str) -> list[Any]:
    """Return, for each number of filters, a 3×3 convolution and a 2×2 max pooling."""
    layers = load_keras().layers
    stack = []
    for count in filters:
        stack.append(layers.Conv2D(count, 3, padding=padding, activation="relu"))
        stack.append(layers.MaxPooling2D(2))
    return stack


def _adam_model(
    name: str, input_shape: Shape, stack: list[Any], *, from_logits: bool = False
) -> Any:
    keras = load_keras()
    first = [keras.Input(input_shape), keras.layers.Rescaling(1 / 255)]
    model = keras.Sequential([*first, *stack], name=name)
    _compile_adam(model, from_logits=from_logits)
    return model


def _compile_adam(model: Any, *, from_logits: bool) -> None:
    keras = load_keras()
    model.compile(
        optimizer=keras.optimizers.Adam(),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits),
        metrics=["accuracy"],
    )


_BUILDERS: Final[dict[str, Callable[[Shape, int], Any]]] = {
    "t1": _t1,
    "t3": _t3,
    "t4": _t4,
    "t5": _t5,
    "t6": _t6,
    "t6-batchnorm": _t6_batchnorm,
    "t6-dropout": _t6_dropout,
    "t6-xception": _t6_xception,
    "t7": _t7,
    "t8": _t8,
    "t10": _t10,
}
NETWORKS: Final = tuple(_BUILDERS)  # the names, in the tutorials' order
ENDS_IN_ONE: Final = ("t7", "t8")  # output, for two classes
