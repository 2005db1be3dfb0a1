from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import sklearn
from PIL import Image

import saccade
from saccade.bundle.manifest import MEMBERS
from saccade.bundle.write import manifest_file, write_members
from saccade.cli import words
from saccade.data.references import DIGITS, PATCHES
from saccade.evaluation import refusal
from saccade.progress import Silence
from saccade.recipe.unknown import refused_elsewhere
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
    assert run.refused == saccade.load(run.folder).manifest.refused == ()


def test_bundle_says_which_share_of_other_pictures_it_refuses(digits_run: saccade.Run) -> None:
    """The photographs' share anew, from files by Pillow, through the public call."""
    by_kind = {one.pictures: one for one in digits_run.refused}
    assert set(by_kind) == {PATCHES, "pictures of noise", "single colours", "gradients"}
    classifier = saccade.load(digits_run.folder)
    assert classifier.manifest.refused == open_run(digits_run.folder).refused == digits_run.refused
    called = []
    for name in ("china.jpg", "flower.jpg"):
        image = Image.open(Path(sklearn.__file__).parent / "datasets" / "images" / name)
        boxes = [(x, y, x + 106, y + 106) for y in range(0, 424, 106) for x in range(0, 636, 106)]
        called += [classifier.predict(np.asarray(image.crop(box))).unknown for box in boxes]
    assert by_kind[PATCHES].num_images == len(called) == 48
    assert by_kind[PATCHES].rate.value == np.mean(called)
    assert by_kind["pictures of noise"].rate.value > 0.9
    assert refusal(digits_run.refused) in digits_run.report.read_text()
    assert "Refuses   of other pictures, as unknown: patches of" in words.answer(digits_run)


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
        assert PATCHES in asked
