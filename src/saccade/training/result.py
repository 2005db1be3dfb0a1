"""What goes into training besides the model, and what comes out: shared by both engines."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from saccade.augmentation import Augmentation
from saccade.evaluation import fit_label_temperature, fit_temperature
from saccade.models.outputs import OutputKind, to_logits

# What decides which epoch is the best. The classifier that is shipped is calibrated, so an epoch
# that is right more often must not lose for being too sure of itself. One that is not sure enough
# gains nothing: where a few pictures are all answered right, sharpening would make any epoch
# perfect, and hide which one has the widest margin.
DECIDING: Final = "val_calibrated_loss"
KEYS: Final = ("loss", "accuracy", "val_loss", "val_accuracy", DECIDING)
Losses = npt.NDArray[np.float64]  # (n,) cross-entropies in nats
_SCORED_AT_ONCE: Final = 256  # pictures in a batch that is only scored, at most
_SCORED_VALUES: Final = 1 << 23  # and numbers in it: larger pictures would fill the memory
_ROWS_AT_ONCE: Final = 4096  # of logits


class Pictures(NamedTuple):
    """Some rows of the cache with their labels; ``labels[i]`` belongs to ``pixels[rows[i]]``.

    Labels are classes (n,), or, where a picture has several, true and false (n, L). Pictures of one
    `group`, such as frames of one film, say the same thing; -1 is none. `names` are those of the
    classes or labels, in their order, for what is said of them; () is none.
    """

    pixels: npt.NDArray[np.uint8]  # (N, H, W, C), may be a memory map larger than memory
    rows: npt.NDArray[np.intp]
    labels: npt.NDArray[Any]
    group: npt.NDArray[np.intp] | None = None  # (n,)
    names: tuple[str, ...] = ()

    def some(self, places: npt.NDArray[np.intp]) -> Pictures:
        """Return some of the pictures, without a copy of any."""
        group = None if self.group is None else self.group[places]
        return Pictures(self.pixels, self.rows[places], self.labels[places], group, self.names)

    def taken(self, places: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[Any]]:
        """Return copies of some of the pictures, and their labels."""
        return self.pixels[self.rows[places]], self.labels[places]

    @property
    def several_labels(self) -> bool:
        """Whether a picture has any number of labels, and not one class."""
        return self.labels.ndim == 2

    @property
    def subjects(self) -> npt.NDArray[np.intp]:
        """A number for each picture, (n,): its group, or its own where it stands alone."""
        group = np.full(len(self.rows), -1) if self.group is None else self.group
        alone = np.arange(len(group)) + group.max(initial=-1) + 1
        return np.where(group < 0, alone, group)

    @property
    def kinds(self) -> npt.NDArray[np.integer[Any]]:
        """A number for each picture, (n,): its class, or that of its set of labels."""
        if not self.several_labels:
            return self.labels
        return np.unique(self.labels, axis=0, return_inverse=True)[1].reshape(-1)

    @property
    def scored_at_once(self) -> int:
        """How many pictures a batch that is only scored holds: 1 to 256, by their size."""
        return max(1, min(_SCORED_AT_ONCE, _SCORED_VALUES // math.prod(self.pixels.shape[1:])))

    def batches(self) -> Iterator[npt.NDArray[np.uint8]]:
        """Give the pictures in order, (up to `scored_at_once`, H, W, C) at a time, as copies."""
        step = self.scored_at_once
        for start in range(0, len(self.rows), step):
            yield np.ascontiguousarray(self.pixels[self.rows[start : start + step]])


def never() -> bool:
    """Return False, to whoever asks whether to stop."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class FitResult:
    """How training went. The figures of an epoch are of the weights as they stood after it.

    `loss` and `accuracy` are measured on a fixed sample of training pictures, unchanged, in the
    same way as `val_loss` and `val_accuracy`, so that their gap is overfitting and nothing else.
    `val_calibrated_loss` is `val_loss` after scaling by the temperature that calibrates, where that
    is above 1; the best epoch has the lowest, or comes later and is as low but for chance
    (`Standing.record`).
    """

    history: Mapping[str, tuple[float, ...]]  # one entry an epoch; loss is cross-entropy in nats
    best_epoch: int  # from 1; the model has the weights of this epoch
    num_epochs: int
    seconds: float
    images_per_second: float
    precision: str
    compiled: bool
    compiled_reason: str = ""  # why it is compiled or not, in a few words, where that was weighed
    augmentation: Augmentation  # what was done to training pictures, as was decided
    stopped: bool  # the caller asked to stop before training was done
    ended_early: bool = False  # by itself, since the validation loss fell no more
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the result as a JSON document."""
        history = {key: list(values) for key, values in self.history.items()}
        return asdict(self) | {"history": history, "notes": list(self.notes)}


def epoch_figures(
    predict: Callable[[Pictures], npt.NDArray[np.float32]],
    kind: OutputKind,
    sample: Pictures,
    validation: Pictures,
) -> tuple[dict[str, float], Losses]:
    """Return an epoch's figures under `KEYS`, and the deciding loss of each validation picture.

    `predict` gives a model's outputs for pictures. Losses under `KEYS` are mean cross-entropies in
    nats; they are NaN where an output is not a finite number. With several labels a picture the
    loss is a label's, and accuracy the share of pictures with every label right at a probability of
    one half.
    """
    seen, unseen = (to_logits(predict(p), kind) for p in (sample, validation))
    if not (np.isfinite(seen).all() and np.isfinite(unseen).all()):
        return dict.fromkeys(KEYS, math.nan), np.full(len(validation.rows), math.nan)
    fit = fit_label_temperature if validation.several_labels else fit_temperature
    temperature = max(1.0, fit(unseen, validation.labels))
    deciding = _cross_entropies(unseen, validation.labels, temperature=temperature)
    return {
        "loss": float(_cross_entropies(seen, sample.labels).mean()),
        "accuracy": _accuracy(seen, sample.labels),
        "val_loss": float(_cross_entropies(unseen, validation.labels).mean()),
        "val_accuracy": _accuracy(unseen, validation.labels),
        DECIDING: float(deciding.mean()),
    }, deciding


def _cross_entropies(
    logits: npt.NDArray[np.float32], labels: npt.NDArray[Any], *, temperature: float = 1.0
) -> Losses:
    """Return each picture's; with several labels a picture, the mean of its labels'."""
    if labels.ndim == 2:  # -ln of sigmoid(z) where the label is had, of sigmoid(-z) where not
        towards = np.where(labels, logits, -logits).astype(np.float64) / temperature
        several: Losses = np.logaddexp(0, -towards).mean(axis=1)
        return several
    loss = np.empty(len(labels))
    for start in range(0, len(labels), _ROWS_AT_ONCE):  # all at once in float64 are gigabytes
        rows = slice(start, start + _ROWS_AT_ONCE)
        some = logits[rows].astype(np.float64) / temperature
        below = some - some.max(axis=1, keepdims=True)
        true = below[np.arange(len(below)), labels[rows]]
        loss[rows] = np.log(np.exp(below).sum(axis=1)) - true
    return loss


def _accuracy(logits: npt.NDArray[np.float32], labels: npt.NDArray[Any]) -> float:
    if labels.ndim == 2:
        return float(((logits > 0) == labels).all(axis=1).mean())
    return float((logits.argmax(axis=1) == labels).mean())


def sample_like(
    train: Pictures, validation: Pictures, *, seed: int, limit: int = 2_000
) -> Pictures:
    """Return as many training pictures as there are to validate on, at most `limit`."""
    size = min(len(train.rows), max(len(validation.rows), 32), limit)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(train.rows))[:size])
    return train.some(chosen)


def describe(epoch: int, num_epochs: float, figures: Mapping[str, float]) -> str:
    """Return an epoch in a few words, for the progress."""
    return (
        f"epoch {epoch} of about {max(num_epochs, epoch):.0f}, "
        f"validation {figures['val_accuracy']:.1%}, loss {figures['val_loss']:.3f}"
    )
