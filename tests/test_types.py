from __future__ import annotations

import pytest

from saccade.types import Interval


def test_interval_holds_its_value():
    figure = Interval(value=0.5, low=0.25, high=0.75)
    assert Interval.from_json(figure.to_json()) == figure
    nan = float("nan")
    for low, value, high in [(0.6, 0.5, 0.7), (0.1, 0.5, 0.4), (nan, 0.5, 1), (0, nan, 1)]:
        with pytest.raises(ValueError, match="holds its value"):
            Interval(value=value, low=low, high=high)
