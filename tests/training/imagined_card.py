"""Trains on a card that is not there: run by `test_device`, since it changes PyTorch for good.

Tensors on it are PyTorch's fake ones: they have shapes, types and a device, and no numbers. So
whatever asks one for a number fails, as does what mixes it with a tensor in memory. What is left,
copies between memory and card, is watched.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from dataclasses import replace

os.environ |= {"SACCADE_PRECISION": "bf16", "SACCADE_KERNELS": "off"}

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

from saccade.augmentation import Augmentation
from saccade.models import build_model
from saccade.models.backend import load_keras
from saccade.training.batches import Batches, Resident, Streamed
from saccade.training.examples import Examples
from saccade.training.examples import Resident as ResidentExamples
from saccade.training.learner import Learner
from saccade.training.meters import Meters
from saccade.training.objective import our_loss, our_optimizer
from saccade.training.plan import Facts, derive_plan
from saccade.training.result import Pictures
from saccade.training.step import TrainingStep

keras = load_keras()
SIZES = {"width_px": 16, "height_px": 12, "channels": 3, "num_classes": 4, "num_train": 48}
EVERY = Augmentation(rotate=20, shift=0.1, light=0.3, colour=0.3, erase=0.3, mixup=0.4, cutmix=1.0)
STRAIGHT = Augmentation(shift=0.1, flip=True, fill="constant", light=0.2)


class Module(_DummyBackendModule):
    """What PyTorch asks a backend: it multiplies in bf16."""

    def get_amp_supported_dtype(self):
        return [torch.bfloat16]


class Copies(TorchDispatchMode):
    """Counts copies between memory and card, and those that did not go through `on_device`."""

    def __init__(self, imagining):
        super().__init__()
        self.imagining, self.seen = imagining, Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        args, kwargs = tree_map_only(torch.Tensor, self._imagined, (args, kwargs or {}))
        result = func(*args, **kwargs)
        if func._schema.name in ("aten::_to_copy", "aten::copy_"):
            source = args[1] if func._schema.name == "aten::copy_" else args[0]
            if source.device.type != result.device.type:
                way = f"{source.device.type} to {result.device.type}"
                self.seen[way if is_within("on_device") else f"{way}, waited for"] += 1
        return result

    def _imagined(self, tensor):
        return tensor if isinstance(tensor, FakeTensor) else self.imagining.from_tensor(tensor)


def is_within(name):
    """Whether a function of this name is running."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_name != name:
        frame = frame.f_back
    return frame is not None


def pictures():
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (48, 12, 16, 3)).astype(np.uint8)
    return Pictures(pixels, np.arange(48), np.arange(48) % 4)


def moved(model, card):
    """Have a model's weights, and its optimizer's slots, on the card.

    The optimizer's count and rate stay numbers that can be read: once is allowed.
    """
    for variable in [*model.variables, *model.optimizer.variables]:
        value = variable._value
        if not value.ndim:
            with unset_fake_temporarily():
                number = value.item()
            variable._value = torch.tensor(number)
            continue
        imagined = torch.empty(value.shape, dtype=value.dtype, device=card)
        variable._value = torch.nn.Parameter(imagined, requires_grad=value.requires_grad)
    return model


def journey(imagining, card, place, augmentation):
    """Some of an epoch's steps, with Muon, an average of the weights and residual blocks."""
    plan = derive_plan(Facts(same_size=True, budget_s=None, epochs=40, **SIZES))
    with unset_fake_temporarily():
        model = build_model("auto", input_shape=(12, 16, 3), num_classes=4, design=plan.design)
        model.compile(our_optimizer(plan), our_loss("logits", 4, plan.label_smoothing))
        model.optimizer.build(model.trainable_variables)
    learner = Learner(moved(model, card), replace(plan, recipe="own"))
    learner.start_average(2.0)
    batches = Batches(pictures(), place(pictures(), card), augmentation, 4)
    groups = np.arange(48).reshape(6, 8)
    with Copies(imagining) as copies:
        for pixels, labels in batches.shown(groups, np.random.default_rng(0)):
            assert pixels.device.type == "card"
            loss = learner.train(pixels, labels, 0.01)
    assert loss.device.type == "card"
    return copies.seen


def small_network():
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((12, 16, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 3, activation="relu", kernel_regularizer="l2"),
            layers.MaxPooling2D(),
            layers.Dropout(0.2),
            layers.Flatten(),
            layers.Dense(4, activation="softmax"),
        ]
    )


def fit(imagining, card, optimizer):
    """Some of `saccade.fit`'s steps, with dropout, a penalty and metrics; the rate is asked for."""
    some = pictures()
    data = Examples.of(some.pixels, some.labels, np.ones(48))
    with unset_fake_temporarily():
        model = small_network()
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
        model._symbolic_build(data_batch=(some.pixels[:8], some.labels[:8]))
        model.optimizer.build(model.trainable_variables)
    step, meters = TrainingStep(moved(model, card)), Meters(model)
    with Copies(imagining) as copies:
        for batch in ResidentExamples(data, card).batches(8, shuffle=False):
            loss = step.train(batch.x, batch.y, sample_weight=batch.weight)
            meters.update(loss, batch.y, step.outputs)
            meters._count()
    return copies.seen


def main():
    _setup_privateuseone_for_python_backend("card", Module())
    autocast = torch.library.Library("_", "IMPL", "AutocastPrivateUse1")
    autocast.fallback(torch.library.fallthrough_kernel)  # no cast; Muon multiplies in bf16
    card = torch.device("card", 0)
    with FakeTensorMode(allow_non_fake_inputs=True) as imagining:
        found = {
            f"journey, {place.__name__}, {augmentation}": journey(
                imagining, card, place, augmentation
            )
            for place in (Resident, Streamed)
            for augmentation in (EVERY, STRAIGHT)
        }
        for optimizer in ("sgd", "adam", "adamw", "rmsprop"):
            found[f"fit, {optimizer}"] = fit(imagining, card, optimizer)
    for name, copies in found.items():
        seen = ", ".join(f"{way} {count}" for way, count in copies.items())
        print(f"{name}: {seen}")


if __name__ == "__main__":
    main()
