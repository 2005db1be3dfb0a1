"""A Keras model on TensorFlow, as its users predict with it; runs in the peer's environment.

    peer_predict.py MODEL once PICTURE        predict one picture, and end
    peer_predict.py MODEL warm PICTURE 100    print the median milliseconds of one more picture
    peer_predict.py MODEL folder FOLDER 32    predict a folder whenever a line arrives, by batches
    peer_predict.py MODEL folder-once FOLDER 32    the same once, and end

One more picture is read from its file each time, as Saccade reads it, or is pixels already; it is
predicted by `model.predict`, as tutorials do it, or by calling the model, and the faster counts.
"""

import json
import os
import statistics
import sys
import time

os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever is set outside
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from PIL import Image

ANSWER = "ANSWER "


def median_ms(call, number: int) -> float:
    """Return the median milliseconds of some calls, after twenty that do not count."""
    milliseconds = []
    for count in range(20 + number):
        started = time.perf_counter()
        call()
        if count >= 20:
            milliseconds.append(1000 * (time.perf_counter() - started))
    return statistics.median(milliseconds)


def read(model, picture: str):
    """Return a picture at the model's own size as a batch of one."""
    height, width, channels = model.input_shape[1:]
    image = Image.open(picture).convert("L" if channels == 1 else "RGB").resize((width, height))
    return np.asarray(image, dtype="float32").reshape(1, height, width, channels)


def predict_warm(model, picture: str, number: str) -> None:
    """Print what one more picture takes, from its file and from its pixels."""
    pixels = read(model, picture)
    print(
        json.dumps(
            {
                "file_ms": min(
                    median_ms(lambda: model.predict(read(model, picture), verbose=0), int(number)),
                    median_ms(lambda: np.asarray(model(read(model, picture))), int(number)),
                ),
                "pixels_ms": min(
                    median_ms(lambda: model.predict(pixels, verbose=0), int(number)),
                    median_ms(lambda: np.asarray(model(pixels)), int(number)),
                ),
            }
        )
    )


def predict_folder(model, folder: str, batch: str):
    """Return the outputs for every picture in and below a folder."""
    height, width, channels = model.input_shape[1:]
    pictures = keras.utils.image_dataset_from_directory(
        folder,
        labels=None,
        shuffle=False,
        image_size=(height, width),
        color_mode="grayscale" if channels == 1 else "rgb",
        batch_size=int(batch),
        verbose=False,
    )
    return model.predict(pictures, verbose=0)


def predict_folder_on_request(model, folder: str, batch: str) -> None:
    """Print how many seconds a folder took, each time that a line arrives."""
    while sys.stdin.readline():
        started = time.perf_counter()
        predict_folder(model, folder, batch)
        print(f"{ANSWER}{time.perf_counter() - started}", flush=True)


def main(path: str, what: str, *words: str) -> None:
    model = keras.models.load_model(path)
    if what == "once":
        model.predict(read(model, *words), verbose=0)
    elif what == "warm":
        predict_warm(model, *words)
    elif what == "folder":
        predict_folder_on_request(model, *words)
    else:
        np.save(sys.stdout.buffer, predict_folder(model, *words))


if __name__ == "__main__":
    main(*sys.argv[1:])
