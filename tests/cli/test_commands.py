from __future__ import annotations

import json
import subprocess
import sys

import pytest

import saccade
from saccade.data import Preprocessing, build_cache, build_index, open_source
from saccade.progress import Silence

COMMANDS = [
    [],
    ["train"],
    ["evaluate"],
    ["predict"],
    ["report"],
    ["runs"],
    ["check"],
    ["info"],
    ["cache"],
    ["cache", "list"],
    ["cache", "clear"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(run_here, command):
    done = run_here(*command, "--help")
    assert done.returncode == 0
    assert "Usage:" in done.stdout
    assert len(done.stdout.splitlines()) > 5


def test_version_is_the_packages(run_saccade):
    assert run_saccade("--version").stdout.strip() == saccade.__version__


def test_interpreter_runs_it_too():
    done = subprocess.run(
        [sys.executable, "-m", "saccade", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == saccade.__version__


def test_unknown_option_is_refused(run_saccade):
    done = run_saccade("train", "digits", "--learning-rate", "1")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_info_names_engine_and_precision(run_here):
    facts = json.loads(run_here("info", "--json").stdout)
    assert facts["engine"] == "torch"
    assert "cores" in facts["machine"]
    assert facts["precision"].split()[0] in ("float32", "bf16")


def test_evaluate_scores_only_what_was_not_trained_on(run_saccade, run_here, trained, pictures):
    done = run_saccade("evaluate", trained["model"], pictures, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["test"] == trained["test"]
    assert document["images"]["seen"] + document["images"]["used"] == 24
    assert document["unknown"] == trained["unknown"]
    words = run_here("evaluate", trained["run"], pictures).stdout
    assert "95 % interval" in words
    assert "trained on" in words


def test_clear_deletes_what_can_be_made_again_and_keeps_data_sets(
    run_here, pictures, tmp_path, monkeypatch
):
    monkeypatch.setenv("SACCADE_CACHE", str(tmp_path / "cache"))
    kept = tmp_path / "cache" / "datasets" / "mnist" / "train.gz"
    compiled = tmp_path / "cache" / "compiled" / "a" / "step.so"
    for file in (kept, compiled):
        file.parent.mkdir(parents=True)
        file.write_bytes(bytes(3_000_000))
    source = open_source(pictures, progress=Silence())
    wanted = Preprocessing(height_px=16, width_px=16, channels=3)
    build_cache(source, build_index(source, progress=Silence()), wanted, progress=Silence())
    listed = run_here("cache", "list").stdout
    assert " pictures  " in listed
    assert "1 kept, 0.0 MB; compiled steps, 3.0 MB" in listed
    assert run_here("cache", "clear").stdout == "freed 3.0 MB\n"
    assert "0 kept, 0.0 MB; compiled steps, 0.0 MB" in run_here("cache", "list").stdout
    assert not compiled.parent.parent.exists()
    assert kept.stat().st_size == 3_000_000
    explained = " ".join(run_here("cache", "clear", "--help").stdout.split())
    assert "Downloaded data sets stay" in explained
