"""How labels are given, from `train` to `predict`: uneven classes, and an operating point."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import saccade
from saccade.cli import words
from saccade.errors import DataError, SettingsError
from saccade.progress import Silence
from saccade.run import open_run


def shades(root: Path, **counts: int) -> Path:
    """Write squares of noise around a shade; neighbouring classes overlap."""
    random = np.random.default_rng(list(root.name.encode()))  # no copies from part to part
    for place, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for number in range(count):
            shade = random.normal(110 + 25 * place, 12)
            pixels = np.clip(random.normal(shade, 40, (8, 8)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def trained(data: Path, out: Path, **options):
    return saccade.train(data, out=out, progress=Silence(), **({"epochs": 2} | options))


@pytest.fixture(scope="module")
def uneven(tmp_path_factory) -> Path:
    return shades(tmp_path_factory.mktemp("uneven"), dark=240, light=20)


def test_uneven_classes_are_weighted_told_and_predicted_so(uneven, tmp_path):
    run = trained(uneven, tmp_path)
    (note,) = (note for note in run.notes if "--balance off" in note)
    assert "class 'dark' has 12 times as many training pictures as 'light'" in note
    classifier = saccade.load(run.model)
    weights = classifier.manifest.class_weights
    assert weights == pytest.approx((1, 12**0.5), rel=0.1)
    assert open_run(run.folder).plan["class_weights"] == list(weights)
    for answer in classifier.predict_files(uneven.glob("*/1*.png")):
        shares = answer.probabilities
        weighted = {name: shares[name] * w for name, w in zip(shares, weights, strict=True)}
        assert answer.label == max(weighted, key=weighted.__getitem__)
        assert answer.probability == shares[answer.label]
    again = saccade.evaluate(run.model, uneven, progress=Silence()).test
    assert (again.confusion, again.sureness) == (run.test.confusion, run.test.sureness)


@pytest.mark.parametrize(
    ("options", "weighted"),
    [
        ({"balance": "off"}, False),
        ({"model": "t3"}, False),
        ({"model": "t3", "balance": "on"}, True),
    ],
)
def test_balance_is_as_asked_and_leaves_a_model_of_ones_own_alone(
    uneven, tmp_path, options, weighted
):
    run = trained(uneven, tmp_path, **({"epochs": 1} | options))
    manifest = saccade.load(run.model).manifest
    assert (manifest.class_weights is not None) is weighted
    assert any("--balance off" in note for note in run.notes) is weighted
    left_alone = [note for note in run.notes if "--balance on" in note]
    assert bool(left_alone) is not weighted
    if left_alone:
        assert "'dark' has 12 times as many training pictures as 'light'" in left_alone[0]
        why = "as was asked" if options.get("balance") else "as the model brings its own training"
        assert f"labels are left alone, {why}" in left_alone[0]


def test_operating_point_travels_from_validation_to_predict_and_report(tmp_path):
    data = shades(tmp_path / "data", cats=200, dogs=200)
    run = trained(data, tmp_path, model="t3", operating_point="recall:dogs=0.9")
    classifier = saccade.load(run.model)
    point = classifier.manifest.operating_point
    assert (point.measure, point.class_name, point.target) == ("recall", "dogs", 0.9)
    assert any(point.sentence() in note for note in run.notes)
    answers = list(classifier.predict_files(sorted(data.glob("*/*7.png"))))
    for answer in answers:
        assert (answer.label == "dogs") is (answer.probabilities["dogs"] >= point.threshold)
        assert not answer.unsure
    assert run.test.operation.recall == run.test.per_class[1].recall
    scored = saccade.evaluate(run.model, data, progress=Silence())
    for said in (words.answer(run), words.scored(scored)):
        assert said.count(point.sentence()) == 1
    again = scored.test
    assert (again.operation, again.confusion) == (run.test.operation, run.test.confusion)
    assert open_run(run.folder).test == run.test
    html = run.report.read_text()
    assert "The operating point" in html
    assert 'data-chart="operation"' in html


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ("recall:birds=0.9", "one of the classes, 'dark' or 'light', got 'birds'"),
        ("recall:light=1.2", "above 0 and below 1"),
        ("accuracy:light=0.9", "recall:CLASS=SHARE"),
    ],
)
def test_wish_that_cannot_be_is_refused_before_training(uneven, tmp_path, wish, message):
    with pytest.raises(SettingsError, match=message):
        trained(uneven, tmp_path / "runs", operating_point=wish)
    assert not (tmp_path / "runs").exists()


def test_point_of_three_classes_is_refused(tmp_path):
    data = shades(tmp_path / "data", a=9, b=9, c=9)
    with pytest.raises(SettingsError, match="is for two classes, and the data has 3"):
        trained(data, tmp_path, operating_point="recall:a=0.9")


def test_point_without_a_validation_picture_of_the_class_is_refused(tmp_path):
    shades(tmp_path / "data" / "train", cats=9, dogs=9)
    shades(tmp_path / "data" / "val", cats=5)
    shades(tmp_path / "data" / "test", cats=5, dogs=5)
    with pytest.raises(DataError, match="none is of 'dogs'"):
        trained(tmp_path / "data", tmp_path, operating_point="recall:dogs=0.9")


def test_balance_is_auto_on_or_off(tmp_path):
    with pytest.raises(SettingsError, match="balance is auto, on or off, got 'yes'"):
        trained(tmp_path, tmp_path, balance="yes")
