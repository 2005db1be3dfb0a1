"""T2: convolution and pooling by hand, with nothing but NumPy, and Keras as the witness.

    python examples/t2_convolution.py

A filter is nine numbers that slide over a picture: an output pixel is the sum of the nine pixels
under the filter, each times its number. The numbers decide what is seen: lines, edges, a blur.
Networks learn theirs; here they are given. Needs no data; writes runs/t2-filters.png to look at.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image

from saccade.models import load_keras

FILTERS = {
    "vertical lines": np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
    "horizontal lines": np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]]),
    "edge": np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]),
    "blur": np.full((3, 3), 1 / 9),
    "sharpen": np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
}


def convolve(picture, kernel, stride=1, padding="valid"):
    if padding == "same":  # zeros around the picture, so that the output is as large
        missing = [max((-(-n // stride) - 1) * stride + 3 - n, 0) for n in picture.shape]
        picture = np.pad(picture, [(n // 2, n - n // 2) for n in missing])
    height, width = ((n - 3) // stride + 1 for n in picture.shape)
    result = np.zeros((height, width))
    for (row, column), number in np.ndenumerate(kernel):
        result += number * picture[row:, column:][::stride, ::stride][:height, :width]
    return result


def pool(picture, reduce):  # keeps one number of every 2×2 square
    height, width = (n // 2 for n in picture.shape)
    return reduce(picture[: 2 * height, : 2 * width].reshape(height, 2, width, 2), axis=(1, 3))


def main() -> None:
    photo = Image.fromarray(load_sample_image("china.jpg")).convert("L")  # is in scikit-learn
    small, keras = np.asarray(photo.resize((28, 28)), dtype="float32"), load_keras()
    for kernel in FILTERS.values():
        for stride, padding in ((1, "valid"), (1, "same"), (2, "valid"), (2, "same")):
            witness = keras.layers.Conv2D(1, 3, stride, padding, use_bias=False)
            witness.build((None, 28, 28, 1))
            witness.set_weights([kernel[:, :, None, None]])
            expected = keras.ops.convert_to_numpy(witness(small[None, :, :, None]))[0, :, :, 0]
            np.testing.assert_allclose(
                convolve(small, kernel, stride, padding), expected, atol=0.01
            )
    print(f"{len(FILTERS)} filters, stride 1 and 2, valid and same: all equal to Keras's Conv2D")

    seen = convolve(small, FILTERS["edge"])
    maximum, average, total = (pool(seen, reduce) for reduce in (np.max, np.mean, np.sum))
    print(f"28×28 pixels; a valid 3×3 filter leaves {seen.shape}; 2×2 pooling {maximum.shape}")
    assert seen.shape == (26, 26)
    assert maximum.shape == average.shape == total.shape == (13, 13)
    assert convolve(small, FILTERS["edge"], padding="same").shape == (28, 28)
    largest = keras.layers.MaxPooling2D(2)(seen[None, :, :, None])
    assert (keras.ops.convert_to_numpy(largest)[0, :, :, 0] == maximum.astype("float32")).all()
    assert np.allclose(total, 4 * average)
    assert (maximum >= average).all()

    panels = [convolve(np.asarray(photo, dtype=float), kernel) for kernel in FILTERS.values()]
    Path("runs").mkdir(exist_ok=True)
    Image.fromarray(np.clip(np.vstack(panels), 0, 255).astype("uint8")).save("runs/t2-filters.png")
    print(f"runs/t2-filters.png, top to bottom: {', '.join(FILTERS)}")


if __name__ == "__main__":
    main()
