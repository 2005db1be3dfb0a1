"""Computes a frozen network's features once for each line that arrives on standard input.

    python transfer_worker.py --runtime fastest --network InceptionV3 --size 150 --images 768
    python transfer_worker.py --precision float32 --batch 32 --network InceptionV3 …

With --runtime it is Saccade, in its environment; else Keras's `predict`, in the peer's. Choosing
the runtime and building it are warm-up, as Keras's tracing is.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

ANSWER = "ANSWER "


def keras_predict(given, pixels):
    """Return a call of the peer: scaled float32 pictures in memory, as its tutorials have them."""
    import keras

    if given.precision != "float32":
        keras.config.set_dtype_policy(given.precision)
    shape = pixels.shape[1:]
    network = getattr(keras.applications, given.network)
    model = network(weights=None, include_top=False, input_shape=shape, pooling="avg")
    scaled = pixels.astype(np.float32) / 127.5 - 1
    return lambda: model.predict(scaled, batch_size=given.batch, verbose=0)


def saccade_features(given, pixels):
    """Return a call of Saccade on the pixels as they come from its cache."""
    from saccade.transfer import backbone
    from saccade.transfer.runtimes import fastest, runtimes

    body = backbone(given.network, given.size, weights=None)
    if given.runtime == "fastest":
        runtime = fastest(body, pixels)
    else:
        runtime = next(found for found in runtimes(body) if found.name == given.runtime)
    print(f"{runtime.name}, {runtime.format}", file=sys.stderr)
    return lambda: [np.asarray(values) for values in runtime.run(pixels)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runtime")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--network", required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--images", type=int, required=True)
    given = parser.parse_args()
    shape = (given.images, given.size, given.size, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    call = (saccade_features if given.runtime else keras_predict)(given, pixels)
    for _ in sys.stdin:
        began = time.perf_counter()
        call()
        print(f"{ANSWER}{time.perf_counter() - began}", flush=True)


if __name__ == "__main__":
    main()
