"""Whether the shipped network looks in a mirror: where it helps, and never where it may not."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from keras import ops

import saccade
from saccade.progress import Silence


def stripes(num, *, mirrored_classes, side=16):
    """Return noisy stripes: of one of two directions or, by a mirror, of one of two widths."""
    random = np.random.default_rng(0)
    labels = np.arange(num) % 2
    rows, columns = np.mgrid[:side, :side]
    leaning = np.where(labels == 1, 1, -1) if mirrored_classes else random.choice((-1, 1), num)
    width = 4.0 if mirrored_classes else np.where(labels == 1, 4.0, 5.2)[:, None, None]
    phase = random.uniform(0, 2 * np.pi, (num, 1, 1))
    waves = np.sin(2 * np.pi * (rows + leaning[:, None, None] * columns) / width + phase)
    noisy = 128 + 40 * waves + random.normal(0, 60, (num, side, side))
    return np.clip(noisy, 0, 255).astype(np.uint8), labels


def trained(tmp_path, data, epochs=2):
    return saccade.train(data, epochs=epochs, name="run", out=tmp_path, progress=Silence())


@pytest.fixture(scope="module")
def widths_run(tmp_path_factory):
    data = stripes(500, mirrored_classes=False)
    return trained(tmp_path_factory.mktemp("runs"), data)


def answers(run, pixels):
    return saccade.load(run.folder).predict_batch(pixels[..., None])


def test_mirror_is_used_where_validation_says_so(widths_run):
    (note,) = [note for note in widths_run.notes if "mirror image" in note]
    with_mirror, without = (float(word.strip(",")) for word in note.split() if word[0] == "0")
    assert with_mirror < without
    pixels, _ = stripes(20, mirrored_classes=False)
    probabilities = answers(widths_run, pixels)
    np.testing.assert_allclose(probabilities, answers(widths_run, pixels[:, :, ::-1]), atol=1e-5)
    assert np.ptp(probabilities[:, 0]) > 0.1


def test_keras_file_in_the_bundle_gives_the_same(widths_run, tmp_path):
    from saccade.models.backend import load_keras

    with zipfile.ZipFile(widths_run.model) as bundle:
        bundle.extract("model.keras", tmp_path)
    model = load_keras().models.load_model(tmp_path / "model.keras")
    pixels, _ = stripes(20, mirrored_classes=False)
    logits = model.predict(pixels[..., None].astype(np.float32), verbose=0)
    temperature = saccade.load(widths_run.folder).manifest.temperature
    probabilities = ops.convert_to_numpy(ops.softmax(logits / temperature))
    np.testing.assert_allclose(answers(widths_run, pixels), probabilities, atol=1e-4)


def test_classes_that_a_mirror_exchanges_are_not_looked_at_in_one(tmp_path):
    run = trained(tmp_path, stripes(200, mirrored_classes=True), epochs=1)
    assert not run.fit["augmentation"]["flip"]
    assert not any("mirror image" in note for note in run.notes)
    pixels, _ = stripes(20, mirrored_classes=True)
    assert np.abs(answers(run, pixels) - answers(run, pixels[:, :, ::-1])).max() > 1e-3
