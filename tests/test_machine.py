from __future__ import annotations

import os

from saccade.machine import describe_machine, measure_gigaflops, usable_cores


def test_machine_is_described_in_words():
    words = describe_machine()
    assert f"{usable_cores()} cores" in words
    assert "GiB" in words


def test_cores_are_those_that_this_process_may_use():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert usable_cores() == len(allowed)


def test_rate_is_that_of_a_processor():
    # A slow core of 2010 gives some 10 GFLOP/s, the largest servers some 10,000.
    assert 0.5 < measure_gigaflops() < 50_000
