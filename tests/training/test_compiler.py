import pytest

from saccade.training.compiler import obstacle, pays


def test_compiling_pays_where_it_is_earned_back() -> None:
    assert not pays(0.1, 100_000, "float32")  # gains nothing, however long
    assert pays(0.1, 1_000, "bf16")
    assert not pays(0.1, 100, "bf16")


def test_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "")
    assert obstacle() == "there is no C++ compiler"
