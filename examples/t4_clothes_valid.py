"""T4: let the network see neighbouring pixels, count what it costs, and balance.

    python examples/t4_clothes_valid.py            # 60,000 pictures, 5 epochs a network
    python examples/t4_clothes_valid.py --quick    # 1,000 pictures, 1 epoch a network

A `valid` 3×3 filter loses a pixel on every side, and 2×2 pooling halves: 28 to 26, 13, 11 and 5.
Then the number of filters varies: the table shows where more filters cost more than they bring.
"""

import time

from tutorial_data import QUICK, fashion_mnist

import saccade
from saccade.models import load_keras

NUM_TRAIN, NUM_TEST, EPOCHS, AT_LEAST = (1000, 500, 1, 0.3) if QUICK else (None, None, 5, 0.9)


def network(num_filters):
    keras = load_keras()
    keras.utils.set_random_seed(1)
    layers = [
        keras.Input((28, 28, 1)),
        keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(num_filters, 3, activation="relu"),
        keras.layers.MaxPooling2D(2),
        keras.layers.Conv2D(num_filters, 3, activation="relu"),
        keras.layers.MaxPooling2D(2),
        keras.layers.Flatten(),
        keras.layers.Dense(128, activation="relu"),
        keras.layers.Dense(10, activation="softmax"),
    ]
    model = keras.Sequential(layers)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main() -> None:
    clothes = fashion_mnist(NUM_TRAIN, NUM_TEST)
    model = network(64)
    model.summary()
    assert [layer.output.shape[1] for layer in model.layers[1:5]] == [26, 13, 11, 5]
    assert model.layers[5].output.shape == (None, 1600)  # what Flatten hands on: 5 · 5 · 64
    assert model.count_params() == 243_786

    accuracies = {}
    print("filters  parameters  seconds  test accuracy")
    for num_filters in (8, 64) if QUICK else (8, 16, 32, 64):
        model, started = network(num_filters), time.perf_counter()
        saccade.fit(model, clothes.x_train, clothes.y_train, epochs=EPOCHS, verbose=0)
        seconds = time.perf_counter() - started
        _, accuracy = model.evaluate(clothes.x_test, clothes.y_test, verbose=0)
        print(f"{num_filters:7}  {model.count_params():10,}  {seconds:7.1f}  {accuracy:13.2%}")
        accuracies[num_filters] = accuracy
    assert accuracies[64] >= AT_LEAST  # the tutorial's network; eight filters reach 87 %
    assert QUICK or accuracies[64] > accuracies[8]


if __name__ == "__main__":
    main()
