from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from saccade.bundle import Manifest, write_bundle
from saccade.data.picture import Preprocessing
from saccade.errors import BundleError, DataError, PictureError
from saccade.predict import Classifier, Prediction, find_pictures, load

THRESHOLD = 0.7


def logit(brightness: Any) -> Any:
    """Return z for a mean brightness of 0 to 255: the model's logits are (-z, z)."""
    return 4 * (np.asarray(brightness) / 255 - 0.5)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bundle of a model that tells dark from light, by the mean of the pixels."""
    from saccade.models.backend import load_keras

    keras = load_keras()
    head = keras.layers.Dense(2)
    network = keras.Sequential(
        [
            keras.Input((8, 6, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.GlobalAveragePooling2D(),
            head,
        ]
    )
    head.set_weights([np.tile([[-4 / 3, 4 / 3]], (3, 1)), np.array([2.0, -2.0])])
    levels = np.arange(0, 256, 15)
    z = logit(levels)
    path = tmp_path_factory.mktemp("run") / "model.saccade"
    write_bundle(
        path,
        Manifest(
            name="brightness",
            created="2026-01-02T03:04:05Z",
            classes=("dark", "light"),
            preprocessing=Preprocessing(height_px=8, width_px=6, channels=3, fit="stretch"),
            temperature=1.0,
            threshold=THRESHOLD,
            target_error_rate=0.01,
        ),
        model=network,
        seen=np.array([4], dtype=np.uint64),
        parity_pixels=[np.tile(levels.astype(np.uint8).reshape(-1, 1, 1, 1), (1, 8, 6, 3))],
        parity_logits=np.stack([-z, z], axis=1),
    )
    return path


@pytest.fixture
def classifier(model: Path) -> Classifier:
    return load(model)


def save_grey(path: Path, level: int, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 16), (level, level, level)).save(path, **options)
    return path


def light_share(brightness: float) -> float:
    return float(1 / (1 + np.exp(-2 * logit(brightness))))


def test_picture_worked_out_by_hand(classifier: Classifier, tmp_path: Path) -> None:
    path = save_grey(tmp_path / "a.png", 204)
    # z = 4 * (0.8 - 0.5) = 1.2, so light has 1 / (1 + e^-2.4) = 0.9168
    given = classifier.predict(path)
    assert given.path == str(path)
    assert given.label == "light"
    assert given.probability == pytest.approx(0.9168273, abs=1e-6)
    assert given.probabilities == pytest.approx({"dark": 0.0831727, "light": 0.9168273}, abs=1e-6)
    assert not given.unsure
    assert given.error is None


@pytest.mark.parametrize(("level", "unsure"), [(128, True), (150, True), (190, False), (20, False)])
def test_unsure_below_the_threshold(classifier: Classifier, level: int, unsure: bool) -> None:
    given = classifier.predict(np.full((8, 6, 3), level, dtype=np.uint8))
    assert given.unsure is unsure
    assert given.label == ("light" if level > 127 else "dark")
    best = max(light_share(level), 1 - light_share(level))
    assert given.probability == pytest.approx(best, abs=1e-6)
    assert (best < THRESHOLD) is unsure


def test_every_kind_of_picture_is_the_same(classifier: Classifier, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    pixels = np.random.default_rng(0).integers(0, 256, (16, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="BMP")
    wanted = classifier.predict(path).probabilities
    for picture in (str(path), stream.getvalue(), pixels, Image.open(path)):
        given = classifier.predict(picture)
        assert given.probabilities == wanted
        assert given.path == (str(path) if isinstance(picture, str) else None)


def test_picture_that_cannot_be_used(classifier: Classifier, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    with pytest.raises(PictureError, match=r"bad\.png: "):
        classifier.predict(bad)
    with pytest.raises(PictureError):
        classifier.predict(b"no picture")
    with pytest.raises(PictureError, match=r"none\.png: "):
        classifier.predict(tmp_path / "none.png")


def test_batch_equals_single_pictures(classifier: Classifier) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (7, 8, 6, 3), dtype=np.uint8)
    given = classifier.predict_batch(pixels)
    for picture, row in zip(pixels, given, strict=True):
        one = classifier.predict(picture).probabilities
        np.testing.assert_allclose(list(one.values()), row, atol=1e-6)  # float32 summation order


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((1, 6, 8, 3), dtype=np.uint8),
        np.zeros((8, 6, 3), dtype=np.uint8),
        np.zeros((1, 8, 6, 3), dtype=np.float32),
    ],
)
def test_batch_of_another_shape(classifier: Classifier, pixels: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"pixels are uint8 \(N, 8, 6, 3\), got"):
        classifier.predict_batch(pixels)


def test_files_come_in_order_with_their_errors(classifier: Classifier, tmp_path: Path) -> None:
    paths = [save_grey(tmp_path / f"{n}.png", 255 * (n % 2)) for n in range(600)]
    paths[300].write_bytes(b"no picture")
    paths[599].unlink()
    given = list(classifier.predict_files(paths))
    assert [prediction.path for prediction in given] == [str(path) for path in paths]
    failed = [n for n, prediction in enumerate(given) if prediction.error is not None]
    assert failed == [300, 599]
    for number in failed:
        assert given[number].label is None
        assert given[number].probabilities == {}
        assert given[number].to_json().keys() == {"path", "error"}
    for number, prediction in enumerate(given):
        if number not in failed:
            assert prediction.label == ("light" if number % 2 else "dark")


def test_files_equal_single_pictures(classifier: Classifier, tmp_path: Path) -> None:
    """Tasks of many small files, of one large file, and of both, with a file that is missing."""
    random, paths = np.random.default_rng(3), []
    for number in range(100):
        side = 400 if number % 30 == 7 else 10  # about 480 kB and 400 bytes
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(random.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(paths[-1])
    paths[50].unlink()
    for path, given in zip(paths, classifier.predict_files(paths), strict=True):
        assert given.path == str(path)
        if path == paths[50]:
            assert given.error == "cannot be read: No such file or directory"
            continue
        one = classifier.predict(path)
        assert given.probabilities == pytest.approx(one.probabilities, abs=1e-6)


def test_only_bad_files(classifier: Classifier, tmp_path: Path) -> None:
    given = list(classifier.predict_files([tmp_path / "none.png", tmp_path]))
    assert all(prediction.error for prediction in given)
    assert list(classifier.predict_files([])) == []


def test_files_stream_in_bounded_memory(classifier: Classifier, tmp_path: Path) -> None:
    path, asked = save_grey(tmp_path / "a.png", 255), 0

    def paths() -> Iterator[Path]:
        nonlocal asked
        for _ in range(10_000):
            asked += 1
            yield path

    predictions = classifier.predict_files(paths())
    assert next(predictions).label == "light"
    assert asked < 2_000
    tracemalloc.start()
    for _ in range(1_500):
        next(predictions)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 5_000_000
    predictions.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("saccade")]


def test_prediction_as_json() -> None:
    given = Prediction(path="a.jpg", label="x", probability=0.9, probabilities={"x": 0.9, "y": 0.1})
    assert given.to_json() == {
        "path": "a.jpg",
        "label": "x",
        "probability": 0.9,
        "unsure": False,
        "unusualness": None,
        "unknown": False,
        "probabilities": {"x": 0.9, "y": 0.1},
    }


def test_run_folder_is_a_model(model: Path, classifier: Classifier) -> None:
    assert load(str(model.parent)).classes == classifier.classes == ("dark", "light")
    assert classifier.manifest.name == "brightness"
    assert classifier.seen.tolist() == [4]


def test_no_model_there(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"model\.saccade: there is no such file"):
        load(tmp_path)


def test_folder_in_natural_order(tmp_path: Path) -> None:
    for name in ("10.png", "2.PNG", "b/1.jpg", "a/11.jpg", "a/2.jpg", "notes.txt", ".tmp-x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [str(path.relative_to(tmp_path)) for path in find_pictures([tmp_path])]
    assert found == ["2.PNG", "10.png", "a/2.jpg", "a/11.jpg", "b/1.jpg"]


def test_named_file_is_always_given(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.touch()
    given = [notes, tmp_path / "none.jpg", "none[1].jpg"]
    assert list(find_pictures(given[:2])) == given[:2]


def test_pattern(tmp_path: Path) -> None:
    for name in ("10.png", "2.png", "c.jpg", "in/3.png"):
        save_grey(tmp_path / name, 0)
    found = find_pictures([f"{tmp_path}/*.png"])
    assert [path.name for path in found] == ["2.png", "10.png"]
    found = find_pictures([f"{tmp_path}/**/*.png"])
    assert [path.name for path in found] == ["2.png", "10.png", "3.png"]
    assert [path.name for path in find_pictures([f"{tmp_path}/i*"])] == ["3.png"]


def test_file_with_a_bracket_in_its_name(tmp_path: Path) -> None:
    path = save_grey(tmp_path / "a[1].png", 0)
    assert list(find_pictures([str(path)])) == [path]


def test_nothing_found(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match="there is no picture in this folder"):
        list(find_pictures([tmp_path]))
    with pytest.raises(DataError, match="no picture has such a name"):
        list(find_pictures([f"{tmp_path}/*.png"]))


def test_folders_nested_beyond_recursion(tmp_path: Path) -> None:
    here, depth = os.getcwd(), 1_500
    os.chdir(tmp_path)
    try:
        for _ in range(depth):
            os.mkdir("d")
            os.chdir("d")
        Image.new("L", (2, 2)).save("x.png")
        (found,) = find_pictures([tmp_path])
        assert len(found.parts) == len(tmp_path.parts) + depth + 1
    finally:  # one by one: what removes folders is recursive too
        Path("x.png").unlink(missing_ok=True)
        while Path.cwd() != tmp_path:
            os.chdir("..")
            os.rmdir("d")
        os.chdir(here)


def test_link_to_its_own_folder(tmp_path: Path) -> None:
    save_grey(tmp_path / "a.png", 0)
    (tmp_path / "loop").symlink_to(tmp_path)
    assert [path.name for path in find_pictures([tmp_path])] == ["a.png"]


def test_prediction_imports_nothing_heavy(model: Path, tmp_path: Path) -> None:
    path = save_grey(tmp_path / "a.png", 255)
    program = (
        "import sys, saccade\n"
        "assert saccade.load(sys.argv[1]).predict(sys.argv[2]).label == 'light'\n"
        "heavy = {'keras', 'torch', 'tensorflow', 'pyarrow', 'plotly', 'onnx', 'sklearn', 'rich',"
        " 'typer', 'jinja2', 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, model, path], capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_real_bad_inputs(classifier: Classifier, datasets: Path, tmp_path: Path) -> None:
    """Every file of the bad inputs: a figure or a reason of one line, and no more files held."""
    import tarfile

    with tarfile.open(datasets / "bad-inputs.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    paths = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    given = list(classifier.predict_files(paths))
    assert len(given) == len(paths) > 10
    for prediction in given:
        assert (prediction.error is None) == (prediction.label is not None)
        assert "\n" not in (prediction.error or "")
