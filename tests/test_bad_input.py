"""What people give that is no tidy set of pictures, through the whole command.

Each part's own tests hold its own promises; these hold the command to its one: a whole run or one
line and exit code 2, and nothing half-written to be seen.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import saccade
from saccade.cli import main
from saccade.data import read_index
from saccade.errors import SettingsError
from saccade.models import build_model
from saccade.progress import Silence
from saccade.recipe.request import new_request, resumed_request, write_started
from saccade.run import list_runs

QUICK = ("--model", "t3", "--epochs", "1")


@pytest.fixture
def command(capsys, monkeypatch):
    """Run the command in this process; return its exit code, output and lines of errors."""

    def run(*arguments: object) -> tuple[int, str, list[str]]:
        monkeypatch.setattr(sys, "argv", ["saccade", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        code = ended.value.code
        return code if isinstance(code, int) else 0, said.out, said.err.splitlines()

    return run


def draw(folder: Path, count: int = 4, *, shade: int = 90) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng([shade, count])
    for number in range(count):
        pixels = random.integers(0, 60, (8, 8, 3), dtype=np.uint8) + np.uint8(shade)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def two_classes(root: Path, count: int = 6) -> Path:
    draw(root / "dark", count, shade=20)
    draw(root / "light", count, shade=180)
    return root


def unpacked(archive: Path, to: Path) -> list[Path]:
    """Unpack an archive's files into two class folders; return where they are."""
    placed = []
    with tarfile.open(archive) as packed:
        for number, member in enumerate(m for m in packed.getmembers() if m.isfile()):
            content = packed.extractfile(member)
            assert content is not None
            place = to / ("even", "odd")[number % 2] / f"{number:03d}-{Path(member.name).name}"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content.read())
            placed.append(place)
    return placed


@pytest.mark.parametrize("name", ["bad-inputs.tar.gz", "exif-orientations.tar"])
def test_every_bad_file_trains_or_is_listed_and_predicts_or_says_why(
    command, datasets, tmp_path, name
):
    files = unpacked(datasets / name, tmp_path / "pictures")
    arguments = ("train", tmp_path / "pictures", *QUICK, "--out", tmp_path, "--name", "run")
    code, out, _ = command(*arguments, "--json")
    document = json.loads(out)  # one document and nothing else
    assert code == 0
    assert document["images"]["used"] + document["images"]["left_out"] == len(files)
    index = read_index(tmp_path / "run" / "index.parquet")
    assert all("\n" not in reason for reason in index.reason)
    code, out, errors = command("predict", tmp_path / "run", *files)
    assert (code, errors) == (2, [])  # of these some are no pictures
    lines = out.splitlines()
    assert len(lines) == len(files)
    for path, line in zip(files, lines, strict=True):
        assert line.startswith(str(path))
        assert ("cannot be used: " in line) != ("%" in line.removeprefix(str(path)))


@pytest.mark.parametrize("name", ["bad-inputs.tar.gz", "exif-orientations.tar"])
def test_archive_of_one_folder_is_one_class_and_one_line(command, datasets, tmp_path, name):
    code, out, errors = command("train", datasets / name, *QUICK, "--out", tmp_path / "runs")
    assert (code, out) == (2, "")
    assert "takes at least two" in errors[-1]
    assert not (tmp_path / "runs").exists()


def nothing(root: Path) -> None:
    root.mkdir()


def empty_classes(root: Path) -> None:
    (root / "cat").mkdir(parents=True)
    (root / "dog").mkdir()


def pictures_without_classes(root: Path) -> None:
    draw(root)


def one_class(root: Path) -> None:
    draw(root / "cat")


def class_of_one_picture(root: Path) -> None:
    two_classes(root)
    draw(root / "rare", 1)


def only_a_test_part(root: Path) -> None:
    two_classes(root / "test")


def label_in_the_test_part_alone(root: Path) -> None:
    two_classes(root / "train")
    two_classes(root / "test", 5)  # other pictures: copies would be left out of the training part
    draw(root / "test" / "new")


def files_of_other_kinds(root: Path) -> None:
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        (root / name / "notes.txt").write_text("no picture")
        (root / name / "broken.jpg").write_bytes(b"\xff\xd8\xff")


@pytest.mark.skipif(sys.platform == "win32", reason="folders are made by descriptor")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (nothing, "holds no pictures"),
        (empty_classes, "holds no pictures"),
        (pictures_without_classes, "holds pictures but no class folders"),
        (one_class, "takes at least two with usable pictures, found one, 'cat'"),
        (class_of_one_picture, "'rare' has 1"),
        (only_a_test_part, "every picture is in the test part; add pictures to train on"),
        (label_in_the_test_part_alone, "no picture to train on: 'new'"),
        (files_of_other_kinds, "found none"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_folder_that_cannot_be_trained_on_is_one_line(command, tmp_path, make, message):
    make(tmp_path / "pictures")
    code, out, errors = command(
        "train", tmp_path / "pictures", *QUICK, "--out", tmp_path / "runs", "--json"
    )
    assert (code, out) == (2, "")
    assert message in errors[-1]
    assert [line for line in errors if line.startswith("saccade: ")] == errors[-1:]
    assert not (tmp_path / "runs").exists()


@contextmanager
def nested_folders(root: Path, depth: int):
    """Make them step by step, and delete them so: the path is longer than a system takes."""
    here = os.getcwd()
    os.chdir(root)
    try:
        for _ in range(depth):
            os.mkdir("in")
            os.chdir("in")
        yield
    finally:
        for _ in range(depth):
            os.chdir("..")
            os.rmdir("in")
        os.chdir(here)


def test_two_thousand_nested_folders_are_one_line_in_the_list(bound_by_rights, tmp_path):
    two_classes(tmp_path / "pictures")
    arguments = ("train", tmp_path / "pictures", *QUICK, "--out", tmp_path, "--name", "run")
    with nested_folders(tmp_path / "pictures" / "dark", 2000):
        done = bound_by_rights(*arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        lines = bound_by_rights("predict", "run", "pictures", cwd=tmp_path).stdout.splitlines()
        refused = bound_by_rights("predict", "run", "pictures/**/*.png", cwd=tmp_path)
    index = read_index(tmp_path / "run" / "index.parquet")
    reasons = index.reason[~index.usable]
    assert len(lines) == 13
    assert sum(line.endswith("File name too long") for line in lines) == 1
    assert len(reasons) == 1
    assert "nested more than 64 deep" in reasons[0]
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert "folders nest too deep" in refused.stderr


NAMES = [
    '"quo\'te"',
    "<script>alert(1)<",
    "é日本🐱",
    "l" * 200,
    "new\nline",
    "\x1b[31mred",
    "=cmd|calc",
    "{{7*7}}",
    "a,b;c\td",
]


@pytest.mark.skipif(sys.platform == "win32", reason="such names are not allowed there")
def test_any_name_of_a_class_is_shown_on_one_line_and_runs_nothing(command, tmp_path):
    for number, name in enumerate(NAMES):
        draw(tmp_path / "pictures" / name, 4, shade=20 * number)
    arguments = ("train", tmp_path / "pictures", *QUICK, "--out", tmp_path, "--name", "run")
    assert command(*arguments)[0] == 0
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)" in report
    assert "<script>alert(1)" not in report
    code, out, _ = command("predict", tmp_path / "run", tmp_path / "pictures")
    assert code == 0
    assert len(out.splitlines()) == 4 * len(NAMES)
    assert all(line.isprintable() for line in out.splitlines())
    answers = json.loads(
        command("predict", tmp_path / "run", tmp_path / "pictures", "--format", "json")[1]
    )
    assert set(answers[0]["probabilities"]) == set(NAMES)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no such names")
def test_names_that_are_no_utf8_make_a_whole_run(command, tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    two_classes(folder / "pictures")
    (folder / "pictures" / "dark").rename(folder / "pictures" / os.fsdecode(b"d\xe4rk"))
    code, out, errors = command(
        "train", folder / "pictures", *QUICK, "--out", folder / "runs", "--name", "run", "--json"
    )
    assert code == 0, errors
    assert json.loads(out)["run"] == str(folder / "runs" / "run")
    assert command("report", folder / "runs" / "run")[0] == 0
    code, out, _ = command("predict", folder / "runs" / "run", folder / "pictures")
    assert (code, len(out.splitlines())) == (0, 12)
    assert "\\udce4rk" in out
    output = folder / "answers.csv"
    command("predict", folder / "runs" / "run", folder, "--format", "csv", "--output", output)
    assert len(output.read_text(encoding="utf-8").splitlines()) == 13


def test_terminal_that_lacks_the_letters_gets_others(tmp_path):
    folder = two_classes(tmp_path / "été")
    run = saccade.train(folder, model="t3", epochs=1, out=tmp_path, progress=Silence())
    done = subprocess.run(
        [sys.executable, "-m", "saccade.cli", "predict", run.model, folder],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"\\xe9t\\xe9") == 12


def test_a_thousand_classes_of_three_pictures_are_a_whole_run(tmp_path):
    labels = np.repeat(np.arange(1000), 3)
    pixels = np.random.default_rng(0).integers(0, 256, (3000, 6, 6, 1), dtype=np.uint8)
    run = saccade.train(
        (pixels, labels), model="t3", epochs=1, out=tmp_path, name="run", progress=Silence()
    )
    assert len(run.classes) == 1000
    assert (run.images.train, run.images.validation, run.images.test) == (1000, 1000, 1000)
    assert run.test.accuracy.low <= 0.001 <= run.test.accuracy.high  # there is nothing to learn
    assert run.report.is_file()


@pytest.fixture
def request_and_plan(tmp_path):
    """What a run of its own begins with."""
    made = saccade.train(
        two_classes(tmp_path / "pictures"),
        model="t3",
        epochs=1,
        name="made",
        out=tmp_path,
        progress=Silence(),
    )
    started = resumed_request_of(made.folder)
    request = new_request(
        "digits", test=None, settings=started.settings, name="new", out=tmp_path / "out"
    )
    return request, started.plan


def resumed_request_of(folder: Path):
    finished = (folder / "run.json").rename(folder / "aside.json")
    try:
        return resumed_request(folder, None, None)
    finally:
        finished.rename(folder / "run.json")


def test_second_run_of_one_name_touches_nothing(request_and_plan):
    request, plan = request_and_plan
    write_started(request, plan, "digest of the first")
    with pytest.raises(SettingsError, match="new exists; choose another --name"):
        write_started(request, plan, "digest of the second")
    assert resumed_request(request.folder, None, None).data_digest == "digest of the first"
    assert [path.name for path in request.folder.parent.iterdir()] == ["new"]


@contextmanager
def files_of_at_most(size: int):
    """Let no file grow further, which stands for a disk that is full."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_full_disk_leaves_no_folder_of_a_run(request_and_plan):
    request, plan = request_and_plan
    with files_of_at_most(10), pytest.raises(SettingsError, match="cannot write"):
        write_started(request, plan, "digest")
    assert list(request.folder.parent.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_full_disk_under_the_output_is_one_line(tmp_path):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "saccade.cli", "runs", "--out", tmp_path],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert done.returncode == 2
    assert os.strerror(errno.ENOSPC) in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="processes are stopped by signals")
@pytest.mark.parametrize(
    ("sign", "after"),
    [
        (signal.SIGINT, "scan:"),
        (signal.SIGINT, "test:"),
        (signal.SIGKILL, "train:"),
        (signal.SIGKILL, "test:"),
    ],
    ids=["ctrl-c-plan", "ctrl-c-report", "kill-bundle", "kill-report"],
)
def test_run_stopped_in_any_stage_shows_nothing_half_written_and_goes_on(tmp_path, sign, after):
    arguments = ["train", "digits", *QUICK, "--out", str(tmp_path), "--name", "run"]
    child = subprocess.Popen(
        [sys.executable, "-m", "saccade.cli", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stderr is not None
    for line in child.stderr:
        if line.startswith(after):
            break
    child.send_signal(sign)
    said = child.communicate(timeout=60)[1].splitlines()
    assert child.returncode == (130 if sign == signal.SIGINT else -signal.SIGKILL)
    if sign == signal.SIGINT:
        assert said[-1] == "saccade: interrupted; nothing half-written is left"
    if after == "scan:":
        assert not list_runs(tmp_path)
        return
    folder = tmp_path / "run"
    assert not (folder / "run.json").exists()
    assert sign == signal.SIGKILL or any("--resume" in line for line in said)
    if (folder / "model.saccade").exists():
        saccade.load(folder)  # whole, or it would be refused
    run = saccade.train(resume=folder, progress=Silence())
    assert run.images.test == 359
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".tmp-")} == {
        *("started.json", "index.parquet", "predictions.parquet", "gallery.npz"),
        *("model.saccade", "report.html", "run.json"),
    }


def test_relative_model_file_is_found_from_any_folder(tmp_path, monkeypatch):
    network = build_model("t3", input_shape=(8, 8, 1), num_classes=10)
    network.save(tmp_path / "own.keras")  # compiled, and never trained
    monkeypatch.chdir(tmp_path)
    saccade.train("digits", model="own.keras", epochs=1, name="run", progress=Silence())
    monkeypatch.chdir("/")
    kept = resumed_request_of(tmp_path / "runs" / "run")
    assert kept.settings.model == str(tmp_path / "own.keras")


@pytest.fixture
def bound_by_rights():
    """Run the command so that files' rights bind it, though the tests' user may be root."""
    if sys.platform == "win32":
        pytest.skip("rights are not of this kind")
    prefix: list[str] = []
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root may read everything, and there is no setpriv to change that")
        prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]

    def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [*prefix, sys.executable, "-m", "saccade.cli", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=cwd)

    return run


@contextmanager
def forbidden(path: Path):
    path.chmod(0)
    try:
        yield
    finally:
        path.chmod(0o700)


def test_what_may_not_be_read_is_one_line(bound_by_rights, tmp_path):
    bundle, run = tmp_path / "model.saccade", tmp_path / "runs" / "run"
    bundle.write_bytes(b"PK")
    two_classes(run)
    with forbidden(bundle):
        done = bound_by_rights("predict", bundle, tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "cannot be read: Permission denied" in done.stderr
    with forbidden(run):
        done = bound_by_rights("runs", "--out", tmp_path / "runs")
    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 1)
    assert "cannot be read: Permission denied" in done.stdout
    with forbidden(run):
        done = bound_by_rights("train", run, "--out", tmp_path / "out")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "cannot be listed: Permission denied" in done.stderr
    assert not (tmp_path / "out").exists()


def test_place_that_may_not_be_written_is_one_line(bound_by_rights, tmp_path):
    two_classes(tmp_path / "pictures")
    (tmp_path / "closed").mkdir(mode=0o500)
    out = tmp_path / "closed" / "runs"
    done = bound_by_rights("train", tmp_path / "pictures", *QUICK, "--out", out)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"saccade: cannot write {out}")
    assert list((tmp_path / "closed").iterdir()) == []


def test_folder_that_cannot_be_listed_says_so_as_its_answer(bound_by_rights, tmp_path):
    folder = two_classes(tmp_path / "pictures")
    run = saccade.train(folder, model="t3", epochs=1, out=tmp_path, progress=Silence())
    with forbidden(folder / "dark"):
        done = bound_by_rights("predict", run.model, folder)
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr, len(lines)) == (2, "", 7)
    closed = f"{folder / 'dark'}  cannot be used: this folder cannot be listed: Permission denied"
    assert closed in lines


@pytest.mark.parametrize("place", ["x" * 5000, "x/" * 2500])
def test_path_that_is_too_long_is_one_line(command, tmp_path, place):
    for arguments in (("train", place), ("predict", place, place), ("report", place)):
        code, _, errors = command(*arguments)
        assert (code, len(errors)) == (2, 1)
