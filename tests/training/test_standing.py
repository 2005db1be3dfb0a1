"""Where training stands: which epoch is the best, by hand-made figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.training.test_loop import FACTS

from saccade.augmentation import Augmentation
from saccade.training.plan import derive_plan
from saccade.training.result import KEYS
from saccade.training.standing import Standing


def standing_after(raw, calibrated, *, spread=0.0, falling=True):
    """Return the standing after epochs with these validation losses, and which were kept.

    Of 100 pictures, the losses of half of them are `spread` higher, and lower by turns.
    """
    standing, sign = Standing(), np.repeat([1, -1], 50)
    kept = [
        standing.record(
            dict.fromkeys(KEYS, 0.5) | {"val_loss": a, "val_calibrated_loss": b},
            b + spread * (-1) ** epoch * sign,
            falling=falling,
        )
        for epoch, (a, b) in enumerate(zip(raw, calibrated, strict=True))
    ]
    return standing, kept


def test_the_last_epoch_within_a_standard_error_of_the_lowest_is_kept():
    """Two epochs differ by ±0.2 a picture: of 100, the mean's standard error is 0.02."""
    calibrated = [0.4, 0.3, 0.319, 0.301, 0.321, 0.35]
    standing, kept = standing_after(calibrated, calibrated, spread=0.1)
    assert kept == [True, True, True, False, False, False], "the fourth is surely higher"
    assert standing.best_epoch == 3
    standing, kept = standing_after(calibrated, calibrated)
    assert kept == [True, True, False, False, False, False], "without chance the lowest is the best"


def test_at_a_constant_rate_the_lowest_is_kept():
    calibrated = [0.4, 0.3, 0.301, 0.3, 0.29, 0.3]
    standing, kept = standing_after(calibrated, calibrated, spread=0.1, falling=False)
    assert kept == [True, True, False, False, True, False]
    assert standing.best_epoch == 5


@pytest.mark.parametrize(("number", "is_kept"), [(1, False), (2, True), (30, True)])
def test_one_picture_that_is_worse_may_be_chance_unless_it_is_the_only_one(number, is_kept):
    """Its share of the mean is one standard error, exactly, whatever it is."""
    standing = Standing()
    figures = dict.fromkeys(KEYS, 0.5)
    assert standing.record(figures | {"val_calibrated_loss": 0.0}, np.zeros(number), falling=True)
    worse = np.eye(1, number)[0] * 0.64
    figures |= {"val_calibrated_loss": worse.mean()}
    assert standing.record(figures, worse * (1 - 1e-9), falling=True) == is_kept


def test_a_later_lower_one_is_what_others_are_compared_with():
    calibrated = [0.31, 0.3, 0.29, 0.305]
    standing, kept = standing_after(calibrated, calibrated, spread=0.05)
    assert kept == [True, True, True, False], "0.015 above the lowest is more than 0.01"
    np.testing.assert_allclose(standing.lowest_losses.mean(), 0.29)


def test_checkpoint_holds_what_is_compared_with():
    standing, _ = standing_after([0.4, 0.3], [0.4, 0.3], spread=0.1)
    again = Standing.from_checkpoint(standing.to_checkpoint({}))
    np.testing.assert_array_equal(again.lowest_losses, standing.lowest_losses)
    assert again.best_epoch == 2


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


def test_last_of_equals_is_kept():
    """The epoch that is reported is the one whose weights were kept."""
    standing, kept = standing_after([0.5] * 3, [0.4, 0.3, 0.3])
    assert kept == [True, True, True]
    assert standing.best_epoch == 3


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
