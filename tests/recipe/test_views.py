"""In how many views the shipped network answers: in several where that helps, none that may not."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from keras import ops

import saccade
from saccade.models import CompactDesign, View, build_compact
from saccade.progress import Silence
from saccade.recipe.views import falls, ways_of_looking


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


def keras_logits(run, pixels, folder):
    """Return what the Keras model in the bundle says, asked by Keras alone."""
    from saccade.models.backend import load_keras

    with zipfile.ZipFile(run.model) as bundle:
        bundle.extract("model.keras", folder)
    model = load_keras().models.load_model(folder / "model.keras")
    return model, model.predict(pixels[..., None].astype(np.float32), verbose=0)


def test_views_are_taken_where_validation_says_so(widths_run):
    (note,) = [note for note in widths_run.notes if "times the work" in note]
    with_views, without = (float(word.strip(",")) for word in note.split() if word[0] == "0")
    assert with_views < without


def test_answer_is_the_mean_of_the_views(widths_run, tmp_path):
    pixels, _ = stripes(20, mirrored_classes=False)
    model, logits = keras_logits(widths_run, pixels, tmp_path)
    temperature = saccade.load(widths_run.folder).manifest.temperature
    probabilities = ops.convert_to_numpy(ops.softmax(logits / temperature))
    np.testing.assert_allclose(answers(widths_run, pixels), probabilities, atol=1e-4)
    # The same weights in a network that looks once, asked of each view.
    design = CompactDesign.from_json(widths_run.plan["design"])
    plain = build_compact(design, input_shape=(16, 16, 1), num_classes=2)
    plain.set_weights(model.get_weights())
    moved = any("moved by a pixel" in note for note in widths_run.notes)
    own, mirror = View(), View(mirrored=True)
    views = (mirror, View(shift_px=1), View(shift_px=-1)) if moved else (own, mirror)
    seen = [view.of(pixels[..., None]).astype(np.float32) for view in views]
    each = [plain.predict(view, verbose=0) for view in seen]
    np.testing.assert_allclose(logits, np.mean(each, axis=0), atol=1e-4)
    assert np.abs(each[0] - each[1]).max() > 1e-3


def test_more_work_has_to_lower_the_loss_by_more_than_its_standard_error():
    noise = np.random.default_rng(0).normal(size=400)
    noise = (noise - noise.mean()) / noise.std(ddof=1)  # so its mean has an error of 1/20
    alone = np.arange(400)
    assert falls(noise + 1.01 / 20, alone)
    assert not falls(noise + 0.99 / 20, alone)
    # Ten frames of each subject say the same thing: the error of 40 means.
    frames, subject = np.repeat(noise[::10], 10), np.repeat(np.arange(40), 10)
    error = noise[::10].std(ddof=1) / np.sqrt(40)
    middle = frames.mean()
    assert falls(frames - middle + 1.01 * error, subject)
    assert not falls(frames - middle + 0.99 * error, subject)
    assert falls(frames - middle + 0.99 * error, alone)
    assert not falls(np.ones(9), np.arange(9))  # nobody knows how much these would differ


def test_moved_views_are_for_networks_that_begin_without_a_stride():
    small, photo = (CompactDesign(stem_stride=n, widths=(8, 16), depth=0) for n in (1, 2))
    assert [len(views) for views in ways_of_looking(small, mirrored=True)] == [2, 3]
    assert [len(views) for views in ways_of_looking(small, mirrored=False)] == [3]
    assert [len(views) for views in ways_of_looking(photo, mirrored=True)] == [2]
    assert ways_of_looking(photo, mirrored=False) == ()


def test_classes_that_a_mirror_exchanges_are_not_looked_at_in_one(tmp_path):
    run = trained(tmp_path, stripes(200, mirrored_classes=True), epochs=1)
    assert not run.fit["augmentation"]["flip"]
    assert not any("in a mirror" in note for note in run.notes)
    pixels, _ = stripes(20, mirrored_classes=True)
    assert np.abs(answers(run, pixels) - answers(run, pixels[:, :, ::-1])).max() > 1e-3
