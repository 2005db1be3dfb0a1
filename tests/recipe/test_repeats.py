"""Repeats of one split with other seeds."""

from __future__ import annotations

import html

import numpy as np
import pytest
from tests.elements import Tags

import saccade
from saccade.cli.words import answer
from saccade.errors import SettingsError
from saccade.progress import Silence
from saccade.run import open_run

OPTIONS = {"model": "t3", "epochs": 1, "seed": 8, "progress": Silence()}


def shades() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    x = random.integers(0, 160, (60, 8, 8), dtype=np.uint8)
    x[30:] += 60
    return x, np.array(["dark"] * 30 + ["light"] * 30)


def test_shipped_network_is_that_of_a_run_without_repeats_and_the_others_differ(tmp_path):
    data = shades()
    once = saccade.train(data, name="once", out=tmp_path, **OPTIONS)
    run = saccade.train(data, name="thrice", repeats=3, out=tmp_path, **OPTIONS)
    assert run.test == once.test
    assert run.images == once.images
    assert once.trainings is None
    trainings = run.trainings
    assert (trainings.folds, trainings.repeats) == (None, 3)
    assert [(one.repeat, one.seed) for one in trainings.each] == [(1, 8), (2, 9), (3, 10)]
    assert trainings.each[0].accuracy == run.test.accuracy
    assert len({one.log_loss.value for one in trainings.each}) == 3
    values = [one.accuracy.value for one in trainings.each]
    assert trainings.accuracy.value == pytest.approx(np.mean(values))
    assert open_run(run.folder) == run
    told = next(line for line in answer(run).splitlines() if line.startswith("Repeats"))
    assert trainings.sentence() in told
    assert "; over trainings and pictures" in told
    assert f"{run.images.test} to test)" in answer(run)
    page = run.report.read_text()
    assert "The same split was trained on 3 times" in page
    assert "Judged once, on 12 pictures" in page
    assert [facts["id"] for tag, facts in Tags(page).tags if tag == "section"][-1] == "next"
    last = html.unescape(page[page.rindex("What to do next") :])
    assert run.next_steps.advice
    assert all(step.sentence in last for step in run.next_steps.advice)


def test_no_repeat_at_all_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="repeats is a whole number from 1, got 0"):
        saccade.train(shades(), repeats=0, out=tmp_path, **OPTIONS)
    with pytest.raises(SettingsError, match="leave out --repeats"):
        saccade.train(resume=tmp_path, repeats=2, progress=Silence())
