"""``saccade check`` as a person runs it."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from benchmarks import planted
from PIL import Image


@pytest.fixture
def troubled(tmp_path) -> Path:
    """Two classes of 24 random pictures; one is in both, one twice, one is broken, one blank."""
    root, random = tmp_path / "data", np.random.default_rng(0)
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for number in range(24):
            pixels = random.integers(0, 256, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number:02}.png")
    shutil.copy(root / "cat" / "00.png", root / "dog" / "same.png")
    shutil.copy(root / "cat" / "01.png", root / "cat" / "twice.png")
    mirrored = Image.open(root / "cat" / "02.png").transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    mirrored.save(root / "cat" / "turned.png")
    (root / "cat" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    Image.new("RGB", (24, 24), "white").save(root / "dog" / "blank.png")
    return root


def digests(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_check_finds_what_was_planted(run_saccade, troubled, tmp_path):
    before, out = digests(troubled), tmp_path / "out"
    done = run_saccade("check", troubled, "--json", "--out", out)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    named = {f["name"]: {row["path"] for row in f["rows"]} for f in document["findings"]}
    assert named == {
        "equal-copies-conflicting-labels": {"dog/same.png"},
        "equal-copies": {"cat/twice.png"},
        "near-copies": {"cat/turned.png"},
        "unreadable": {"cat/broken.png"},
        "blank": {"dog/blank.png"},
    }
    assert document["findings"][0]["severity"] == "serious"
    assert set(document) == {"version", "findings", "labels_judged"}
    for finding in document["findings"]:
        assert set(finding) == {"name", "severity", "where", "message", "cure", "rows"}
        assert all({"path", "score"} <= set(row) for row in finding["rows"])
        assert all(set(row) <= {"path", "score", "other", "detail"} for row in finding["rows"])
    with (out / "exclude.csv").open() as stream:
        excluded = {row["path"] for row in csv.DictReader(stream)}
    in_doubt = named.pop("equal-copies-conflicting-labels")  # which label is wrong, a person says
    assert excluded == set().union(*named.values())
    assert not excluded & in_doubt
    assert digests(troubled) == before


def test_document_of_clean_pictures_holds_no_finding(run_here, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
    for number, picture in enumerate(planted.blobs(48, side_px=32)):
        picture.save(tmp_path / ("cat", "dog")[number % 2] / f"{number:02}.png")
    done = run_here("check", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"version": 1, "findings": [], "labels_judged": False}
    assert "Nothing found." in run_here("check", tmp_path).stdout


def test_issues_are_a_table(run_here, troubled, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    done = run_here("check", troubled, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "equal-copies-conflicting-labels" in done.stdout
    assert "Labels were not looked at" in done.stdout
    assert "data:image/" in (tmp_path / "out" / "check.html").read_text()
    table = parquet.read_table(tmp_path / "out" / "issues.parquet")
    assert table.column_names == ["name", "severity", "path", "score", "other", "detail"]
    assert table.num_rows == 5


def test_copies_across_parts_are_serious_and_train_goes(run_here, troubled, tmp_path):
    (tmp_path / "test" / "dog").mkdir(parents=True)
    shutil.copy(troubled / "dog" / "05.png", tmp_path / "test" / "dog" / "x.png")
    done = run_here("check", troubled, "--test", tmp_path / "test", "--json")
    findings = {f["name"]: f for f in json.loads(done.stdout)["findings"]}
    found = findings["equal-copies-across-splits"]
    assert found["severity"] == "serious"
    ((path, other),) = [(row["path"], row["other"]) for row in found["rows"]]
    assert (path, other) == ("dog/05.png", "test:dog/x.png")


def test_near_copies_of_two_classes_come_first_then_those_in_the_users_own_test_part(
    run_here, tmp_path
):
    train, test = tmp_path / "data", tmp_path / "test"
    for folder in (train / "cat", train / "dog", test / "dog"):
        folder.mkdir(parents=True)
    pictures = planted.blobs(48, side_px=48)
    for number, picture in enumerate(pictures):
        picture.save(train / ("cat", "dog")[number % 2] / f"{number:02}.png")
    pictures[0].transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(train / "dog" / "turned.png")
    pictures[1].resize((36, 36)).save(test / "dog" / "small.png")

    done = run_here("check", train, "--test", test, "--json")
    assert done.returncode == 0, done.stderr
    first, second, *rest = json.loads(done.stdout)["findings"]
    assert first["name"] == "near-copies-conflicting-labels"
    assert second["name"] == "near-copies-across-splits"
    pairs = [[(row["path"], row["other"]) for row in one["rows"]] for one in (first, second)]
    assert pairs == [[("dog/turned.png", "cat/00.png")], [("dog/01.png", "test:dog/small.png")]]
    assert {first["severity"], second["severity"]} == {"serious"}
    assert "serious" not in {finding["severity"] for finding in rest}
    said = run_here("check", train, "--test", test).stdout
    assert said.index(first["name"]) < said.index(second["name"])


def test_labels_of_too_few_pictures_leave_the_rest_of_the_findings(run_here, troubled):
    for number in range(10, 24):
        (troubled / "dog" / f"{number}.png").unlink()
    done = run_here("check", troubled, "--labels", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    names = {finding["name"] for finding in document["findings"]}
    assert {"equal-copies", "blank", "labels-not-judged"} <= names
    assert document["labels_judged"] is False


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("none",), "none"),
        (("--budget", "5m"), "belong to --labels"),
        (("--group", "patient"), "belong to --labels"),
        (("--labels", "--budget", "soon"), "a budget is a time"),
        (("--labels", "--weights", "x.h5"), "under its own name"),
    ],
)
def test_a_mistake_is_one_line(run_here, troubled, words, said):
    data = () if words == ("none",) else (troubled,)
    done = run_here("check", *data, *words)
    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
