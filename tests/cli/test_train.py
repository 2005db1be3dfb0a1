from __future__ import annotations

import json
from pathlib import Path

import pytest


def test_json_is_one_document_on_standard_output(trained, pictures):
    assert trained["version"] == 1
    for figure in ("accuracy", "macro_f1", "log_loss"):
        assert trained["test"][figure]["low"] <= trained["test"][figure]["value"]
    assert trained["images"]["left_out"] == 1
    assert trained["images"]["used"] == 24
    for name in ("run", "model", "report"):
        assert Path(trained[name]).exists()
    assert trained["classes"] == ["dark", "light"]


def test_answer_in_words_tells_figures_paths_and_what_to_do_next(run_here, tmp_path):
    done = run_here("train", "digits", "--model", "t3", "--epochs", 1, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "95 % interval" in done.stdout
    assert "always" in done.stdout
    assert "saccade predict" in done.stdout
    assert "scan: 1,797 of 1,797" in done.stderr
    assert "plan: " in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent"], "there is no 'absent'; the named sets are"),
        (["digits", "--model", "absent"], "no model is called 'absent'"),
        (["digits", "--model", "absent.keras"], "absent.keras"),
        (["digits", "--budget", "x"], "a budget is a time such as 90s, 5m or 1h30m, got 'x'"),
        (["digits", "--budget", "1m", "--epochs", "2"], "not both"),
        (["digits", "--augment", "rotat=40"], "no change is called 'rotat'; choose from rotate"),
        (["digits", "--augment", "shift=20"], "shift is 0 to 0.5 of the side, both ways, got 20"),
        (["digits", "--weights", "absent.h5"], "no weights file absent.h5"),
        (["digits", "--model", "t5", "--fine-tune"], "--fine-tune goes with a network of keras"),
        (["digits", "--name", "a/b"], "a run's name is one short folder's name"),
        (["digits", "--balance", "yes"], "balance is auto, on or off, got 'yes'"),
        (["digits", "--operating-point", "recall:1=2"], "share is above 0 and below 1"),
        ([], "give the pictures to train on"),
        (["--resume", "absent"], "absent is not a run's folder"),
    ],
)
def test_users_mistake_is_one_line_and_exit_code_2(run_here, tmp_path, arguments, message):
    done = run_here("train", *arguments, "--out", tmp_path / "runs")
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("saccade: ")
    assert message in lines[0]
    assert not (tmp_path / "runs").exists()


def test_operating_point_that_the_data_has_not_is_one_line(run_here, tmp_path):
    options = ("--operating-point", "recall:1=0.9", "--out", tmp_path / "runs")
    done = run_here("train", "digits", *options)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "is for two classes, and the data has 10" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "runs").exists()


def test_empty_folder_and_one_class_are_one_line(run_saccade, tmp_path):
    (tmp_path / "empty").mkdir()
    done = run_saccade("train", tmp_path / "empty", "--out", tmp_path / "runs")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert not (tmp_path / "runs").exists()


def test_place_that_cannot_be_written_is_one_line(run_here, pictures, tmp_path):
    (tmp_path / "file").write_text("")
    done = run_here(
        "train", pictures, "--model", "t3", "--epochs", 1, "--out", tmp_path / "file" / "runs"
    )
    assert done.returncode == 2
    assert "cannot write" in done.stderr.splitlines()[-1]


def test_runs_lists_what_was_trained(run_here, trained):
    out = Path(trained["run"]).parent
    line = run_here("runs", "--out", out).stdout
    assert "mine" in line
    assert "95 % interval" in line
    document = json.loads(run_here("runs", "--out", out, "--json").stdout)
    assert document["runs"][0]["accuracy"] == trained["test"]["accuracy"]
    assert document["runs"][0]["finished"] is True


def test_report_is_written_again(run_here, trained):
    Path(trained["report"]).unlink()
    done = run_here("report", trained["run"])
    assert done.stdout.strip() == trained["report"]
    assert Path(trained["report"]).stat().st_size > 10_000
    assert run_here("report", "absent").returncode == 2
