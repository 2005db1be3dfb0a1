"""A tutorial's T7, T8 or T10 on TensorFlow, for some time: prints its best test accuracy.

    python tutorial_folders.py t7 PICTURES.tar SECONDS SEED    # T10, where there are three classes
    python tutorial_folders.py t8 PICTURES.tar SECONDS SEED    # with T8's changes of pictures

Runs in the peer's environment. The test pictures are asked after every epoch, off the clock, and
the best answer counts, as if its reader had known when to stop: more than an honest figure may.
What they print wrongly is mended: M4, a softmax of one for three classes, has one unit a class.
"""

import io
import json
import os
import sys
import tarfile
import time

os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever is set outside

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

SIDE, BATCH = 150, 32  # as the tutorials have them
LEARNT = "train"  # the other folder of an archive holds the test pictures


def read(path: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return pixels and classes, numbered by name, of `…/PART/CLASS/NAME`: train and test."""
    found: dict[str, list[tuple[np.ndarray, str]]] = {"train": [], "test": []}
    with tarfile.open(path) as tar:
        for member in tar:
            if member.name.endswith((".png", ".jpg")):
                part, label = member.name.split("/")[-3:-1]
                picture = Image.open(io.BytesIO(tar.extractfile(member).read())).convert("RGB")
                pixels = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
                found["train" if part == LEARNT else "test"].append((pixels, label))
    classes = sorted({label for _, label in found["train"]})
    return {
        part: (np.stack([x for x, _ in some]), np.array([classes.index(y) for _, y in some]))
        for part, some in found.items()
    }


def network(num_classes: int) -> keras.Model:
    """Three blocks and two dense layers, as T7 and T8 have them, and T10 for its classes."""
    blocks = []
    for width in (16, 32, 64):
        blocks += [keras.layers.Conv2D(width, 3, activation="relu"), keras.layers.MaxPooling2D()]
    two = num_classes == 2
    end = keras.layers.Dense(*((1, "sigmoid") if two else (num_classes, "softmax")))
    dense = [keras.layers.Flatten(), keras.layers.Dense(512, activation="relu"), end]
    start = [keras.Input((SIDE, SIDE, 3)), keras.layers.Rescaling(1 / 255)]
    model = keras.Sequential([*start, *blocks, *dense])
    loss = "binary_crossentropy" if two else "sparse_categorical_crossentropy"
    model.compile(optimizer=keras.optimizers.RMSprop(0.001), loss=loss, metrics=["accuracy"])
    return model


def changes() -> keras.Sequential:
    """T8's: rotate by 40 degrees, shift, shear and zoom by a fifth, flip, fill from the edge."""
    fill = {"fill_mode": "nearest"}
    return keras.Sequential(
        [
            keras.layers.RandomRotation(40 / 360, **fill),
            keras.layers.RandomTranslation(0.2, 0.2, **fill),
            keras.layers.RandomShear(0.2, 0.2, **fill),
            keras.layers.RandomZoom(0.2, **fill),
            keras.layers.RandomFlip("horizontal"),
        ]
    )


def main(name: str, pictures: str, seconds: str, seed: str) -> None:
    keras.utils.set_random_seed(int(seed))
    data = read(pictures)
    x, y = data["train"]
    learnt = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x)).batch(BATCH)
    if name == "t8":
        change = changes()
        learnt = learnt.map(lambda x, y: (change(x, training=True), y), tf.data.AUTOTUNE)
    learnt = learnt.prefetch(tf.data.AUTOTUNE)
    model = network(len(np.unique(y)))
    taken, epochs, best = 0.0, 0, 0.0
    while taken < float(seconds):
        began = time.perf_counter()
        model.fit(learnt, verbose=0)
        taken += time.perf_counter() - began
        epochs += 1
        best = max(best, model.evaluate(*data["test"], verbose=0)[1])  # off the clock
    print(json.dumps({"accuracy": float(best), "seconds": taken, "epochs": epochs}))


if __name__ == "__main__":
    main(*sys.argv[1:])
