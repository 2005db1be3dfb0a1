"""Brings a folder of class folders to pixels of one size: ``peer_loading.py PEER FOLDER SIDE``.

PEER is `keras` (image_dataset_from_directory on TensorFlow, with its own threads) or `torch` (a
DataLoader of two workers over Pillow, with the filter of Saccade's own). Each runs once to the end,
into batches of 128. The clock starts after the imports. Prints files and seconds.
"""

import json
import os
import sys
import time

BATCH = 128


def load_with_keras(folder: str, side_px: int) -> tuple[int, float]:
    os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever is set outside
    import keras
    import tensorflow  # noqa: F401  (imported by the call otherwise, on the clock)

    started = time.perf_counter()
    batches = keras.utils.image_dataset_from_directory(
        folder, image_size=(side_px, side_px), batch_size=BATCH, shuffle=False, verbose=False
    )
    files = sum(len(pixels.numpy()) for pixels, _ in batches)
    return files, time.perf_counter() - started


def load_with_torch(folder: str, side_px: int) -> tuple[int, float]:
    import numpy as np
    import torch
    from PIL import Image

    class Pictures(torch.utils.data.Dataset):
        def __init__(self) -> None:
            self.paths = [
                os.path.join(at, name)
                for at, _, names in os.walk(folder)
                for name in names
                if name.endswith(".jpg")  # the set of small files holds a text as well
            ]

        def __len__(self) -> int:
            return len(self.paths)

        def __getitem__(self, row: int) -> torch.Tensor:
            with Image.open(self.paths[row]) as image:
                picture = image.convert("RGB")
            picture = picture.resize((side_px, side_px), Image.Resampling.BILINEAR)
            return torch.from_numpy(np.array(picture))  # (H, W, 3) uint8

    started = time.perf_counter()
    batches = torch.utils.data.DataLoader(Pictures(), batch_size=BATCH, num_workers=2)
    files = sum(len(pixels) for pixels in batches)
    return files, time.perf_counter() - started


if __name__ == "__main__":
    peer, folder, side = sys.argv[1:]
    load = {"keras": load_with_keras, "torch": load_with_torch}[peer]
    files, seconds = load(folder, int(side))
    print(json.dumps({"files": files, "seconds": seconds}))
