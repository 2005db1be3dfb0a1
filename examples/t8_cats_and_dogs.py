"""T8: cats and dogs, with augmentation: pictures rotated, shifted, sheared, zoomed and mirrored.

    python examples/t8_cats_and_dogs.py            # 4,000 pictures, 15 epochs
    python examples/t8_cats_and_dogs.py --quick    # 100 pictures, 1 epoch

The network is T7's. Every training picture is shown changed, each time anew; validation and test
pictures never are. A shear of 0.2 slides the upper edge by a fifth of the height against the lower:
the tutorial's shear_range=0.2 is read by Keras as 0.2 degrees, which nobody can see.
"""

from pathlib import Path

import numpy as np
from tutorial_data import QUICK, archive, unpack_few

import saccade

CHANGES = "rotate=40,shift=0.2,shear=0.2,zoom=0.2,flip,fill=nearest"


def main() -> None:
    data = archive("cats-vs-dogs-192px.tar")
    if QUICK:
        data = unpack_few(data, Path("cats-and-dogs"), every=40)
    run = saccade.train(data, model="t8", augment=CHANGES, epochs=1 if QUICK else 15)

    print(f"pictures: {run.images.train} to train, {run.images.validation} to validate, "
          f"{run.images.test} for the test")  # fmt: skip
    print("training changed: " + run.settings["augment"])
    accuracy, baseline = run.test.accuracy, run.test.baseline_accuracy
    print(f"right: {accuracy.value:.1%} (95 % interval {accuracy.low:.1%} to {accuracy.high:.1%})")
    print(f"open {run.report}: its training section shows pictures as training did")

    shown = np.load(run.folder / "augmented.npz")["pixels"]
    assert run.classes == ("cats", "dogs")
    assert run.images.used + run.images.left_out == (100 if QUICK else 4000)
    assert run.settings["augment"] == CHANGES
    assert shown.shape == (4, 6, 150, 150, 3), "4 pictures: as it is, and 5 versions"
    assert (shown[:, 1:] != shown[:, :1]).any(axis=(0, 2, 3, 4)).all()
    assert "rotated by up to 40°" in run.report.read_text()
    assert QUICK or accuracy.low > baseline.high


if __name__ == "__main__":
    main()
