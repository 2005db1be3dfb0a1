"""Trains a tutorial's network one epoch at a time, whenever a line arrives on standard input.

    python fit_worker.py --engine keras --network t6 --batch 128 --images 12800

Runs in Saccade's environment and in a peer's, so it imports neither until it is told which. The
network, its data and its call of `fit` are the same lines for both. An epoch's time is from the
signal to the moment when `fit` is ready for the next: the whole of it, bookkeeping included.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

import numpy as np

ANSWER = "ANSWER "


def network(keras, name: str):
    """Return a network as its tutorial writes it; the pixels have been divided before.

    `resnet50` is Keras's own, untrained.
    """
    layers, losses = keras.layers, keras.losses
    classes = losses.SparseCategoricalCrossentropy
    if name == "resnet50":
        model = keras.applications.ResNet50(weights=None)
        model.compile(optimizer="adam", loss=classes(), metrics=["accuracy"])
        return model
    shape, filters, padding, dense, outputs, loss, optimizer = {
        "t4": ((28, 28, 1), (64, 64), "valid", [128], (10, "softmax"), classes(), "adam"),
        "t5": ((28, 28, 1), (32, 64), "same", [128], (10, "softmax"), classes(), "adam"),
        "t6": ((32, 32, 3), (32, 64), "same", [200, 200], (10, None), classes(True), "adam"),
        "t7": (
            (150, 150, 3),
            (16, 32, 64),
            "valid",
            [512],
            (1, "sigmoid"),
            losses.BinaryCrossentropy(),
            "rmsprop",
        ),
    }[name]
    stack = [keras.Input(shape)]
    for maps in filters:
        stack.append(layers.Conv2D(maps, (3, 3), padding=padding, activation="relu"))
        stack.append(layers.MaxPooling2D((2, 2), strides=2))
    stack.append(layers.Flatten())
    stack += [layers.Dense(width, activation="relu") for width in dense]
    last = layers.Dense(outputs[0], dtype="float32", activation=outputs[1])
    model = keras.Sequential([*stack, last])
    model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])
    return model


def turns(keras):
    """Return a callback that holds each epoch until it is asked for."""

    class Turns(keras.callbacks.Callback):
        started = 0.0

        def on_epoch_begin(self, epoch, logs=None):
            if epoch:
                print(f"{ANSWER}{time.perf_counter() - self.started}", flush=True)
            if not sys.stdin.readline():
                os._exit(0)
            self.started = time.perf_counter()

    return Turns()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", choices=["keras", "saccade"], required=True)
    parser.add_argument("--network", choices=["t4", "t5", "t6", "t7", "resnet50"], required=True)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--images", type=int, required=True)
    given = parser.parse_args()

    import keras

    keras.utils.set_random_seed(0)
    if given.precision != "float32":
        keras.config.set_dtype_policy(given.precision)
    model = network(keras, given.network)
    random = np.random.default_rng(0)
    x = random.random((given.images, *model.input_shape[1:]), dtype=np.float32)  # 0 to 1
    y = random.integers(0, max(2, model.output_shape[-1]), given.images)
    options = {"batch_size": given.batch, "epochs": 500, "verbose": 0}
    if given.engine == "saccade":
        import saccade

        saccade.fit(model, x, y, callbacks=[turns(keras)], **options)
    else:
        model.fit(x, y, callbacks=[turns(keras)], **options)


if __name__ == "__main__":
    main()
