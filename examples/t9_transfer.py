"""T9: transfer learning, cats or dogs by a network that has seen a million other pictures.

    python examples/t9_transfer.py            # 4,000 pictures, at 224 px
    python examples/t9_transfer.py --quick    # 100 pictures

The tutorial freezes InceptionV3, cuts it at a named layer and puts a head of its own on top, with
weights from a local file. Here the same, with a MobileNet whose weights are small. Frozen layers
say the same of a picture each time, so Saccade asks them once and keeps the answers; what is left
to train is the head.
"""

from pathlib import Path

from tutorial_data import QUICK, archive, unpack_few

import saccade

CUT = "conv_pw_12_relu"  # one block below its last; a wrong name is answered with those near it


def main() -> None:
    weights = archive("weights/mobilenet_2_5_224_tf_no_top.h5")
    data = archive("cats-vs-dogs-192px.tar")
    if QUICK:
        data = unpack_few(data, Path("cats-vs-dogs"), every=40)
    run = saccade.train(data, model="MobileNet-0.25", weights=weights, cut=CUT)

    backbone = run.plan["backbone"]
    print(f"frozen: {backbone['name']}, cut at {backbone['cut']}")
    print(f"trained: {run.layers[-1]['num_parameters']:,} weights in {run.seconds['train']:.1f} s")
    accuracy, baseline = run.test.accuracy, run.test.baseline_accuracy
    print(f"right: {accuracy.value:.1%} (95 % interval {accuracy.low:.1%} to {accuracy.high:.1%})")
    print(f"always saying {run.test.baseline_class}: {baseline.value:.1%}")
    print(f"open {run.report}")

    assert run.classes == ("cats", "dogs")
    assert backbone["cut"] == CUT
    assert [layer["name"] for layer in run.layers][-1] == "logits"
    assert run.fit["history"]["val_loss"], "every penalty that was tried left its loss"
    assert QUICK or accuracy.value >= 0.9


if __name__ == "__main__":
    main()
