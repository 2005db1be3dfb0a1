"""File facts against scikit-learn's discriminants, and honest sets without a finding."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binomtest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from saccade.check.classes import balanced_accuracy, given_away
from saccade.check.data import check_data, to_exclude
from saccade.check.thumbnails import look
from saccade.data import Kin, build_index, group_rows, open_source
from saccade.progress import Silence


def test_balanced_accuracy_is_scikit_learns():
    random = np.random.default_rng(0)
    label = np.repeat([0, 1, 2], [300, 200, 60])
    facts = random.normal(size=(560, 3)) + label[:, None] * [1.0, 0.3, 0]
    model = LinearDiscriminantAnalysis(solver="lsqr", priors=[1 / 3] * 3)
    guess = cross_val_predict(model, facts, label, cv=StratifiedKFold(5))
    theirs = balanced_accuracy_score(label, guess)
    # The folds hold other rows, and ours has a ridge: a few of 560 pictures differ.
    assert balanced_accuracy(facts, label.astype(np.intp)).value == pytest.approx(theirs, abs=0.03)


def test_facts_of_chance_tell_nothing():
    random = np.random.default_rng(1)
    label = np.repeat([0, 1], [500, 100]).astype(np.intp)
    reached = balanced_accuracy(random.normal(size=(600, 4)), label)
    assert reached.value == pytest.approx(0.5, abs=0.08)
    assert reached.low < 0.5 < reached.high


def test_interval_joins_those_of_the_classes():
    """A fact that is right for 70 of 100 and for 150 of 200: scipy's bounds, joined by hand."""
    label = np.repeat([0, 1], [100, 200]).astype(np.intp)
    fact = np.repeat([0.0, 1.0, 1.0, 0.0], [70, 30, 150, 50])
    for part in (slice(0, 100), slice(100, 300)):  # alike in every fold
        np.random.default_rng(0).shuffle(fact[part])
    reached = balanced_accuracy(fact[:, None], label, tail=0.005)
    exact = [binomtest(*n).proportion_ci(0.99, method="exact") for n in ((70, 100), (150, 200))]
    below = np.hypot(0.7 - exact[0].low, 0.75 - exact[1].low) / 2
    above = np.hypot(exact[0].high - 0.7, exact[1].high - 0.75) / 2
    assert (reached.value, reached.low, reached.high) == pytest.approx(
        (0.725, 0.725 - below, 0.725 + above), abs=1e-6
    )


def test_units_in_place_of_their_pictures_give_the_same_interval():
    """Each picture ten times, as one unit, says no more than once; counted singly, it would."""
    random = np.random.default_rng(6)
    label = np.repeat([0, 1], [60, 40]).astype(np.intp)
    facts = random.normal(size=(100, 2)) + label[:, None] * 0.8
    once = balanced_accuracy(facts, label)
    unit = np.repeat(np.arange(100), 10)
    asked = facts[unit], label[unit]
    tenfold = balanced_accuracy(*asked, unit=unit)
    assert (tenfold.low, tenfold.high) == pytest.approx((once.low, once.high), abs=1e-6)
    assert balanced_accuracy(*asked).low > tenfold.low + 0.05


def test_class_of_one_unit_is_not_learnt_while_it_is_asked():
    label = np.repeat([0, 1], 30).astype(np.intp)
    unit = np.where(label == 0, 30, np.arange(60))
    reached = balanced_accuracy(label[:, None].astype(float), label, unit=unit)
    assert (reached.value, reached.low) == (pytest.approx(0.5), pytest.approx(0.5, abs=0.1))


def subjects(root, number, sides):
    """Save `number` subjects a class, six pictures each, of the sides that `sides` (2, n) say."""
    random = np.random.default_rng(9)
    for name, of_class in zip("ab", sides, strict=True):
        (root / name).mkdir()
        for subject, picture in product(range(number), range(6)):
            side = of_class[subject]
            pixels = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"s{subject}-{picture}.png")
    source = open_source(root, progress=Silence())
    index = build_index(source, progress=Silence())
    return source, index, look(source, index, progress=Silence())


def test_noise_of_subjects_is_no_hint_where_they_are_known(tmp_path):
    """Sizes, lengths and formats that differ by subject alone, drawn a hundred times.

    Of twenty draws whose pictures are counted singly many have one.
    """
    source, index, looks = subjects(tmp_path, 10, np.full((2, 10), 24))
    named = group_rows(source, index, r"([ab]/s\d+)-")
    random, known, unknown = np.random.default_rng(7), 0, 0
    for draw in range(100):
        sides = random.integers(50, 500, (2, 20))[:, named]
        noise = random.integers(5_000, 10_000, 20)[named]
        some = index.with_columns(
            width_px=sides[0].astype(index.width_px.dtype),
            height_px=sides[1].astype(index.height_px.dtype),
            mode=np.array(["L", "RGB", "RGBA"], object)[random.integers(0, 3, 20)[named]],
        )
        other = replace(looks, num_bytes=noise.astype(np.float32))
        known += bool(given_away(some, other, Kin(groups=named)))
        unknown += draw < 20 and bool(given_away(some, other, Kin()))
    assert known <= 2
    assert unknown >= 6


def test_known_subjects_count_as_one(tmp_path):
    """Four fifths of ten subjects' sizes tell their class: sure of sixty pictures, not of ten."""
    large = np.arange(10) < 8
    sides = np.where([large, ~large], 24, 30)
    source, index, looks = subjects(tmp_path, 10, sides)
    assert "the picture's size" in {found.where for found in given_away(index, looks, Kin())}
    named = group_rows(source, index, r"([ab]/s\d+)-")
    assert given_away(index, looks, Kin(groups=named)) == ()


def saved(root, sizes, numbers):
    random = np.random.default_rng(2)
    for name, side, number in zip(("a", "b"), sizes, numbers, strict=True):
        (root / name).mkdir()
        for count in range(number):
            pixels = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{count}.png")
    return {finding.name: finding for finding in check_data(root)}


def film(root: Path, name: str, seed: int, *, in_turn: bool) -> None:
    """Save 60 frames over which one picture becomes another; numbered in turn, or shuffled."""
    random = np.random.default_rng(seed)
    ends = random.integers(0, 256, (8, 8, 8, 3)).repeat(4, axis=1).repeat(4, axis=2)
    order = np.arange(60) if in_turn else random.permutation(60)
    (root / name).mkdir(parents=True)
    for frame, number in enumerate(order):
        place, far = divmod(frame / 60 * 7, 1)
        pixels = (1 - far) * ends[int(place)] + far * ends[int(place) + 1]
        pixels[:] = np.clip(0.6 * pixels + seed * 80, 0, 255)  # a wall of its own
        Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{name}-{number:03}.png")


def test_one_film_a_class_gives_nothing_away_and_loses_no_frame(tmp_path):
    """One film is one piece of evidence; numbered at random, nobody could know it is one."""
    for in_turn in (True, False):
        root = tmp_path / str(in_turn)
        for seed, name in enumerate(("rock", "paper")):
            film(root, name, seed, in_turn=in_turn)
        findings = check_data(root)
        names = {finding.name for finding in findings}
        assert ("class-given-away" in names) is not in_turn
        assert ("near-copies-in-series" in names) is in_turn
        assert ("near-copies" in names) is not in_turn
        assert bool(to_exclude(findings)) is not in_turn


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


@pytest.mark.parametrize(
    ("large", "name", "severity"),
    [
        (range(30), "class-given-away", "warning"),
        (range(22), "class-hinted-at", "note"),
        (range(14, 30), None, None),
    ],
    ids=["always", "mostly", "as often as not"],
)
def test_size_that_tells_surely_mostly_or_nothing(tmp_path, large, name, severity):
    """Of 60 pictures of each class those of `large`, twice, have 30 px in b and 24 in a."""
    random = np.random.default_rng(5)
    for label, sides in (("a", (24, 30)), ("b", (30, 24))):
        (tmp_path / label).mkdir()
        for number in range(60):
            side = sides[0 if number % 30 in large else 1]
            pixels = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / label / f"{number}.png")
    found = [f for f in check_data(tmp_path) if "the picture's size" in f.where]
    assert [(f.name, f.severity) for f in found] == ([(name, severity)] if name else [])
    if name == "class-hinted-at":
        assert "the picture's size 73 % (99.5 % interval " in found[0].message
        assert "would get 50 %" in found[0].message


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
    """Real photographs, whose files, edges and mean colours say little of the flower.

    A little, though: yellow flowers are told by their colour, which is for a network to use.
    """
    found = check_data(datasets / "flowers-originals.tar")
    assert [f.where for f in found if f.name.startswith("class-")] == []


def test_films_of_hands_are_no_hint(datasets):
    """Few hands, each in many pictures, that their names put in series; files say nothing sure."""
    found = check_data(datasets / "rock-paper-scissors-28px.tar")
    assert [f.where for f in found if f.name.startswith("class-")] == []
