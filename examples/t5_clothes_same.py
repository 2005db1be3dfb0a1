"""T5: the clothes again with `same` padding, and a report of what the network sees.

    python examples/t5_clothes_same.py            # 60,000 pictures, 5 epochs; 91.62 % published
    python examples/t5_clothes_same.py --quick    # 1,000 pictures, 1 epoch

Two convolutions of 32 and 64 filters keep the picture's size, so 28 becomes 14 and then 7. The
report holds the tutorial's two figures: a grid of 25 pictures, and predictions with their per cent
and the true class, right in blue and wrong in red.
"""

from tutorial_data import QUICK, fashion_mnist

import saccade


def main() -> None:
    clothes = fashion_mnist(1000, 500) if QUICK else fashion_mnist()
    if QUICK:  # any pictures in NumPy arrays, with their class's name or number
        names = [clothes.classes[label] for label in clothes.y_train]
        test = (clothes.x_test, [clothes.classes[label] for label in clothes.y_test])
        run = saccade.train((clothes.x_train, names), test=test, model="t5", epochs=1)
    else:  # a known set, by its name
        run = saccade.train("fashion-mnist", model="t5", epochs=5)

    accuracy = run.test.accuracy
    print(f"{accuracy.value:.2%} ({accuracy.low:.2%} to {accuracy.high:.2%}) of the test pictures")
    print("hardest:")
    hardest = sorted(run.test.per_class, key=lambda figures: figures.recall.value)
    for figures in hardest[:3]:
        print(f"  {figures.name}: {figures.recall.value:.0%} of them found")

    classifier = saccade.load(run.model)
    prediction = classifier.predict(clothes.x_test[0])
    truth = clothes.classes[clothes.y_test[0]]
    print(f"one picture: {prediction.label}, {prediction.probability:.0%} (it is: {truth})")
    print(f"both grids, and all else: open {run.report}")

    assert sum(layer["num_parameters"] for layer in run.layers) == 421_642
    assert accuracy.value >= (0.3 if QUICK else 0.9)
    assert abs(sum(prediction.probabilities.values()) - 1) < 1e-3
    assert "data:image/" in run.report.read_text()  # the pictures are in the report itself


if __name__ == "__main__":
    main()
