"""The schedule: hand-solved points of the one cycle, a horizon by steps, by clock and by both."""

from __future__ import annotations

import time

import pytest

from saccade.training.schedule import Horizon, has_stalled, learning_rate_at


def test_rate_rises_to_its_peak_and_falls_to_nothing():
    assert learning_rate_at(0.2, peak=0.5) == pytest.approx(0.5)
    assert learning_rate_at(0.6, peak=0.5) == pytest.approx(0.25)  # half of the fall
    assert learning_rate_at(1.0, peak=0.5) == 0.0
    assert learning_rate_at(1.5, peak=0.5) == 0.0
    assert 0 < learning_rate_at(0.0, peak=0.5) < 0.1


def test_rate_has_no_jumps():
    rates = [learning_rate_at(i / 1000, peak=1.0) for i in range(1001)]
    assert max(abs(a - b) for a, b in zip(rates, rates[1:], strict=False)) < 0.006


def test_horizon_counts_steps():
    horizon = Horizon(max_steps=50)
    assert [horizon.fraction(step) for step in (0, 25, 50, 60)] == [0.0, 0.5, 1.0, 1.0]


def test_horizon_ends_with_the_clock():
    now = time.monotonic()
    half = Horizon(max_steps=10**9, start_s=now - 30, deadline_s=now + 30)
    assert half.fraction(1) == pytest.approx(0.5, abs=0.05)
    over = Horizon(max_steps=10**9, start_s=now - 30, deadline_s=now - 1)
    assert over.fraction(1) == 1.0


def test_horizon_leaves_time_for_what_follows_the_last_step():
    now = time.monotonic()
    horizon = Horizon(max_steps=10**9, start_s=now - 30, deadline_s=now + 60, reserve_s=1.0)
    assert horizon.leaving(30.0).fraction(1) == pytest.approx(0.5, abs=0.02)
    assert horizon.leaving(60.0).fraction(1) == 1.0


def test_horizon_goes_on_where_a_run_was_interrupted():
    now = time.monotonic()
    resumed = Horizon(max_steps=10**9, start_s=now, deadline_s=now + 60, done_before=0.4)
    assert resumed.fraction(1) == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize(
    ("losses", "stalled"),
    [
        ((), False),
        ((3.0, 2.0, 1.0), False),
        ((1.0, 2.0), False),
        ((1.0, 2.0, 3.0), True),  # the lowest is two epochs old
        ((3.0, 1.0, 2.0), False),
    ],
)
def test_stalled_after_two_epochs(losses, stalled):
    assert has_stalled(losses, patience=2) is stalled
