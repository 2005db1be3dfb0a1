from __future__ import annotations

from pathlib import Path

import numpy as np

import saccade
from saccade.progress import Silence
from saccade.run import open_run


def test_run_says_how_many_test_pictures_are_unknown(digits_run: saccade.Run) -> None:
    unknown = digits_run.unknown
    assert unknown is not None
    assert unknown.rate.low <= unknown.target_rate == 0.05
    assert open_run(digits_run.folder).unknown == unknown
    assert unknown.sentence() in digits_run.report.read_text()


def test_classifier_of_digits_refuses_noise_and_stripes(digits_run: saccade.Run) -> None:
    classifier = saccade.load(digits_run.folder)
    random = np.random.default_rng(0)
    shape = classifier.preprocessing.shape
    noise = random.integers(0, 256, (100, *shape), dtype=np.uint8)
    stripes = np.zeros((1, *shape), np.uint8)
    stripes[:, ::2] = 255
    for pixels in (noise, stripes):
        score = classifier.run_batch(pixels).unusualness
        assert score is not None
        assert (score > 1).mean() > 0.9
        answer = classifier.predict(pixels[0])
        assert answer.unusualness is not None
        assert np.isclose(answer.unusualness, score[0], rtol=1e-4)
        assert answer.unknown == (answer.unusualness > 1)


def test_few_validation_pictures_give_no_score(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    y = np.repeat([0, 1], 20)
    x = random.integers(0, 60, (40, 8, 8, 1), dtype=np.uint8) + (y * 180)[:, None, None, None]
    run = saccade.train(
        (x.astype(np.uint8), y), model="t3", epochs=1, out=tmp_path, progress=Silence()
    )
    assert run.unknown is None
    assert any("takes 19 validation pictures, and there are" in note for note in run.notes)
    assert saccade.load(run.folder).predict(x[0].astype(np.uint8)).unusualness is None
    assert "Pictures of another kind" not in run.report.read_text()
