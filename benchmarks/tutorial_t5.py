"""The tutorial's own T5 on TensorFlow: trains 5 epochs, prints its best and the seconds to there.

    python tutorial_t5.py PICTURES.npz SEED [EPOCHS]

Runs in the peer's environment. Pixels are divided by 255 once (as printed, the tutorial does it
twice; its readers find that out).
"""

import json
import os
import sys
import time

os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever is set outside

import keras
import numpy as np


def main(pictures: str, seed: str, epochs: str = "5") -> None:
    keras.utils.set_random_seed(int(seed))
    data = np.load(pictures)
    x_train, x_test = data["x_train"] / np.float32(255), data["x_test"] / np.float32(255)
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Conv2D(32, (3, 3), padding="same", activation="relu"),
            keras.layers.MaxPooling2D((2, 2), strides=2),
            keras.layers.Conv2D(64, (3, 3), padding="same", activation="relu"),
            keras.layers.MaxPooling2D((2, 2), strides=2),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        optimizer="adam",
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
    )
    seconds, best = 0.0, {"accuracy": 0.0, "seconds": 0.0}
    for _ in range(int(epochs)):
        started = time.perf_counter()
        model.fit(x_train, data["y_train"], batch_size=32, verbose=0)
        seconds += time.perf_counter() - started
        _, accuracy = model.evaluate(x_test, data["y_test"], verbose=0)  # off the clock
        if accuracy > best["accuracy"]:
            best = {"accuracy": float(accuracy), "seconds": seconds}
    print(json.dumps({"seconds": best["seconds"], "accuracy": best["accuracy"], "to_end": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
