from __future__ import annotations

import pytest

from saccade.config import DEFAULT_BUDGET_S, choose_settings, parse_duration, switch
from saccade.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("5m", 300), ("1h30m", 5400), (" 1.5 H ", 5400), ("2m 30s", 150), (45, 45)],
)
def test_duration_is_read_as_people_write_it(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "five minutes", "-5m", "0s", "5m!", "1d", 0, -1, 1e9])
def test_duration_that_is_none_is_refused(text):
    with pytest.raises(SettingsError, match="a budget is"):
        parse_duration(text)


def test_settings_take_a_budget_or_epochs():
    assert choose_settings(model="auto", budget="2m", epochs=None, seed=0).budget_s == 120
    by_epochs = choose_settings(model="auto", budget=None, epochs=3, seed=0)
    assert (by_epochs.epochs, by_epochs.budget_s) == (3, None)
    neither = choose_settings(model="auto", budget=None, epochs=None, seed=0)
    assert neither.budget_s == DEFAULT_BUDGET_S
    with pytest.raises(SettingsError, match="not both"):
        choose_settings(model="auto", budget="2m", epochs=3, seed=0)


@pytest.mark.parametrize(("epochs", "seed"), [(0, 0), (-1, 0), (1, -1), (1, 2**32)])
def test_settings_out_of_range_are_refused(epochs, seed):
    with pytest.raises(SettingsError, match="whole number"):
        choose_settings(model="auto", budget=None, epochs=epochs, seed=seed)


@pytest.mark.parametrize(("said", "means"), [("on", True), ("off", False), ("", None)])
def test_switch_is_on_or_off_or_not_set(monkeypatch, said, means):
    monkeypatch.setenv("SACCADE_KERNELS", said)
    assert switch("SACCADE_KERNELS") is means


def test_switch_that_says_neither_is_refused(monkeypatch):
    monkeypatch.delenv("SACCADE_KERNELS", raising=False)
    assert switch("SACCADE_KERNELS") is None
    monkeypatch.setenv("SACCADE_KERNELS", "1")
    with pytest.raises(SettingsError, match="SACCADE_KERNELS is on or off, got '1'"):
        switch("SACCADE_KERNELS")
