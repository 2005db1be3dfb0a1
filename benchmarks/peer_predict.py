"""Opens a Keras model on TensorFlow and predicts one picture: ``peer_predict.py MODEL PICTURE N``.

Runs in the peer's environment; then prints the median milliseconds of N further predictions, by
`model.predict`, as tutorials do it, or by calling the model, whichever is faster.
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


def median_ms(call, number: int) -> float:
    """Return the median milliseconds of some calls, after one that does not count."""
    call()
    milliseconds = []
    for _ in range(number):
        started = time.perf_counter()
        call()
        milliseconds.append(1000 * (time.perf_counter() - started))
    return statistics.median(milliseconds)


def main(path: str, picture: str, number: str) -> None:
    model = keras.models.load_model(path)
    pixels = np.asarray(Image.open(picture), dtype="float32")[None, :, :, None]
    if number == "0":
        model.predict(pixels, verbose=0)
        return
    calls = [lambda: model.predict(pixels, verbose=0), lambda: np.asarray(model(pixels))]
    print(json.dumps({"warm_ms": min(median_ms(call, int(number)) for call in calls)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
