"""T10: rock, paper, scissors: three classes from folders, pictures with transparency.

    python examples/t10_rock_paper_scissors.py            # 2,892 pictures, 15 epochs
    python examples/t10_rock_paper_scissors.py --quick    # the same, 1 epoch

Three classes need three outputs that add up to 1, which softmax gives; one output with softmax, as
printed in the tutorial, would always say 1. The pictures are RGBA; what lies behind a transparent
pixel is decided once, in Saccade's one decoder, for training and prediction alike.
"""

import tarfile

from tutorial_data import QUICK, archive

import saccade


def main() -> None:
    data = archive("rock-paper-scissors-28px.tar")
    run = saccade.train(data, model="t10", epochs=1 if QUICK else 15)

    accuracy = run.test.accuracy
    print(f"right: {accuracy.value:.1%} of {run.test.num_images} test pictures")
    print("true \\ said " + "".join(f"{name:>10}" for name in run.classes))
    for name, row in zip(run.classes, run.test.confusion, strict=True):
        print(f"{name:12}" + "".join(f"{count:10}" for count in row))

    with tarfile.open(data) as tar:
        member = next(m for m in tar if "/test/rock/" in m.name and m.isfile())
        picture = tar.extractfile(member).read()
    prediction = saccade.load(run.model).predict(picture)
    print(f"{member.name}: {prediction.label}, {prediction.probability:.0%}")
    print(f"open {run.report}")

    assert run.classes == ("paper", "rock", "scissors")
    assert run.test.num_images == 372
    assert run.images.used + run.images.left_out == 2892
    assert abs(sum(prediction.probabilities.values()) - 1) < 1e-3
    assert sum(map(sum, run.test.confusion)) == run.test.num_images
    assert QUICK or accuracy.value > 0.6, "chance is one third"


if __name__ == "__main__":
    main()
