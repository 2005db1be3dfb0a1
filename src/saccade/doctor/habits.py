"""Rules on one call of `fit`: how it trains, on what, and who watches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from saccade.doctor.case import Case
from saccade.finding import Finding

_MANY_EPOCHS: Final = 100
_SMALL_BATCH: Final = 8
_OWN_VALIDATION: Final = "validation_data=None, validation_split=0.1"
_SEEN: Final = 0.05  # of the validation rows; a few equal pictures are in many sets


def validation_seen_in_training(case: Case) -> Iterator[Finding]:
    """Validation rows that the network learns from."""
    call = case.call
    if call is None or call.seen_share < _SEEN:
        return
    yield Finding(
        name="validation-seen-in-training",
        severity="serious",
        where="validation_data",
        message=f"About {100 * call.seen_share:.0f} % of the validation rows are training rows "
        "too: the validation figures tell what the network knows by heart, and hide overfitting.",
        cure=_OWN_VALIDATION,
    )


def validated_on_test_data(case: Case) -> Iterator[Finding]:
    """Test data that is looked at after every epoch."""
    call = case.call
    if call is None or call.test_name is None:
        return
    yield Finding(
        name="test-set-as-validation",
        severity="serious",
        where="validation_data",
        message=f"The validation data is {call.test_name!r}: whoever picks an epoch or a setting "
        "by it has no unseen pictures left, and what is then reported as the test is too good.",
        cure=_OWN_VALIDATION,
    )


def epochs_unwatched(case: Case) -> Iterator[Finding]:
    """Hundreds of epochs, and nothing that stops or keeps the best."""
    call = case.call
    if call is None or call.epochs < _MANY_EPOCHS or call.watched or _cannot_overfit(case):
        return
    split = "" if call.has_validation else ", validation_split=0.1"
    yield Finding(
        name="epochs-unwatched",
        severity="serious",
        where="epochs",
        message=f"{call.epochs:,} epochs and nothing watches: a network is at its best long before "
        "and then learns the pictures by heart, and the last epoch's weights are what is kept.",
        cure="callbacks=[keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True)]"
        + split,
    )


def tiny_batches(case: Case) -> Iterator[Finding]:
    """Batch normalisation by the statistics of a few pictures."""
    call, network = case.call, case.network
    if call is None or network is None or (call.batch_size or _SMALL_BATCH) >= _SMALL_BATCH:
        return
    for step in network.steps:
        if step.kind == "BatchNormalization" and step.layer.trainable:
            yield Finding(
                name="tiny-batches",
                severity="serious",
                where="batch_size",
                message=f"{step.name!r} normalises by the mean and variance of a batch, and with "
                f"batch_size={call.batch_size} these are mostly chance: training is noisy, and "
                "predictions, which use averages, differ from what was trained.",
                cure="batch_size=32",
            )
            return


def sorted_without_shuffling(case: Case) -> Iterator[Finding]:
    """Rows class by class, in that order."""
    if case.call is None or case.call.shuffles or not _is_sorted(case):
        return
    yield Finding(
        name="sorted-without-shuffling",
        severity="serious",
        where="shuffle",
        message="The rows come class by class and are not shuffled: each batch holds one class, "
        "and the network forgets the others while it learns it.",
        cure="shuffle=True",
    )


def validation_split_of_sorted(case: Case) -> Iterator[Finding]:
    """`validation_split` takes the last rows, which here are the last classes."""
    if case.call is None or not case.call.validation_split or not _is_sorted(case):
        return
    yield Finding(
        name="validation-split-of-sorted",
        severity="serious",
        where="validation_split",
        message="The rows come class by class and validation_split takes the last of them: the "
        "network is validated on classes that it was hardly trained on.",
        cure="order = np.random.permutation(len(x)); x, y = x[order], y[order]",
    )


def _is_sorted(case: Case) -> bool:
    """Whether rows of classes come class by class; the order of other numbers may be meant."""
    labels = case.data.labels if case.data else None
    return case.loss is not None and labels is not None and labels.is_sorted


def _cannot_overfit(case: Case) -> bool:
    """Whether the network has no more weights than there are rows, as y = 2x - 1 has."""
    if case.network is None or case.data is None:
        return False
    return case.network.num_weights <= case.data.num_rows
