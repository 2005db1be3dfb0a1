from __future__ import annotations

import csv
import io
import json

import pytest


def test_json_holds_one_object_a_picture(run_saccade, trained, pictures):
    done = run_saccade("predict", trained["model"], pictures / "dark", "--format", "json")
    assert done.returncode == 2  # one of them is broken, and says so
    answers = json.loads(done.stdout)
    assert len(answers) == 13
    for answer in answers:
        if "error" in answer:
            assert set(answer) == {"path", "error"}
            assert answer["path"].endswith("broken.jpg")
            continue
        assert set(answer) == {
            "path",
            "label",
            "probability",
            "unsure",
            "unusualness",
            "unknown",
            "probabilities",
        }
        assert answer["label"] == "dark"
        assert answer["probabilities"][answer["label"]] == answer["probability"]
        assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_csv_opens_as_a_table(run_here, trained, pictures, tmp_path):
    output = tmp_path / "answers.csv"
    pattern = f"{pictures}/light/*.png"
    done = run_here("predict", trained["run"], pattern, "--format", "csv", "--output", output)
    assert (done.returncode, done.stdout) == (0, "")
    rows = list(csv.DictReader(io.StringIO(output.read_text())))
    assert len(rows) == 12
    assert {row["label"] for row in rows} == {"light"}
    assert float(rows[0]["light"]) == pytest.approx(float(rows[0]["probability"]))


def test_table_is_read_by_people(run_here, trained, pictures):
    done = run_here("predict", trained["model"], pictures / "dark" / "0.png")
    assert done.returncode == 0
    assert done.stdout.count("\n") == 1
    assert "dark" in done.stdout
    assert "%" in done.stdout


def test_a_reader_that_has_seen_enough_is_no_error(trained, pictures):
    import subprocess
    import sys

    command = (
        f'"{sys.executable}" -m saccade.cli predict "{trained["model"]}" "{pictures}" | head -n 1'
    )
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("place", ["absent.saccade", "broken.saccade"])
def test_model_that_cannot_be_read_is_one_line(run_here, tmp_path, pictures, place):
    (tmp_path / "broken.saccade").write_bytes(b"PK\x03\x04 not a bundle")
    done = run_here("predict", tmp_path / place, pictures / "dark")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert place in done.stderr


def test_folder_without_pictures_is_one_line(run_here, trained, tmp_path):
    done = run_here("predict", trained["model"], tmp_path)
    assert done.returncode == 2
    assert "no picture" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_output_is_whole_or_absent(run_here, trained, tmp_path):
    output = tmp_path / "answers.json"
    done = run_here("predict", trained["model"], tmp_path, "--format", "json", "--output", output)
    assert done.returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_unknown_picture_is_marked(capsys):
    import sys

    from saccade.cli import predictions
    from saccade.predict import Prediction

    shares = {"cat": 0.1, "car": 0.9}
    given = Prediction(
        path="a.jpg",
        label="car",
        probability=0.9,
        unusualness=1.0,
        unknown=True,
        probabilities=shares,
    )
    predictions.write(sys.stdout, [given], "table", ("cat", "car"))
    assert capsys.readouterr().out == "a.jpg   90.0 %  car  unknown\n"
    broken = Prediction(path="b.jpg", probabilities={}, error="no picture")
    predictions.write(sys.stdout, [given, broken], "csv", ("cat", "car"))
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert (rows[0]["unknown"], rows[0]["unusualness"], rows[0]["car"]) == (
        "true",
        "1.000000",
        "0.900000",
    )
    assert (rows[1]["error"], rows[1]["unknown"], rows[1]["car"]) == ("no picture", "", "")
