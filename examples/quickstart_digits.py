"""Quickstart: a classifier of handwritten digits, offline, in under a minute.

    python examples/quickstart_digits.py            # a budget of 20 seconds
    python examples/quickstart_digits.py --quick    # one epoch

The pictures come with scikit-learn, so nothing is downloaded. `saccade.train` finds the classes,
keeps a fifth of the pictures sealed for the final score, chooses a network that fits the budget,
and writes one folder with the model and a report to open in a browser.
"""

import numpy as np
from sklearn.datasets import load_digits
from tutorial_data import QUICK

import saccade


def main() -> None:
    effort = {"epochs": 1} if QUICK else {"budget": "20s"}
    run = saccade.train("digits", out="runs", **effort)

    accuracy = run.test.accuracy
    print(f"right: {accuracy.value:.1%} of {run.test.num_images} pictures it never saw")
    print(f"with 95 % certainty between {accuracy.low:.1%} and {accuracy.high:.1%}")
    print(f"always saying {run.test.baseline_class} gets {run.test.baseline_accuracy.value:.1%}")

    classifier = saccade.load(run.model)  # from here on neither Keras nor PyTorch is needed
    picture = (load_digits().images[0] * 255 / 16).astype(np.uint8)  # a zero, 8×8 pixels
    prediction = classifier.predict(picture)
    print(f"the first picture: {prediction.label}, {prediction.probability:.0%} sure")
    print(f"open {run.report}")

    assert accuracy.low > run.test.baseline_accuracy.high
    assert QUICK or accuracy.value >= 0.97
    assert QUICK or prediction.label == "0"
    assert run.model.is_file()
    assert run.report.is_file()


if __name__ == "__main__":
    main()
