"""Where training stands: which epoch is the best, by hand-made figures."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.training.test_loop import FACTS

from saccade.augmentation import Augmentation
from saccade.training.plan import derive_plan
from saccade.training.result import KEYS
from saccade.training.standing import Standing


def standing_after(raw, calibrated):
    """Return the standing after epochs with these validation losses, and which were kept."""
    standing = Standing()
    kept = [
        standing.record(dict.fromkeys(KEYS, 0.5) | {"val_loss": a, "val_calibrated_loss": b})
        for a, b in zip(raw, calibrated, strict=True)
    ]
    return standing, kept


def test_best_epoch_is_that_of_the_calibrated_loss():
    """An overconfident network: by the raw loss its second epoch, by the calibrated its fifth."""
    raw = [0.66, 0.35, 1.05, 1.40, 0.81]
    calibrated = [0.66, 0.34, 0.36, 0.38, 0.30]
    standing, kept = standing_after(raw, calibrated)
    assert raw.index(min(raw)) == 1
    assert standing.best_epoch == 5
    assert kept == [True, True, False, False, True]


def test_calibrated_loss_decides_when_to_stop():
    falling, rising = [0.5, 0.4, 0.3, 0.2], [0.5, 0.6, 0.7, 0.8]
    impatient = replace(derive_plan(FACTS), patience=2)
    assert not standing_after(rising, falling)[0].is_finished(impatient)
    assert standing_after(falling, rising)[0].is_finished(impatient)


def test_patience_follows_the_pace():
    """12 epochs without a better one are long where 20 fit in, and short where 120 do."""
    plan = replace(derive_plan(FACTS), patience=50)
    standing, _ = standing_after([0.5] * 13, [0.5] * 13)
    assert not replace(standing, epoch=13, done=13 / 120).is_finished(plan)
    assert replace(standing, epoch=13, done=13 / 20).is_finished(plan)


def test_earliest_of_equals_is_kept():
    """The epoch that is reported is the one whose weights were kept."""
    standing, kept = standing_after([0.5] * 3, [0.4, 0.3, 0.3])
    assert kept == [True, True, False]
    assert standing.best_epoch == 2


@pytest.mark.parametrize("stopped", [False, True])
def test_result_of_no_epoch(stopped):
    result = Standing().result(
        started=0.0,
        precision="float32",
        compiled=False,
        augmentation=Augmentation(),
        stopped=stopped,
        notes=[],
    )
    assert result.best_epoch == 0
