"""T6: small colour pictures, variants of one network, and training that knows when to stop.

    python examples/t6_small_colour.py            # 60,000 pictures, up to 500 epochs a variant
    python examples/t6_small_colour.py --quick    # 600 pictures, 2 epochs, one variant

500 epochs are the tutorial's, but its network is at its best after about five: from then on it
learns the training pictures by heart. Saccade watches validation pictures, stops, and keeps the
best; the test pictures decide nothing. Loss and accuracy curves are in each run's report.
"""

from zipfile import ZipFile

from tutorial_data import QUICK, archive, cifar10_originals

import saccade
from saccade.models import build_network, load_keras

VARIANTS = ("t6", "t6-dropout", "t6-batchnorm", "t6-xception")


def main() -> None:
    pixels, names = cifar10_originals()
    data = (pixels[:600], names[:600]) if QUICK else archive("cifar10-jpeg.tar.gz")
    sizes = {}
    for name in VARIANTS:
        model = build_network(name, input_shape=(32, 32, 3), num_classes=10)
        sizes[name] = model.count_params()
    assert sizes["t6"] == sizes["t6-dropout"] == 881_002
    assert sizes["t6-batchnorm"] == 881_002 + 4 * 200  # scale, shift, mean, variance of 200 inputs

    table = ["network       parameters  epochs  best  test accuracy  curves"]
    for name in VARIANTS[:1] if QUICK else VARIANTS[:3]:
        run = saccade.train(data, model=name, epochs=2 if QUICK else 500)
        epochs, best = len(run.fit["history"]["val_loss"]), run.fit["best_epoch"]
        accuracy = run.test.accuracy.value
        row = f"{name:12}  {sizes[name]:10,}  {epochs:6}  {best:4}  {accuracy:13.1%}  {run.report}"
        table.append(row)
        assert QUICK or (accuracy > 0.6 and epochs < 100), "good, and stopped long before 500"
    print("\n".join(table))

    with ZipFile(run.model) as bundle:  # the saved model is one file; in it lies a plain Keras one
        bundle.extract("model.keras", run.folder)
    keras_model = load_keras().models.load_model(run.folder / "model.keras")
    print(f"{run.folder / 'model.keras'} opens wherever Keras does: {keras_model.name}")
    assert keras_model.count_params() == sizes[name]

    # Xception is the large design: far too slow for all 60,000 without a GPU, so it sees 2,000.
    print(f"t6-xception has {sizes['t6-xception']:,} parameters, as many as 23 of the above")
    if not QUICK:
        run = saccade.train((pixels, names), model="t6-xception", epochs=1)
        print(f"one epoch on its 2,000 pictures took {run.seconds['train']:.0f} s")


if __name__ == "__main__":
    main()
