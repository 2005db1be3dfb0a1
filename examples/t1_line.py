"""T1: the smallest network there is learns y = 2x - 1 from six points.

    python examples/t1_line.py

One neuron has one weight and one bias: it can say w·x + b and nothing else. Training nudges w
towards 2 and b towards -1 for 500 rounds. Ask it for x = 10 and it answers close to 19, but not
exactly 19: six points and 500 nudges bring it near, not all the way. Needs no data, no network.
"""

import numpy as np

import saccade
from saccade.models import load_keras


def main() -> None:
    keras = load_keras()  # Keras, running on PyTorch
    keras.utils.set_random_seed(1)
    x = np.array([-1, 0, 1, 2, 3, 4], dtype="float32").reshape(-1, 1)
    y = 2 * x - 1

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(0.01), loss="mean_squared_error")
    history = saccade.fit(model, x, y, epochs=500, verbose=0)  # model.fit, only faster

    loss = history.history["loss"]
    weight, bias = (float(values.item()) for values in model.get_weights())
    answer = model.predict(np.array([[10.0]]), verbose=0).item()
    print(f"loss {loss[0]:.3f} at first, {loss[-1]:.6f} after {len(loss)} epochs")
    print(f"learnt y = {weight:.4f}·x + {bias:.4f}, so for x = 10: {answer:.4f}")

    assert len(loss) == 500
    assert loss[-1] < loss[0] / 1000
    assert abs(answer - 19) < 0.1, "close to 19 ..."
    assert answer != 19, "... but not exactly"
    assert abs(answer - (10 * weight + bias)) < 1e-4


if __name__ == "__main__":
    main()
