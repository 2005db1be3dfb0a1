"""A model with its loss, its optimizer and the average of its weights: what the loop drives."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from saccade.models.losses import takes_one_hot
from saccade.models.outputs import output_kind
from saccade.training.averaging import WeightAverage
from saccade.training.batches import InMemory, Pixels, sources_of
from saccade.training.checkpoint import Arrays, under
from saccade.training.device import on_device
from saccade.training.objective import our_loss, our_optimizer, own_rate
from saccade.training.plan import TrainPlan
from saccade.training.result import Pictures
from saccade.training.schedule import rate_at
from saccade.training.step import TrainingStep


class Learner:
    """Trains on batches and scores pictures; hides what differs between losses."""

    def __init__(
        self,
        model: Any,
        plan: TrainPlan,
        *,
        several_labels: bool = False,
        shown: Sequence[Pictures] = (),
    ) -> None:
        """Make ready to train; `shown` are the pictures of every epoch, seen from `sources`."""
        self.model = model
        self.kind = output_kind(model)
        self.num_outputs = int(model.outputs[0].shape[-1])
        ours = plan.recipe == "auto" or not model.compiled
        self.one_hot = ours and self.num_outputs > 1
        self.peak = plan.learning_rate if ours else own_rate(model.optimizer)
        if ours:
            loss = our_loss(
                self.kind, self.num_outputs, plan.label_smoothing, several_labels=several_labels
            )
            optimizer = our_optimizer(plan)
            self.step = TrainingStep(model, loss=loss, optimizer=optimizer)
        else:
            self.one_hot = several_labels or takes_one_hot(model)
            self.step = TrainingStep(model)
        self.ours = ours
        self._average: WeightAverage | None = None
        self._shown, self.sources = shown, sources_of(shown, self.step.device)

    def start_average(self, steps: float) -> None:
        """Begin to average over about the last `steps` steps."""
        self._average = WeightAverage(self.model, steps=steps)

    def rate(self, done: float, scale: float) -> float | None:
        """Return the learning rate at this share of the work; None leaves it to the optimizer.

        `scale` shrinks it after failures.
        """
        return rate_at(done, peak=self.peak, scale=scale, falls=self.ours)

    def train(self, pixels: Pixels, labels: npt.NDArray[Any], rate: float | None) -> Any:
        """Train on one batch; return its loss as a tensor that nothing waited for.

        `pixels` (N, H, W, C) uint8 lie on the processor or where the model does. `labels` are
        classes (N,), or (N, outputs): shares where the loss takes one-hot labels, or which of
        several labels each picture has. Without a `rate` the optimizer's own is taken.
        """
        y = torch.from_numpy(np.ascontiguousarray(labels))
        y = y.float() if labels.ndim == 2 else y.long()
        if labels.ndim == 2:
            if not self.one_hot:
                raise ValueError("mixed labels need a loss over one-hot labels")
        elif self.one_hot:
            y = torch.nn.functional.one_hot(y, self.num_outputs).float()
        elif self.num_outputs == 1:
            y = y[:, None].float()
        loss = self.step.train(pixels, y, learning_rate=rate)
        if self._average is not None:
            self._average.update()
        return loss

    def averaged(self) -> AbstractContextManager[None]:
        """Let the model have its averaged weights, if any, for as long as the block runs."""
        return nullcontext() if self._average is None else self._average.applied()

    def outputs(self, pictures: Pictures) -> npt.NDArray[np.float32]:
        """Return the model's outputs for some pictures, in inference mode."""
        known = zip(self._shown, self.sources, strict=True)
        source = next((source for each, source in known if each is pictures), InMemory(pictures))
        outputs = []
        for pixels in source.in_order():  # not by a name, at which an error would keep its thread
            outputs.append(self._outputs(pixels, pictures.scored_at_once))
        values: npt.NDArray[np.float32] = torch.cat(outputs).cpu().numpy()
        return values

    def _outputs(self, pixels: Pixels, size: int) -> Any:
        """Predict; the last batch is filled up, since another shape would compile again."""
        filled, missing = pixels, size - len(pixels)
        if missing and isinstance(pixels, np.ndarray):
            filled = np.pad(pixels, [(0, missing), (0, 0), (0, 0), (0, 0)])
        elif missing:  # PyTorch pads from the last axis on
            filled = torch.nn.functional.pad(pixels, (*[0] * 7, missing))
        return self.step.infer(on_device(filled, self.step.device))[: len(pixels)]

    def is_finite(self) -> bool:
        """Return whether every weight is a number."""
        values = [variable.value for variable in self.model.variables]
        finite = [torch.isfinite(v).all() for v in values if v.is_floating_point()]
        return bool(torch.stack(finite).all())

    def weights(self) -> Arrays:
        """Return copies of the model's weights, by position."""
        return {
            f"{index}": variable.value.detach().cpu().numpy().copy()
            for index, variable in enumerate(self.model.variables)
        }

    def set_weights(self, weights: Arrays) -> None:
        """Give the model weights that `weights` returned."""
        for index, variable in enumerate(self.model.variables):
            variable.assign(weights[f"{index}"])

    def state(self) -> Arrays:
        """Return everything that training goes on from, as arrays by name."""
        arrays = {f"step/{name}": value for name, value in self.step.state().items()}
        if self._average is not None:
            arrays |= {f"average/{name}": v for name, v in self._average.state().items()}
        return arrays

    def load_state(self, arrays: Arrays) -> None:
        """Go on from what `state` returned."""
        self.step.load_state(under("step/", arrays))
        if self._average is not None:
            self._average.load_state(under("average/", arrays))
