"""One dial, derived settings: from what the data is and how long there is, to how to train.

`derive_plan` is pure: equal facts give an equal plan, which is printed and stored. Nothing in it
knows a data set by name, and no fact comes from a test picture.

How the size follows. What a picture costs is reckoned from the machine's measured rate (`rate`).
Bigger networks and bigger pictures learn more from each
picture but are shown fewer; of the family's members, the largest is taken that still gets the
epochs it needs. With epochs in place of a budget the same rule is asked for five minutes on a
nominal machine, so that the plan, and with it the result, repeats on any machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from saccade.augmentation import Augmentation
from saccade.data import Index, Preprocessing
from saccade.models.backbones import BackboneDesign
from saccade.models.compact import CompactDesign, multiply_adds, num_weights
from saccade.training.rate import NOMINAL, Rate, measure_rate

Recipe = Literal["auto", "own"]

_SIDES_PX: Final = (32, 48, 64, 80, 96, 112, 128, 160, 192, 224)
_KEPT_SIDE_PX: Final = 64  # pictures of one size up to here are used as they are
_STEM_SIDE_PX: Final = 64  # from here on the first convolution has stride 2
_LAST_SIDE_PX: Final = 3  # the side of the last feature map, at least
# Width of the first stage and residual pairs, from cheap to dear; a tile of a matrix unit holds
# sixteen maps, and others are several times as slow.
_LADDER: Final = ((16, 0), (32, 0), (32, 1), (48, 1), (64, 1), (64, 2), (96, 2), (128, 2))
_SMALL: Final = (24, 0)  # what pictures must leave time for
_WIDEST: Final = 512
_NOMINAL_BUDGET_S: Final = 300.0
_BACKBONE_SIDES_PX: Final = (96, 224)  # the least and the most that a backbone is shown
_FINE_TUNING_RATE: Final = 1e-4  # the peak; what the backbone knows should be bent, not replaced
_MANY_EPOCHS: Final = 10  # from here on unchanged pictures would be learnt by heart
_LOWEST_SHARE: Final = 0.25  # of the rate; docs/transfer.md has what others gain


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the plan follows from; picture sizes from the headers of training pictures alone."""

    width_px: int  # median
    height_px: int  # median
    same_size: bool  # all pictures have this size
    channels: int  # 1 where all are grey, else 3
    num_classes: int
    num_train: int  # pictures to train on, about
    budget_s: float | None  # time for training; None where epochs are given
    epochs: int | None
    rate: Rate = NOMINAL  # of the machine
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.budget_s is None) == (self.epochs is None):
            raise ValueError("facts hold a budget or a number of epochs")

    @classmethod
    def measured(
        cls,
        index: Index,
        rows: npt.NDArray[Any],
        *,
        num_classes: int,
        num_train: int,
        budget_s: float | None,
        epochs: int | None,
        seed: int = 0,
    ) -> Facts:
        """Return the facts of some `rows` of an index, a mask or numbers, and of this machine."""
        sizes = np.stack([index.width_px[rows], index.height_px[rows]])
        width, height = np.median(sizes, axis=1)
        return cls(
            width_px=int(width),
            height_px=int(height),
            same_size=bool((sizes == sizes[:, :1]).all()),
            channels=1 if index.flagged("grey")[rows].all() else 3,
            num_classes=num_classes,
            num_train=num_train,
            budget_s=budget_s,
            epochs=epochs,
            rate=measure_rate(),
            seed=seed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainPlan:
    """Everything that training does, decided before it begins."""

    height_px: int
    width_px: int
    channels: int
    fit: Literal["pad", "stretch"]
    recipe: Recipe  # "auto": ours; "own": the compiled model's own optimizer and loss
    design: CompactDesign | None  # None unless the model is of our own family
    batch_size: int
    learning_rate: float  # the peak of the one cycle; for "own", the optimizer's rate is used
    weight_decay: float
    label_smoothing: float
    augmentation: Augmentation  # training pictures alone are changed
    averaging: float  # share of the work over which weights are averaged; 0 is not at all
    max_epochs: int
    patience: int  # epochs without a lower calibrated loss before training stops
    budget_s: float | None
    seed: int
    augmentation_is_asked: bool = False  # done as it is; else as pictures decide (`changes`)
    lowest_share: float = 1.0  # the lowest layer's rate for 1 of the head's; see `layerwise`
    backbone: BackboneDesign | None = None  # the network below the head, in transfer learning
    class_weights: tuple[float, ...] | None = None  # on names, where classes are uneven
    why: str = ""  # this network, where the choice was `auto`'s

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the pictures that the network takes."""
        return self.height_px, self.width_px, self.channels

    @property
    def preprocessing(self) -> Preprocessing:
        """What turns a file into the pixels that the network takes."""
        height, width, channels = self.input_shape
        return Preprocessing(height_px=height, width_px=width, channels=channels, fit=self.fit)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as a JSON document; `from_json` reads it back, equal."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> TrainPlan:
        """Read what `to_json` wrote."""
        design, backbone = document["design"], document["backbone"]
        weights = document["class_weights"]
        return cls(
            **{
                **document,
                "design": None if design is None else CompactDesign.from_json(design),
                "backbone": None if backbone is None else BackboneDesign.from_json(backbone),
                "class_weights": None if weights is None else tuple(weights),
                "augmentation": Augmentation.from_json(document["augmentation"]),
            }
        )

    def summary(self) -> str:
        """Return the plan in one line."""
        size = f"{self.width_px}×{self.height_px} px × {self.channels}"
        parts = [size]
        if self.design is not None:
            widths = "-".join(str(width) for width in self.design.widths)
            parts.append(f"network {widths}, {self.design.depth} residual pairs a stage")
        if self.backbone is not None:
            parts.append(self.backbone.summary())
            if not self.backbone.fine_tune:
                return ", ".join([*parts, "a linear head"])
        parts.append(f"batches of {self.batch_size}")
        parts.append(f"at most {self.max_epochs} epochs")
        if self.budget_s is not None:
            parts.append(f"{self.budget_s:.0f} s")
        return ", ".join(parts)


def derive_plan(
    facts: Facts,
    *,
    model: str = "auto",
    input_shape: tuple[int, ...] | None = None,
    augmentation: Augmentation | None = None,
    backbone: BackboneDesign | None = None,
) -> TrainPlan:
    """Return the plan for a model by name; `input_shape` where the model's file fixes it.

    `augmentation` is what the user asks, for any model; None leaves it to the plan. With a
    `backbone` the plan is for a head on top of it, and for fine-tuning where that is wanted.
    """
    batch_size = _batch_size(facts.num_train)
    design, height, width = _choose_network(facts)
    if model != "auto":
        height, width = _picture_size_for_own(facts)
    channels = facts.channels
    if input_shape is not None:
        height, width, channels = input_shape
    max_epochs = facts.epochs or _most_epochs(facts.num_train, batch_size)
    plan = TrainPlan(
        height_px=height,
        width_px=width,
        channels=channels,
        fit="pad",
        recipe="auto",
        design=design,
        batch_size=batch_size,
        learning_rate=_learning_rate(batch_size),
        weight_decay=0.02,
        label_smoothing=0.05,
        augmentation=_augmentation(facts, design, (height, width)),
        averaging=0.05,
        max_epochs=max_epochs,
        patience=_patience(max_epochs),
        budget_s=facts.budget_s,
        seed=facts.seed,
    )
    if backbone is not None:
        plan = _transfer(plan, facts, backbone)
    elif model != "auto":
        plan = _own(plan)
    if augmentation is None:
        return plan
    return replace(plan, augmentation=augmentation, augmentation_is_asked=True)


def _transfer(plan: TrainPlan, facts: Facts, backbone: BackboneDesign) -> TrainPlan:
    """Return the plan for a backbone: the pictures that it wants, small steps if it is tuned.

    Its weights know pictures of 224 px. Smaller ones are enlarged up to twofold, and to 96 px at
    least: what stands in them should be about as large as what it learnt from. Cross-validated on
    the 2,000 training pictures of cats and dogs, 192 px, a linear head on MobileNet-0.25 is right
    for 87.3 % at 128 px, 90.8 at 160, 91.8 at 192 and 93.6 at 224.
    """
    enlarged = 2 * max(facts.height_px, facts.width_px) // 32 * 32
    side = min(max(enlarged, _BACKBONE_SIDES_PX[0]), _BACKBONE_SIDES_PX[1])
    return replace(
        plan,
        height_px=side,
        width_px=side,
        channels=3,
        design=None,
        backbone=backbone,
        batch_size=min(plan.batch_size, 32),
        learning_rate=_FINE_TUNING_RATE,
        lowest_share=_LOWEST_SHARE,
        label_smoothing=0.0,
        augmentation=Augmentation(shift=0.05, zoom=0.2, flip=True, light=0.1),
    )


def _own(plan: TrainPlan) -> TrainPlan:
    """Return the plan for a model that brings its own optimizer and loss: nothing is added."""
    return replace(
        plan,
        recipe="own",
        design=None,
        label_smoothing=0.0,
        weight_decay=0.0,
        augmentation=Augmentation(),
        averaging=0.0,
        batch_size=min(plan.batch_size, 32),  # as the tutorials have it
        patience=max(8, min(20, plan.max_epochs // 5)),
    )


def _choose_network(facts: Facts) -> tuple[CompactDesign, int, int]:
    """Return the design and the picture's height and width; see the module's docstring."""
    sizes = _sizes(facts)
    for height, width in reversed(sizes[1:]):
        design = _design(facts, _SMALL, height, width)
        if _epochs_in_time(facts, design, height, width) >= _needed_epochs(facts.num_train):
            break
    else:
        height, width = sizes[0]
    chosen = _design(facts, _LADDER[0], height, width)
    for rung in _LADDER[1:]:
        design = _design(facts, rung, height, width)
        if _gets_its_epochs(facts, design, height, width):
            chosen = design
    return chosen, height, width


def _sizes(facts: Facts) -> list[tuple[int, int]]:
    """Return the (height, width) to choose from, smallest first; never above the median's."""
    longest = max(facts.height_px, facts.width_px)
    if facts.same_size and longest <= _KEPT_SIDE_PX:
        return [(facts.height_px, facts.width_px)]
    sides = [side for side in _SIDES_PX if side <= longest] or [longest]
    return [(side, side) for side in sides]


def _design(facts: Facts, rung: tuple[int, int], height: int, width: int) -> CompactDesign:
    """Return the family's member of this rung for pictures of this size."""
    base, depth = rung
    side = min(height, width)
    stride = 2 if side >= _STEM_SIDE_PX else 1
    side = -(-side // stride)
    num_stages = max(2, int(math.log2(max(side / _LAST_SIDE_PX, 1))))
    widths = [min(base * 2**stage, max(base, _WIDEST)) for stage in range(num_stages)]
    # Many classes are told apart by many features; two for each feature map is what they share.
    widths[-1] = max(widths[-1], min(facts.num_classes // 2, _WIDEST))
    head: Literal["pooled", "whole"] = "whole" if stride == 1 else "pooled"
    return CompactDesign(stem_stride=stride, widths=tuple(widths), depth=depth, head=head)


def _epochs_in_time(facts: Facts, design: CompactDesign, height: int, width: int) -> float:
    """Return the epochs that time allows a network of this design."""
    budget_s, rate = _NOMINAL_BUDGET_S, NOMINAL
    if facts.budget_s is not None:
        budget_s, rate = facts.budget_s, facts.rate
    return budget_s / (rate.seconds(design, (height, width, facts.channels)) * facts.num_train)


def _gets_its_epochs(facts: Facts, design: CompactDesign, height: int, width: int) -> bool:
    """Return whether time allows this network the epochs that one of its cost needs.

    A network with more weights than the training pictures have pixels is refused: it would only
    learn them by heart, more slowly.
    """
    pixels = facts.num_train * height * width
    if num_weights(design, facts.channels) > pixels:
        return False
    shape = (height, width, facts.channels)
    smallest = multiply_adds(_design(facts, _LADDER[0], height, width), shape)
    cost = multiply_adds(design, shape)
    needed = _needed_epochs(facts.num_train) * math.sqrt(cost / smallest)
    return _epochs_in_time(facts, design, height, width) >= needed


def _needed_epochs(num_train: int) -> float:
    """Return the epochs that the smallest network needs: fewer pictures are shown more often."""
    pictures_shown: float = 30_000 * (num_train / 1_500) ** 0.4
    return pictures_shown / num_train


def _most_epochs(num_train: int, batch_size: int) -> int:
    """Return the epochs after which more time would only be spent, not used."""
    steps_per_epoch = max(1, num_train // batch_size)
    return max(60, min(1_000, math.ceil(2_000 / steps_per_epoch)))


def _patience(max_epochs: int) -> int:
    """A rate still high can hide progress, so wait a good part of the plan."""
    return max(8, max_epochs // 2)


def _batch_size(num_train: int) -> int:
    """Return the power of two, 16 to 128, that makes some 30 steps an epoch, or 256 for some 200.

    Twice the batch costs less than two, and many pictures give enough steps all the same.
    """
    few, many = _power_of_two(num_train / 30), _power_of_two(num_train / 200)
    return min(256, max(16, min(few, 128), many))


def _power_of_two(number: float) -> int:
    """Return the nearest one on a logarithmic scale, from 1."""
    return int(2 ** round(math.log2(max(number, 1))))


def _learning_rate(batch_size: int) -> float:
    """Return the peak rate; noise of the gradient falls with the root of the batch, up to 128."""
    return 1.4e-2 * math.sqrt(min(batch_size, 128) / 128)


def _augmentation(facts: Facts, design: CompactDesign, size: tuple[int, int]) -> Augmentation:
    """Return changes that fit the size: tiny pictures move little, photographs also zoom.

    Seen a few times only, pictures teach more as they are; mirrored ones are as good as new.
    """
    epochs = facts.epochs or _epochs_in_time(facts, design, *size)
    if epochs < _MANY_EPOCHS:
        return Augmentation(flip=min(size) >= 16)
    if min(size) < 16:
        return Augmentation(shift=0.07)
    if max(facts.height_px, facts.width_px) <= _KEPT_SIDE_PX:
        return Augmentation(shift=0.08, flip=True, light=0.2)
    return Augmentation(shift=0.05, zoom=0.15, flip=True, light=0.2)


def _picture_size_for_own(facts: Facts) -> tuple[int, int]:
    """Return the size for a model of someone else's: the pictures' own, at most 150 px.

    150 px is what the tutorials resize photographs to.
    """
    longest = max(facts.height_px, facts.width_px)
    if facts.same_size and longest <= _KEPT_SIDE_PX:
        return facts.height_px, facts.width_px
    side = min(longest, 150)
    return side, side
