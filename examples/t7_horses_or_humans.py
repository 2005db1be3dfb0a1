"""T7: horses or humans, straight from folders of pictures.

    python examples/t7_horses_or_humans.py            # 1,283 pictures, 15 epochs
    python examples/t7_horses_or_humans.py --quick    # 129 pictures, 1 epoch

The folder a picture lies in is its label. An archive serves as it is: nothing is unpacked by hand,
and pictures are brought to one size as they are read. The set has train/ and validation/ but no
test pictures, so Saccade seals some of the training pictures for the final score.
"""

from pathlib import Path

from tutorial_data import QUICK, archive, unpack_few

import saccade


def main() -> None:
    data = archive("horses-or-humans-100px-gray.tar")
    if QUICK:
        data = unpack_few(data, Path("horses-or-humans"), every=10)
    run = saccade.train(data, model="t7", epochs=1 if QUICK else 15)

    print(f"classes, from the folders' names: {', '.join(run.classes)}")
    print(f"pictures: {run.images.train} to train, {run.images.validation} to validate, "
          f"{run.images.test} sealed for the test")  # fmt: skip
    accuracy, baseline = run.test.accuracy, run.test.baseline_accuracy
    print(f"right: {accuracy.value:.1%} (95 % interval {accuracy.low:.1%} to {accuracy.high:.1%})")
    print(f"always saying {run.test.baseline_class}: {baseline.value:.1%}")
    print(f"open {run.report}")

    assert run.classes == ("horses", "humans")
    assert run.layers[-1]["output_shape"][-1] == 1, "one sigmoid: the probability of a human"
    assert run.images.test > 0
    assert run.images.used + run.images.left_out == (129 if QUICK else 1283)
    assert QUICK or accuracy.low > baseline.high


if __name__ == "__main__":
    main()
