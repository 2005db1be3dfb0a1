"""The benchmarks' arithmetic, and one program of theirs at a size that takes seconds."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saccade.training import session
from saccade.training.kernels.library import find_kernels

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # as `python -m benchmarks` sees them

from benchmarks import (  # noqa: E402
    compiling,
    demo,
    fine_tuning,
    from_weights,
    gpu,
    growth,
    growth_pictures,
    growth_plot,
    peers,
    planted,
    predict,
    sameness,
    throughput,
    timing,
    transfer,
)

COUNTS_UP = """
import sys
number = 0
for line in sys.stdin:
    number += 1
    print("what a library says")
    print(f"ANSWER {number}", flush=True)
    if number == 2:
        sys.exit("out of numbers")
"""


def test_spread_of_known_numbers() -> None:
    found = timing.spread([3.0, 1.0, 10.0], "s")
    assert (found.median, found.low, found.high) == (3.0, 1.0, 10.0)
    assert found.samples == (3.0, 1.0, 10.0)
    assert str(found) == "3 s (1 to 10, 3 rounds)"


def test_spread_of_nothing() -> None:
    with pytest.raises(ValueError, match="at least one"):
        timing.spread([], "s")


def test_ratio_is_taken_round_by_round() -> None:
    # A machine that turns three times slower in round two slows both, and the ratio stays.
    assert timing.ratio([8.0, 24.0], [4.0, 12.0]).samples == (2.0, 2.0)
    with pytest.raises(ValueError, match="zip"):
        timing.ratio([1.0], [1.0, 2.0])


def test_turns_alternate_after_warm_up() -> None:
    calls = []

    def measure(name: str) -> float:
        calls.append(name)
        return float(len(calls))

    measures = {"a": lambda: measure("a"), "b": lambda: measure("b")}
    taken = timing.in_turn(measures, rounds=3, warm_up=1)
    assert "".join(calls) == "ab" + "ba" + "ab" + "ba"
    assert taken == {"a": [4.0, 5.0, 8.0], "b": [3.0, 6.0, 7.0]}


@pytest.mark.parametrize(
    ("target", "reached"),
    [
        (timing.at_least("speed", 2.0, 2.0), True),
        (timing.at_least("speed", 2.0, 1.9), False),
        (timing.at_most("time", 0.3, 0.3), True),
        (timing.at_most("time", 0.3, 0.31), False),
        (timing.at_most("time", 0.3, None), None),
    ],
)
def test_target_says_whether_it_is_reached(target: timing.Target, reached: bool | None) -> None:
    assert target.reached is reached
    words = {True: "reached", False: "NOT REACHED", None: "not measured"}
    assert str(target).startswith(words[reached])


def test_result_ends_in_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    timing.publish(
        timing.Result(
            benchmark="b",
            settings={"rounds": 1},
            figures={"f": timing.spread([1.0], "s")},
            targets=[timing.at_most("t", 1.0, 2.0)],
            peers={"tensorflow": "2.21.0"},
        )
    )
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert document["figures"]["f"]["samples"] == [1.0]
    assert document["targets"][0]["reached"] is False
    assert document["peers"] == {"tensorflow": "2.21.0"}
    assert {"machine", "versions", "time", "load_average"} <= set(document)
    assert document["versions"]["numpy"] == np.__version__


def test_saccade_is_held_against_the_faster_peer() -> None:
    slow, fast = throughput.PEERS
    rates = {"saccade": [60.0, 90.0], slow: [10.0, 10.0], fast: [20.0, 30.0]}
    assert throughput.against_best(rates).samples == (3.0, 3.0)


def test_features_are_held_against_the_fastest_peer() -> None:
    rates = {
        "saccade": [60.0, 90.0],
        "saccade, ONNX Runtime": [50.0, 50.0],
        "tensorflow float32, batch 32": [10.0, 10.0],
        "tensorflow bfloat16, batch 128": [20.0, 30.0],
    }
    assert transfer.against_best(rates).samples == (3.0, 3.0)
    started = transfer.commands(Path("peer"), 64)
    assert {command[0] for name, command in started.items() if not transfer.is_ours(name)} == {
        "peer"
    }


def test_peer_runs_in_bfloat16_only_where_the_processor_does() -> None:
    assert list(throughput.useful_peers({"avx2", "amx_bf16"})) == list(throughput.PEERS)
    assert list(throughput.useful_peers({"avx2"})) == ["tensorflow float32"]


def test_worker_measures_when_asked_and_tells_how_it_ended() -> None:
    with peers.Worker([sys.executable, "-c", COUNTS_UP], {}) as worker:
        assert [worker.ask(), worker.ask()] == [1.0, 2.0]
        with pytest.raises(peers.WorkerError, match="out of numbers"):
            worker.ask()


def test_demo_measures_the_command_of_the_makefile() -> None:
    words = demo.demo_words(demo.makefile())
    assert words[:2] == ["train", "digits"]
    assert "--out" not in words
    with pytest.raises(ValueError, match="no saccade"):
        demo.demo_words("demo:\n\techo\n")


def write_archive(path: Path, *, side: int = 32) -> None:
    """Write 24 JPEG files in two class folders."""
    random = np.random.default_rng(0)
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for number in range(24):
            content = io.BytesIO()
            pixels = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(content, "JPEG")
            member = tarfile.TarInfo(f"set/{'ab'[number % 2]}/{number}.jpg")
            member.size = content.tell()
            content.seek(0)
            tar.addfile(member, content)


def run_quick(*words: str, **variables: str) -> list[str]:
    """Return what a benchmark prints at its small size, by line."""
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks", words[0], "--quick", *words[1:]],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")} | variables,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_loading_runs_at_a_small_size(tmp_path: Path) -> None:
    archive = tmp_path / "pictures.tar.gz"
    write_archive(archive)
    *_, program, summary = run_quick("loading", "--archive", str(archive))
    document = json.loads(program)
    rates = {name: figure["median"] for name, figure in document["figures"].items()}
    assert all(rate > 0 for rate in rates.values())
    ours, loop = rates["saccade, files a second"], rates["tarfile and Pillow, files a second"]
    assert rates["saccade to the plain loop"] == pytest.approx(ours / loop)
    assert json.loads(summary)["targets"] == [{"benchmark": "loading"} | document["targets"][0]]


def test_predict_runs_at_a_small_size(tmp_path: Path) -> None:
    write_archive(tmp_path / "cifar10-jpeg.tar.gz")
    write_archive(tmp_path / "cats-vs-dogs-192px.tar", side=192)
    *_, program, _ = run_quick("predict", SACCADE_DATASETS=str(tmp_path))
    document = json.loads(program)
    for case in ("small files", "photographs"):
        figures = {n: f["median"] for n, f in document["figures"].items() if n.startswith(case)}
        assert len(figures) == 4
        assert all(figure > 0 for figure in figures.values())
        assert figures[f"{case}, saccade, warm"] < figures[f"{case}, saccade, command"]
    assert [target["reached"] for target in document["targets"]] == [None] * 8  # without a peer


def test_scratch_runs_at_a_small_size(tmp_path: Path) -> None:
    write_archive(tmp_path / "rock-paper-scissors-28px.tar")
    *_, program, _ = run_quick("scratch", SACCADE_DATASETS=str(tmp_path))
    document = json.loads(program)
    accuracy = document["figures"]["rock-paper-scissors, test accuracy"]
    assert 0 <= accuracy["median"] <= 1
    assert document["targets"][0]["got"] == accuracy["median"]


def test_making_a_step_ready_is_held_against_the_least_of_the_rounds(monkeypatch) -> None:
    monkeypatch.setenv("SACCADE_KERNELS", "off")  # which take a while to compile
    find_kernels.cache_clear()
    found = compiling.measure_here()
    find_kernels.cache_clear()
    assert not found["compiled"]
    assert found["later_s"] > 0
    figures = {"our kernels, warm": timing.spread([4.0, 2.5], "s")}
    ours, both = (compiling.target(way, figures) for way in (compiling.OURS, compiling.BOTH))
    assert (ours.got, ours.reached, both.reached) == (2.5, True, None)


def test_check_runs_at_a_small_size(tmp_path: Path) -> None:
    write_archive(tmp_path / "cifar10-jpeg.tar.gz")
    for name in ("cats-vs-dogs-192px.tar", "flowers-originals.tar"):
        write_archive(tmp_path / name, side=64)
    *_, program, _ = run_quick("check", SACCADE_DATASETS=str(tmp_path))
    document = json.loads(program)
    found = {n: f["median"] for n, f in document["figures"].items() if n.endswith("found")}
    assert len(found) == 3 * 7  # sets, and kinds of copies with all together
    assert all(0 <= share <= 100 for share in found.values())
    assert found["flowers-originals, mirrored, found"] == 100
    wanted = {target["what"]: target["reached"] for target in document["targets"]}
    assert [said for what, said in wanted.items() if "flipped" in what] == [None, None]


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from Linux's /proc")
def test_memory_runs_at_a_small_size(tmp_path: Path) -> None:
    write_archive(tmp_path / "cats-vs-dogs-192px.tar", side=192)
    words = ("memory", "--place", str(tmp_path))
    compiling = {"SACCADE_KERNELS": "off", "SACCADE_COMPILE": "off"}  # takes longer than the rest
    *_, program, _ = run_quick(*words, SACCADE_DATASETS=str(tmp_path), **compiling)
    document = json.loads(program)
    figures = {name: figure["median"] for name, figure in document["figures"].items()}
    fits, large = figures["fits, training"], figures["four times the limit, training"]
    assert figures["speed, four times the limit to one that fits"] == pytest.approx(large / fits)
    for name in ("fits", "four times the limit"):
        own, resident = figures[f"{name}, without mapped files"], figures[f"{name}, resident"]
        assert 0.1 < own < resident < 2
    assert [target["reached"] for target in document["targets"]] == [None, None]
    assert [path.name for path in tmp_path.iterdir()] == ["cats-vs-dogs-192px.tar"]


def test_another_way_of_looking_tells_copies_from_others() -> None:
    random = np.random.default_rng(0)
    blobs = planted.blobs(2)
    one, other = (planted.as_jpeg(blob, "") for blob in blobs)
    for kind in planted.KINDS:
        copy = planted.as_jpeg(planted.changed(blobs[0], kind, random), kind)
        assert sameness.difference(one, copy) < 0.25, kind
    assert sameness.difference(one, other) > 0.5


def test_growth_runs_at_a_small_size(tmp_path: Path) -> None:
    kept, drawn = tmp_path / "rows.json", tmp_path / "growth.svg"
    *_, program, _ = run_quick("growth", "--rows", str(kept), "--plot", str(drawn))
    stages = json.loads(kept.read_text())["pictures 200"]["stages"]
    assert tuple(stages) == growth.STAGES
    assert all(stage["cpu_seconds"] > 0 for stage in stages.values())
    assert 50 < stages["scan"]["peak_own_mib"] < stages["scan"]["peak_mib"] < 4_000
    assert [row["bytes"]["report.html"] > 0 for row in json.loads(kept.read_text()).values()]
    figures = json.loads(program)["figures"]
    samples = figures["scan by pictures, processor time"]["samples"]
    assert samples == [stages["scan"]["cpu_seconds"]]
    assert drawn.read_text().startswith("<svg")


@pytest.mark.parametrize(("axis", "power"), [("pictures", 1), ("side", 2)])
def test_growth_is_against_the_input(axis: str, power: int) -> None:
    """Twice the side is four times the pixels."""
    cases = [
        growth.Case(axis=axis, pictures=size, classes=10, side_px=size) for size in (10, 20, 80)
    ]
    costs = [3.0 * case.size ** (1.5 * power) for case in cases]
    assert growth.slopes(cases, costs) == pytest.approx([1.5, 1.5])


def test_growth_is_drawn_to_scale() -> None:
    cost = dict.fromkeys(growth.STAGES, {"cpu_seconds": 1.0})
    rows = {f"pictures {size}": {"stages": cost} for size in (100, 1_000, 10_000)}
    document = growth_plot.draw(rows)
    places = [float(x) for x in re.findall(r'<circle cx="([0-9.]+)"', document)][:3]
    assert places[1] - places[0] == pytest.approx(places[2] - places[1])


def test_pictures_made_of_a_few_are_all_different(tmp_path: Path) -> None:
    archive = tmp_path / "set.tar"
    growth_pictures.write_small(archive, name="digits", side_px=28, count=3_000, num_classes=3)
    with tarfile.open(archive) as tar:
        contents = {tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
        folders = {member.name.split("/")[1] for member in tar}
    assert len(contents) == 3_000  # of 1,797
    assert folders == {"0000", "0001", "0002"}


def test_folders_are_held_against_the_better_batch() -> None:
    taken = {"saccade, warm": [1.0, 2.0], "saccade, command": [1.0, 1.0]}
    taken |= {"Keras, batch 32, warm": [5.0, 9.0], "Keras, batch 256, warm": [3.0, 8.0]}
    taken |= {"Keras, batch 32, command": [7.0, 7.0], "Keras, batch 256, command": [8.0, 8.0]}
    assert predict.against_best(taken, "warm").samples == (3.0, 4.0)
    assert predict.against_best(taken, "command").samples == (7.0, 7.0)


def test_fine_tuning_is_judged_by_training_pictures_alone(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        for part, count in (("train", 20), ("test", 30)):
            for number in range(count):
                member = tarfile.TarInfo(f"set/{part}/{'ab'[number % 2]}/{number}.jpg")
                member.size = 6
                tar.addfile(member, io.BytesIO(f"{part:6}".encode()))
    dealt = []
    for seed in range(2):
        to = tmp_path / str(seed)
        fine_tuning.deal(tmp_path / "set.tar", to, num_train=15, seed=seed, share=1.0)
        found = {path.relative_to(to): path.read_bytes() for path in to.rglob("*.jpg")}
        assert set(found.values()) == {b"train "}
        assert sum(path.parts[0] == "train" for path in found) == 15
        assert len({path.name for path in found}) == len(found) == 20
        dealt.append(set(found))
    assert dealt[0] != dealt[1]


def test_weights_are_compared_on_training_pictures_of_each_kind(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        for part, label, number in itertools.product(("train", "test"), "ab", range(3)):
            stream = io.BytesIO()
            colour = (40 * number, 200, 0) if part == "train" else (0, 0, 255)
            Image.new("RGB", (300, 150), colour).save(stream, "JPEG")
            member = tarfile.TarInfo(f"set/{part}/{label}/{number}.jpg")
            member.size = len(stream.getvalue())
            tar.addfile(member, io.BytesIO(stream.getvalue()))
    kind = from_weights.Kind(name="some", archive="set.tar", budget="5m", in_grey=True, each=2)
    found = from_weights.unpack(kind, tmp_path, tmp_path / "to")
    assert found == tmp_path / "to" / "set" / "train"
    assert sorted(str(path.relative_to(found)) for path in found.rglob("*.*")) == [
        "a/0.png",
        "a/1.png",
        "b/0.png",
        "b/1.png",
    ]
    with Image.open(found / "b" / "1.png") as picture:
        assert (picture.mode, picture.size) == ("L", (256, 128))
        luma = (299 * 40 + 587 * 200) / 1000  # ITU-R BT.601
        assert picture.getpixel((128, 64)) == pytest.approx(luma, abs=3)


def test_without_a_graphics_card_one_line_says_so() -> None:
    if gpu.card():
        pytest.skip("there is a graphics card here")
    command = [sys.executable, "-m", "benchmarks.gpu"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert ran.returncode == 0
    assert ran.stdout.splitlines() == [
        "gpu: there is no graphics card here, so nothing was measured"
    ]


def test_quick_epoch_on_a_card_holds_compiling_and_recording() -> None:
    """Both belong to the warm-up, which is whole epochs."""
    assert gpu.QUICK_STEPS >= session._SETTLING_STEPS + session._TIMED_STEPS + 2


def test_unknown_benchmark_is_named() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks", "speed"], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 2
    assert "no benchmark is called speed" in result.stdout


@pytest.mark.parametrize("words", [[], ["loading"]])
def test_help_measures_nothing(words: list[str]) -> None:
    command = [sys.executable, "-m", "benchmarks", *words, "--help"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert ("usage: loading.py" if words else "The benchmarks are start, ") in result.stdout
    assert "targets" not in result.stdout.splitlines()[-1]
