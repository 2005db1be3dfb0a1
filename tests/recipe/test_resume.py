from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import saccade
from saccade.errors import DataError, SettingsError
from saccade.progress import Silence
from saccade.run import open_run

ROOT = Path(__file__).parent.parent.parent
TRAIN = """
import sys, saccade
from saccade.progress import Silence
saccade.train(
    "digits", model="t5", epochs=12, seed=3, name="stopped", out=sys.argv[1], progress=Silence()
)
"""


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run in a process of its own, interrupted once it had a checkpoint."""
    out = tmp_path_factory.mktemp("runs")
    child = subprocess.Popen([sys.executable, "-c", TRAIN, out], stderr=subprocess.DEVNULL)
    run = out / "stopped"
    deadline = time.monotonic() + 120
    while not (run / "checkpoint" / "state.json").exists():
        assert time.monotonic() < deadline
        assert child.poll() is None
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGINT)
    child.wait(timeout=60)
    return run


def test_killed_runs_end_as_if_never_stopped_bit_for_bit():
    """Three kills at random moments; `python -m benchmarks resume` makes twenty a network."""
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.resume", "--quick", "--kills", "3"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("killed after ") == 3
    (target,) = json.loads(result.stdout.splitlines()[-1])["targets"]
    assert target["reached"], result.stdout


def test_interrupted_run_goes_on_and_ends_as_if_never_stopped(stopped, tmp_path):
    run = shutil.copytree(stopped, tmp_path / "stopped")
    assert not (run / "run.json").exists()
    assert not (run / "model.saccade").exists()
    with pytest.raises(SettingsError, match="not finished; go on with .*--resume"):
        open_run(run)
    (run / "checkpoint" / ".tmp-half.npz").write_bytes(b"PK")  # as a kill may leave it
    resumed = saccade.train(resume=run, progress=Silence())
    assert not list(run.rglob(".tmp-*"))
    whole = saccade.train(
        "digits", model="t5", epochs=12, seed=3, name="whole", out=tmp_path, progress=Silence()
    )
    assert resumed.fit["history"] == whole.fit["history"]
    assert resumed.test == whole.test


def test_finished_run_does_not_resume(digits_run):
    with pytest.raises(SettingsError, match="is finished"):
        saccade.train(resume=digits_run.folder, progress=Silence())


def test_folder_that_is_no_run_does_not_resume(tmp_path):
    with pytest.raises(SettingsError, match="not a run's folder"):
        saccade.train(resume=tmp_path, progress=Silence())


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"budget": "1m"}, "--budget"),
        ({"epochs": 1, "model": "t3"}, "--epochs, --model"),
        ({"name": "other", "seed": 9}, "--name, --seed"),
        ({"augment": {"flip": True}}, "--augment"),
        ({"operating_point": "recall:1=0.9", "balance": "on"}, "--operating-point, --balance"),
    ],
)
def test_settled_options_are_refused(tmp_path, options, named):
    with pytest.raises(SettingsError, match=f"own settings; leave out {named}$"):
        saccade.train(resume=tmp_path, progress=Silence(), **options)


def test_defaults_are_as_good_as_nothing(tmp_path):
    with pytest.raises(SettingsError, match="not a run's folder"):
        saccade.train(resume=tmp_path, model="auto", seed=0, progress=Silence())


def test_changed_data_does_not_resume(stopped, tmp_path):
    run = shutil.copytree(stopped, tmp_path / "stopped")
    started = run / "started.json"
    text = started.read_text()
    started.write_text(text.replace('"data_digest": "', '"data_digest": "0'))
    with pytest.raises(DataError, match="has changed since"):
        saccade.train(resume=run, progress=Silence())
