from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from saccade.evaluation import Refused, Unknown, measure_refused, measure_unknown


@pytest.fixture
def unknown() -> Unknown:
    return measure_unknown(np.arange(40) < 3, target=0.05)


def test_rate_against_scipy(unknown: Unknown) -> None:
    wanted = binomtest(3, 40).proportion_ci(method="exact")
    assert unknown.rate.value == 3 / 40
    assert (unknown.rate.low, unknown.rate.high) == pytest.approx(
        (wanted.low, wanted.high), abs=1e-9
    )


def test_json_reads_back_equal(unknown: Unknown) -> None:
    assert Unknown.from_json(unknown.to_json()) == unknown


def test_sentence_says_the_rate_and_what_it_does_not_say(unknown: Unknown) -> None:
    text = unknown.sentence()
    assert text.startswith("It calls 7.5 % of the test pictures unknown (95 % interval 1.6 to 20.4")
    assert "for at most 5 %" in text
    assert "may still be of another kind" in text


def test_refused_kinds_have_their_number_and_interval() -> None:
    few = measure_refused(np.arange(30) < 27, pictures="gradients")
    wanted = binomtest(27, 30).proportion_ci(method="exact")
    assert (few.num_images, few.rate.value) == (30, 0.9)
    assert (few.rate.low, few.rate.high) == pytest.approx((wanted.low, wanted.high), abs=1e-9)
    assert Refused.from_json(few.to_json()) == few
