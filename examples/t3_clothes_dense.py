"""T3: tell ten kinds of clothes apart without convolution.

    python examples/t3_clothes_dense.py            # 60,000 pictures, 5 epochs; 87.56 % published
    python examples/t3_clothes_dense.py --quick    # 2,000 pictures, 3 epochs

Flatten lays the 28×28 pixels out in a row, so the network cannot know which pixels are neighbours.
Even so it gets about seven of eight right. T4 and T5 let it see neighbours.
"""

from tutorial_data import QUICK, fashion_mnist

import saccade
from saccade.models import load_keras

NUM_TRAIN, NUM_TEST, EPOCHS, AT_LEAST = (2000, 500, 3, 0.6) if QUICK else (None, None, 5, 0.86)


def main() -> None:
    keras = load_keras()
    keras.utils.set_random_seed(1)
    clothes = fashion_mnist(NUM_TRAIN, NUM_TEST)

    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Rescaling(1 / 255),  # in the model, so that it happens once and for good
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = saccade.fit(model, clothes.x_train, clothes.y_train, epochs=EPOCHS, verbose=0)
    _, accuracy = model.evaluate(clothes.x_test, clothes.y_test, verbose=0)

    for epoch, value in enumerate(history.history["accuracy"], start=1):
        print(f"epoch {epoch}: {value:.1%} of the training pictures right")
    print(f"{accuracy:.2%} of {len(clothes.x_test):,} test pictures right")
    assert model.count_params() == 784 * 128 + 128 + 128 * 10 + 10
    assert accuracy >= AT_LEAST


if __name__ == "__main__":
    main()
