"""What a trained network says of pictures, in float32: the reference that a bundle must equal."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from saccade.models.backend import engine_name
from saccade.models.compact import AS_IT_IS, View
from saccade.models.outputs import output_kind, to_logits
from saccade.progress import Progress
from saccade.training.result import Pictures


def logits_of(
    model: Any, pictures: Pictures, *, view: View = AS_IT_IS, progress: Progress
) -> npt.NDArray[np.float32]:
    """Return (N, C) logits of a Keras model for some rows of the cache, seen in this way."""
    predict = _predictor(model)
    outputs = []
    with progress.stage("calibrate", total=len(pictures.rows)) as stage:
        for pixels in pictures.batches():
            outputs.append(predict(view.of(pixels)))
            stage.advance(len(pixels))
    return to_logits(np.concatenate(outputs), output_kind(model))


def _predictor(model: Any) -> Any:
    if engine_name() != "torch":
        return lambda pixels: np.asarray(model(pixels.astype(np.float32), training=False))
    import torch

    def predict(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Keras's own call, so that no part of our engine judges itself."""
        with torch.inference_mode():
            outputs = model(torch.from_numpy(pixels).float().to(_device(model)), training=False)
        values: npt.NDArray[np.float32] = outputs.float().cpu().numpy()
        return values

    return predict


def _device(model: Any) -> Any:
    return model.variables[0].value.device
