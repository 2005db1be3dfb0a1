import subprocess
from pathlib import Path

import pytest
import torch

from saccade.errors import SettingsError
from saccade.models.backend import load_keras
from saccade.training.precision import BF16, FLOAT32, choose_precision
from saccade.training.step import TrainingStep

keras = load_keras()
L = keras.layers


def test_machine_decides_and_the_reason_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SACCADE_PRECISION", raising=False)
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    if not flags:
        flags = subprocess.run(["sysctl", "-a"], capture_output=True, text=True).stdout
    wide = "amx_bf16" in flags or "avx512_bf16" in flags
    chosen = choose_precision("cpu")
    assert chosen.format == ("bf16" if wide else "float32")
    assert str(chosen).startswith(f"{chosen.format} (")


def test_user_overrides_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SACCADE_PRECISION", "bf16")
    assert choose_precision("cpu") == BF16
    monkeypatch.setenv("SACCADE_PRECISION", "float32")
    assert choose_precision("cpu") == FLOAT32
    monkeypatch.setenv("SACCADE_PRECISION", "double")
    with pytest.raises(SettingsError, match="float32 or bf16, got 'double'"):
        choose_precision("cpu")


def test_only_products_are_rounded() -> None:
    ones = torch.full((4, 4), 1.001)
    with BF16.autocast("cpu"):
        assert (ones @ ones).dtype == torch.bfloat16
    with FLOAT32.autocast("cpu"):
        assert (ones @ ones).dtype == torch.float32


def test_numbers_and_small_networks_are_not_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SACCADE_PRECISION", "bf16")

    def step(loss: str, *layers: object) -> TrainingStep:
        model = keras.Sequential([keras.Input((5, 5, 1)), *layers, L.Flatten(), L.Dense(1)])
        model.compile("sgd", loss)
        return TrainingStep(model)

    assert step("binary_crossentropy", L.Conv2D(2, 3)).precision.format == "bf16"
    assert step("mse", L.Conv2D(2, 3)).precision.format == "float32"
    assert step("binary_crossentropy").precision.format == "float32"
