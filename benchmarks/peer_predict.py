"""Opens a Keras model on TensorFlow and predicts one picture: ``peer_predict.py MODEL PICTURE N``.

Runs in the peer's environment; prints the median milliseconds of N further predictions.
"""

import json
import os
import statistics
import sys
import time

os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever is set outside

import keras
import numpy as np
from PIL import Image


def main(path: str, picture: str, number: str) -> None:
    model = keras.models.load_model(path)
    pixels = np.asarray(Image.open(picture), dtype="float32")[None, :, :, None]
    milliseconds = []
    for _ in range(1 + int(number)):
        started = time.perf_counter()
        model.predict(pixels, verbose=0)
        milliseconds.append(1000 * (time.perf_counter() - started))
    print(json.dumps({"warm_ms": statistics.median(milliseconds[1:] or milliseconds)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
