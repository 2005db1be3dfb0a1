from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import sklearn
from PIL import Image
from sklearn.datasets import load_digits

import saccade
from saccade.bundle import record_evaluation
from saccade.bundle.manifest import MEMBERS
from saccade.bundle.write import manifest_file, write_members
from saccade.cli import words
from saccade.data.references import DIGITS, FLOWER, TEMPLE
from saccade.evaluation import Refused
from saccade.progress import Silence
from saccade.recipe.unknown import _are_digits, refused_elsewhere
from saccade.run import open_run
from saccade.types import Interval


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
    assert run.refused == saccade.load(run.folder).manifest.refused == ()


def test_bundle_says_which_share_of_other_pictures_it_refuses(digits_run: saccade.Run) -> None:
    """The photographs' share anew, from files by Pillow, through the public call."""
    by_kind = {one.pictures: one for one in digits_run.refused}
    assert set(by_kind) == {TEMPLE, FLOWER, "pictures of noise", "single colours", "gradients"}
    classifier = saccade.load(digits_run.folder)
    assert classifier.manifest.refused == open_run(digits_run.folder).refused == digits_run.refused
    for kind, name in ((TEMPLE, "china.jpg"), (FLOWER, "flower.jpg")):
        image = Image.open(Path(sklearn.__file__).parent / "datasets" / "images" / name)
        boxes = [(x, y, x + 106, y + 106) for y in range(0, 424, 106) for x in range(0, 636, 106)]
        called = [classifier.predict(np.asarray(image.crop(box))).unknown for box in boxes]
        assert by_kind[kind].num_images == len(called) == 24
        assert by_kind[kind].rate.value == np.mean(called)
    assert by_kind["pictures of noise"].rate.value > 0.9
    html = digits_run.report.read_text()
    for kind in digits_run.refused:
        (row,) = re.findall(
            rf"<tr>(?:(?!</tr>).)*Refuses {re.escape(kind.pictures)}.*?</tr>", html, re.DOTALL
        )
        assert f"of {kind.num_images} that it was not trained on, called unknown" in row
        assert f"{100 * kind.rate.value:.1f}" in row
        assert f"{100 * kind.rate.low:.1f}" in row
    assert (
        "Refuses   as unknown, of what it was not trained on: patches of a temple "
        in words.answer(digits_run)
    )


def renamed(model: Path, to: Path, *, classes: tuple[str, ...], seen: np.ndarray) -> Path:
    """Write the same bundle with other names of classes, and other pictures that trained it."""
    with zipfile.ZipFile(model) as archive:
        contents = {name: archive.read(name) for name in MEMBERS[1:]}
    stream = io.BytesIO()
    np.lib.format.write_array(stream, seen, version=(1, 0))
    contents["seen.npy"] = stream.getvalue()
    manifest = replace(
        saccade.load(model).manifest,
        classes=classes,
        evaluation=None,
        digests={name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
    )
    write_members(to, {MEMBERS[0]: manifest_file(manifest)} | contents)
    return to


def test_network_is_not_asked_about_what_trained_it(
    digits_run: saccade.Run, tmp_path: Path
) -> None:
    """Digits are known by their pixels, whatever the classes are called, and by their names."""
    letters, nothing = tuple("abcdefghij"), np.empty(0, np.uint64)
    given = {
        "pixels": (letters, saccade.load(digits_run.model).seen),
        "names": (digits_run.classes, nothing),
        "neither": (letters, nothing),
    }
    for name, (classes, seen) in given.items():
        path = renamed(digits_run.model, tmp_path / name, classes=classes, seen=seen)
        asked = {one.pictures for one in refused_elsewhere(saccade.load(path))}
        assert (DIGITS in asked) == (name == "neither")
        assert {TEMPLE, FLOWER} <= asked


def test_digits_are_known_by_names_that_are_digits_and_by_no_others() -> None:
    words = "zero one two three four five six seven eight nine".split()
    for names in (
        words,
        [f"{digit} - {word}" for digit, word in enumerate(words)],  # as torchvision's MNIST has it
        ["digit 3", "digit_8"],
        ["0", "1", "none"],
    ):
        assert _are_digits(tuple(names)), names
    for names in (
        ["class_1", "class_2"],
        ["grade3", "grade4"],
        ["10", "11"],
        ["0 - one", "1 - two"],
        ["0", "1", "cat", "dog"],
        ["7", "seal"],
        ["one way", "two way"],
        ["digit", "letter"],
    ):
        assert not _are_digits(tuple(names)), names


HOSTILE = Refused(
    pictures="x\x1b[2J\nspoof", num_images=9, rate=Interval(value=0.5, low=0.1, high=0.9)
)


def predicted(model: Path, picture: Path, *, on_terminal: bool) -> tuple[str, str]:
    """Return what `saccade predict` writes on standard output, and on standard error."""
    ours, its = os.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "saccade", "predict", model, picture],
        stdout=subprocess.PIPE,
        stderr=its if on_terminal else subprocess.PIPE,
        text=True,
        check=True,
    )
    os.close(its)
    with os.fdopen(ours, "rb") as terminal:
        try:
            said = terminal.read1().decode() if on_terminal else done.stderr
        except OSError:  # nobody wrote, and the other end is closed
            said = ""
    return done.stdout, said


def test_what_a_bundle_says_of_pictures_is_told_with_unknown_ones_and_cannot_write_the_screen(
    digits_run: saccade.Run, tmp_path: Path
) -> None:
    model = tmp_path / "model.saccade"
    shutil.copy(digits_run.model, model)
    record_evaluation(model, digits_run.test, refused=(HOSTILE,))
    stripes = np.zeros((8, 8), np.uint8)
    stripes[::2] = 255
    digit = np.round(load_digits().images[0] * 255 / 16).astype(np.uint8)
    for name, pixels in (("stripes", stripes), ("digit", digit)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    out, said = predicted(model, tmp_path / "stripes.png", on_terminal=True)
    assert "unknown" in out
    assert said.splitlines() == [
        "Refuses   as unknown, of what it was not trained on: x\\x1b[2J\\nspoof 50 % (10 to 90)"
    ]
    assert predicted(model, tmp_path / "stripes.png", on_terminal=False)[1] == ""
    out, said = predicted(model, tmp_path / "digit.png", on_terminal=True)
    assert ("unknown" in out, said) == (False, "")


def test_figures_recorded_anew_keep_what_was_said_of_other_pictures(
    digits_run: saccade.Run, tmp_path: Path
) -> None:
    model = tmp_path / "model.saccade"
    shutil.copy(digits_run.model, model)
    record_evaluation(model, digits_run.test)
    assert saccade.load(model).manifest.refused == digits_run.refused != ()
    record_evaluation(model, digits_run.test, refused=())
    assert saccade.load(model).manifest.refused == ()
