"""File facts against scikit-learn's discriminants, and honest sets without a finding."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from saccade.check.classes import balanced_accuracy
from saccade.check.data import check_data


def test_balanced_accuracy_is_scikit_learns():
    random = np.random.default_rng(0)
    label = np.repeat([0, 1, 2], [300, 200, 60])
    facts = random.normal(size=(560, 3)) + label[:, None] * [1.0, 0.3, 0]
    model = LinearDiscriminantAnalysis(solver="lsqr", priors=[1 / 3] * 3)
    guess = cross_val_predict(model, facts, label, cv=StratifiedKFold(5))
    theirs = balanced_accuracy_score(label, guess)
    # The folds hold other rows, and ours has a ridge: a few of 560 pictures differ.
    assert balanced_accuracy(facts, label.astype(np.intp)) == pytest.approx(theirs, abs=0.03)


def test_facts_of_chance_tell_nothing():
    random = np.random.default_rng(1)
    label = np.repeat([0, 1], [500, 100]).astype(np.intp)
    assert balanced_accuracy(random.normal(size=(600, 4)), label) == pytest.approx(0.5, abs=0.08)


def saved(root, sizes, numbers):
    random = np.random.default_rng(2)
    for name, side, number in zip(("a", "b"), sizes, numbers, strict=True):
        (root / name).mkdir()
        for count in range(number):
            pixels = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{count}.png")
    return {finding.name: finding for finding in check_data(root)}


def test_class_given_away_by_size_is_found(tmp_path):
    found = saved(tmp_path, (24, 30), (30, 30))["class-given-away"]
    assert found.severity == "warning"
    assert "100 %" in found.message
    assert "50 %" in found.message


def test_small_and_uneven_classes_are_found(tmp_path):
    found = saved(tmp_path, (24, 24), (12, 130))
    assert set(found) == {"too-few-pictures", "uneven-classes"}
    assert found["too-few-pictures"].where == "a"


def test_honest_pictures_have_no_finding(tmp_path):
    assert saved(tmp_path, (24, 24), (40, 40)) == {}


def two_classes(root, save):
    """Save 30 pictures of noise for each class by `save(class, pixels, path without suffix)`."""
    random = np.random.default_rng(4)
    for name in ("a", "b"):
        (root / name).mkdir()
        for number in range(30):
            pixels = random.integers(60, 196, (24, 24, 3), dtype=np.uint8)
            save(name, pixels, root / name / f"{number:02}")
    return {f.where for f in check_data(root) if f.name == "class-given-away"}


def test_class_given_away_by_format(tmp_path):
    def save(name, pixels, path):
        mode = "RGB" if name == "a" else "L"
        Image.fromarray(pixels).convert(mode).save(path.with_suffix(".png"))

    assert "the file's format" in two_classes(tmp_path, save)


def test_class_given_away_by_border(tmp_path):
    def save(name, pixels, path):
        edge = 0 if name == "a" else 255
        pixels[0] = pixels[-1] = edge
        pixels[:, 0] = pixels[:, -1] = edge
        Image.fromarray(pixels).save(path.with_suffix(".png"))

    assert "the border" in two_classes(tmp_path, save)


def test_class_given_away_by_a_frame_of_equal_luma(tmp_path):
    """A red frame or a green one, by which the whole picture's mean colour changes little."""

    def save(name, pixels, path):
        frame = (160, 60, 60) if name == "a" else (60, 111, 60)
        pixels[0] = pixels[-1] = frame
        pixels[:, 0] = pixels[:, -1] = frame
        Image.fromarray(pixels).save(path.with_suffix(".png"))

    assert "the border" in two_classes(tmp_path, save)


def test_class_given_away_by_a_bar_below(tmp_path):
    """A bar as grey as the rest, such as a caption's: only that edge has no grain."""

    def save(name, pixels, path):
        if name == "a":
            pixels[-1] = 128
        Image.fromarray(pixels).save(path.with_suffix(".png"))

    assert "the border" in two_classes(tmp_path, save)


def test_class_without_colour_is_given_away(tmp_path):
    """Grey pictures saved in three channels: neither their format nor their mean tells."""

    def save(name, pixels, path):
        picture = Image.fromarray(pixels)
        grey = picture.convert("L").convert("RGB")
        (grey if name == "a" else picture).save(path.with_suffix(".png"))

    assert "the mean colour" in two_classes(tmp_path, save)


def test_few_pictures_give_nothing_away(tmp_path):
    """Ten of each: by chance, one set in twenty would be told apart."""
    assert not {"class-given-away"} & set(saved(tmp_path, (24, 30), (10, 10)))


def test_class_given_away_by_colour(tmp_path):
    def save(name, pixels, path):
        channel, more = (0, 40) if name == "a" else (1, 20)  # of equal luma
        pixels[..., channel] += np.uint8(more)
        Image.fromarray(pixels).save(path.with_suffix(".png"))

    assert "the mean colour" in two_classes(tmp_path, save)


def test_class_given_away_by_length(tmp_path):
    """The same noise in JPEG of two qualities."""

    def save(name, pixels, path):
        quality = 95 if name == "a" else 40
        Image.fromarray(pixels).save(path.with_suffix(".jpg"), quality=quality)

    assert "the file's length" in two_classes(tmp_path, save)


def test_flowers_are_not_given_away(datasets):
    """Real photographs, whose files, edges and mean colours say little of the flower."""
    found = check_data(datasets / "flowers-originals.tar")
    assert [f.where for f in found if f.name == "class-given-away"] == []
