"""Trains once on photographs and prints one JSON document: seconds, accuracy on the test part.

    python transfer_training_worker.py saccade ARCHIVE WEIGHTS FOLDER
    python transfer_training_worker.py keras WEIGHTS FOLDER --epochs 10

`saccade` runs the whole journey, its cache of pixels and features empty, and leaves the same
pixels in FOLDER for the peer. `keras` is the tutorial's way: the frozen network inside the model,
`fit` on scaled pictures in memory, in batches of 32.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

ALPHA, SIZE_PX = 0.25, 224
PARTS = ("train", "validation", "test")


def saccade_way(given: argparse.Namespace) -> dict[str, float]:
    import saccade
    from saccade.data import read_index
    from saccade.progress import Silence

    began = time.perf_counter()
    run = saccade.train(
        given.archive, weights=given.weights, out=given.folder / "runs", progress=Silence()
    )
    total = time.perf_counter() - began
    assert run.plan["height_px"] == SIZE_PX
    index = read_index(run.folder / "index.parquet")
    (pixels,) = (given.folder / "cache").rglob("pixels.npy")
    for code, part in enumerate(PARTS):
        rows = index.rows_of(code)
        np.save(given.folder / f"x_{part}.npy", np.load(pixels, mmap_mode="r")[rows])
        np.save(given.folder / f"y_{part}.npy", index.label[rows])
    return {"fit": run.seconds["train"], "total": total, "accuracy": run.test.accuracy.value}


def keras_way(given: argparse.Namespace) -> dict[str, float]:
    import keras

    data = {
        part: (
            np.load(given.folder / f"x_{part}.npy").astype(np.float32) / 127.5 - 1,
            np.load(given.folder / f"y_{part}.npy").astype(np.int64),
        )
        for part in PARTS
    }
    base = keras.applications.MobileNet(
        alpha=ALPHA, include_top=False, weights=None, input_shape=(SIZE_PX, SIZE_PX, 3)
    )
    base.load_weights(given.weights)
    base.trainable = False
    pooled = keras.layers.GlobalAveragePooling2D()(base.output)
    model = keras.Model(base.input, keras.layers.Dense(2, activation="softmax")(pooled))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    began = time.perf_counter()
    model.fit(*data["train"], validation_data=data["validation"], epochs=given.epochs, verbose=0)
    seconds = time.perf_counter() - began
    _, accuracy = model.evaluate(*data["test"], verbose=0)
    return {"fit": seconds, "accuracy": float(accuracy)}


def main() -> None:
    parser = argparse.ArgumentParser()
    ways = parser.add_subparsers(dest="way", required=True)
    ours = ways.add_parser("saccade")
    ours.add_argument("archive", type=Path)
    theirs = ways.add_parser("keras")
    theirs.add_argument("--epochs", type=int, required=True)
    for way in (ours, theirs):
        way.add_argument("weights", type=Path)
        way.add_argument("folder", type=Path)
    given = parser.parse_args()
    print(json.dumps((saccade_way if given.way == "saccade" else keras_way)(given)))


if __name__ == "__main__":
    main()
