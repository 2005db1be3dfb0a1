"""A classifier that can be worked out by hand, and the bundle of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from saccade.bundle import Manifest, write_bundle
from saccade.data.picture import Preprocessing

TEMPERATURE = 2.0
SHAPE = (6, 5, 3)


@pytest.fixture(scope="session")
def brightness() -> Any:
    """Return a Keras model with logits (-z, z), z = 10 (mean / 255 - 1 / 2): dark or light."""
    from saccade.models.backend import load_keras

    keras = load_keras()
    head = keras.layers.Dense(2)
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.Rescaling(1 / 255),
            keras.layers.GlobalAveragePooling2D(),
            head,
        ]
    )
    head.set_weights([np.tile([[-10 / 3, 10 / 3]], (3, 1)), np.array([5.0, -5.0])])
    return model


@pytest.fixture(scope="session")
def pictures() -> np.ndarray:
    """Return (40, H, W, C) uint8 pictures, from black to white, with noise."""
    random = np.random.default_rng(0)
    level = np.linspace(0, 255, 40).reshape(-1, 1, 1, 1)
    return np.clip(level + random.normal(0, 20, (40, *SHAPE)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def logits(pictures: np.ndarray) -> np.ndarray:
    """Return what the model says of the pictures, worked out without Keras."""
    z = 10 * (pictures.mean(axis=(1, 2, 3)) / 255 - 0.5)
    return np.stack([-z, z], axis=1)


@pytest.fixture(scope="session")
def manifest() -> Manifest:
    """Return a manifest for the model."""
    return Manifest(
        name="brightness",
        created="2026-01-02T03:04:05+00:00",
        classes=("dark", "light"),
        preprocessing=Preprocessing(height_px=6, width_px=5, channels=3, fit="stretch"),
        temperature=TEMPERATURE,
        threshold=0.8,
        target_error_rate=0.01,
        provenance={"seed": 7, "versions": {"keras": "3"}},
    )


@pytest.fixture(scope="session")
def bundle_path(
    tmp_path_factory: pytest.TempPathFactory,
    brightness: Any,
    pictures: np.ndarray,
    logits: np.ndarray,
    manifest: Manifest,
) -> Path:
    """Return the path of a good bundle, which tests read and never change."""
    path = tmp_path_factory.mktemp("bundle") / "model.saccade"
    seen = np.array([5, 3, 2**64 - 1], dtype=np.uint64)
    write_bundle(
        path,
        manifest,
        model=brightness,
        seen=seen,
        parity_pixels=[pictures],
        parity_logits=logits,
    )
    return path
