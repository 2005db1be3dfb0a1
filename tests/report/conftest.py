"""Contents of reports: a real one over digits, and a large synthetic one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from saccade.evaluation.evaluation import ClassFigures, Evaluation, Sureness
from saccade.report.content import Changes, LayerRow, Picture, ReliabilityBin, ReportContent
from saccade.types import Interval


def wilson(successes: int, total: int) -> Interval:
    """Wilson's 95 % interval, enough to draw."""
    z = 1.96
    share, spread = successes / total, z * z / total
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * np.sqrt(share * (1 - share) / total + spread / (4 * total))
    low, high = float(max(middle - half, 0)), float(min(middle + half, 1))
    return Interval(value=share, low=min(low, share), high=max(high, share))


def interval(value: float, half: float) -> Interval:
    return Interval(value=value, low=max(value - half, 0.0), high=value + half)


def class_figures(name: str, matrix: npt.NDArray[np.int64], row: int) -> ClassFigures:
    true, said, right = (
        int(matrix[row].sum()),
        int(matrix[:, row].sum()),
        int(matrix[row, row]),
    )
    return ClassFigures(
        name=name,
        num_images=true,
        num_predicted=said,
        precision=wilson(right, said) if said else None,
        recall=wilson(right, true) if true else None,
        f1=wilson(2 * right, true + said) if true + said else None,
    )


def evaluation_of(classes: Sequence[str], matrix: npt.NDArray[np.int64]) -> Evaluation:
    total, right = int(matrix.sum()), int(np.trace(matrix))
    per_class = tuple(class_figures(name, matrix, row) for row, name in enumerate(classes))
    most = int(matrix.sum(axis=1).argmax())
    answered = wilson(round(0.93 * total), total)
    recalls = {one.name: one.recall for one in per_class if one.recall}
    worst = min(recalls, key=lambda name: recalls[name].value)
    return Evaluation(
        classes=tuple(classes),
        num_images=total,
        accuracy=wilson(right, total),
        balanced_accuracy=interval(float(np.mean([r.value for r in recalls.values()])), 0.015),
        worst_recall=recalls[worst],
        worst_class=worst,
        macro_f1=interval(float(np.mean([c.f1.value if c.f1 else 0 for c in per_class])), 0.015),
        log_loss=interval(0.1342, 0.031),
        brier=interval(0.0581, 0.012),
        calibration_error=interval(0.0182, 0.008),
        baseline_accuracy=wilson(int(matrix[most].sum()), total),
        baseline_class=classes[most],
        per_class=per_class,
        confusion=tuple(tuple(row) for row in matrix.tolist()),
        sureness=Sureness(
            threshold=0.62,
            target_error_rate=0.01,
            answered=answered,
            error_rate=wilson(max(round(0.008 * total), 1), round(0.93 * total)),
        ),
    )


def reliability_bins(
    probability: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]
) -> tuple[ReliabilityBin, ...]:
    bins = []
    for low in np.linspace(0, 0.9, 10):
        inside = (probability > low) & (probability <= low + 0.1)
        if inside.any():
            number = int(inside.sum())
            bins.append(
                ReliabilityBin(
                    confidence=float(probability[inside].mean()),
                    accuracy=wilson(int(right[inside].sum()), number),
                    num_images=number,
                )
            )
    return tuple(bins)


LAYERS = (
    LayerRow(name="rescaling", kind="Rescaling", output_shape="8 × 8 × 1", num_parameters=0),
    LayerRow(name="conv_1", kind="Conv2D", output_shape="8 × 8 × 32", num_parameters=320),
    LayerRow(
        name="norm_1", kind="BatchNormalization", output_shape="8 × 8 × 32", num_parameters=128
    ),
    LayerRow(name="pool_1", kind="MaxPooling2D", output_shape="4 × 4 × 32", num_parameters=0),
    LayerRow(name="conv_2", kind="Conv2D", output_shape="4 × 4 × 64", num_parameters=18_496),
    LayerRow(name="average", kind="GlobalAveragePooling2D", output_shape="64", num_parameters=0),
    LayerRow(name="logits", kind="Dense", output_shape="10", num_parameters=650),
)
MADE = {
    "data": "digits (1,797 pictures), digest 3f9a1c0be2d4",
    "settings": "budget 5m, seed 0, validation 16 %, test 20 %",
    "plan": "compact network, 8 × 8 × 1, batch 128, 24 epochs, peak rate 0.004",
    "engine": "Keras 3.15.0 on PyTorch 2.13.0, compiled",
    "precision": "float32",
    "machine": "Intel Xeon, 2 cores, 8 GB, Linux 6.8",
    "versions": "saccade 0.1.0, Python 3.11.9, NumPy 2.3.1, ONNX Runtime 1.22.0",
}
SECONDS = {"scan": 0.2, "cache": 0.4, "compile": 6.1, "train": 14.8, "evaluate": 0.3, "bundle": 1.1}


def history(epochs: int) -> dict[str, tuple[float, ...]]:
    steps = np.arange(1, epochs + 1)
    noise = np.random.default_rng(0).normal(size=(4, epochs))
    loss = 2.1 * np.exp(-steps / 5) + 0.06 + 0.008 * noise[0]
    val_loss = (
        2.0 * np.exp(-steps / 5) + 0.11 + 0.004 * np.maximum(steps - 16, 0) + 0.015 * noise[1]
    )
    return {
        "loss": tuple(loss),
        "accuracy": tuple(1 - 0.85 * np.exp(-steps / 4) - 0.004 * abs(noise[2])),
        "val_loss": tuple(val_loss),
        "val_accuracy": tuple(0.975 - 0.8 * np.exp(-steps / 4) - 0.006 * abs(noise[3])),
    }


@lru_cache(maxsize=1)
def digits_report() -> ReportContent:
    """A real classifier of the real digits, with its real mistakes."""
    from sklearn.datasets import load_digits
    from sklearn.naive_bayes import GaussianNB

    digits = load_digits()
    pixels = np.round(digits.images / 16 * 255).astype(np.uint8)
    rows = np.random.default_rng(7).permutation(len(pixels))
    train, test = rows[360:], rows[:360]
    model = GaussianNB(var_smoothing=0.05).fit(digits.data[train], digits.target[train])
    probabilities = model.predict_proba(digits.data[test])
    said, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    true = digits.target[test]
    matrix = np.zeros((10, 10), np.int64)
    np.add.at(matrix, (true, said), 1)

    def picture(row: int) -> Picture:
        return Picture(
            pixels=pixels[test[row]],
            path=f"digits/{true[row]}/{test[row]:04d}.png",
            label=str(true[row]),
            predicted=str(said[row]),
            probability=float(sure[row]),
            unsure=bool(sure[row] < 0.62),
        )

    wrong = np.flatnonzero(said != true)
    return ReportContent(
        name="digits",
        evaluation=evaluation_of([str(digit) for digit in range(10)], matrix),
        model_path="runs/digits/model.saccade",
        created="21 November 2026, 03:10 UTC",
        history=history(24),
        best_epoch=17,
        changes=Changes(
            phrases=(
                "rotated by up to 20° either way",
                "filled beyond the border with its nearest pixel",
            ),
            examples=np.stack([pixels[train[row : row + 6]] for row in range(4)])[..., None],
        ),
        images={"train": 1149, "validation": 288, "test": 360, "left out": 7},
        reliability=reliability_bins(sure, said == true),
        grid=tuple(picture(row) for row in range(25)),
        mistakes=tuple(picture(row) for row in wrong[np.argsort(-sure[wrong])][:12]),
        least_sure=tuple(picture(row) for row in np.argsort(sure)[:12]),
        left_out=[("digits/3/0815.png", "truncated: 112 bytes of 901")]
        + [(f"digits/7/{row}.png", "copy of test picture digits/7/0002.png") for row in range(6)],
        data_notes=("2 pairs of equal pictures were kept on one side of the split.",),
        layers=LAYERS,
        notes=("Training stopped after epoch 24: nothing had improved for 7 epochs.",),
        made=MADE,
        seconds=SECONDS,
    )


def noise_picture(seed: int, classes: Sequence[str], side: int) -> Picture:
    generator = np.random.default_rng(seed)
    small = generator.integers(40, 230, (6, 6, 3), dtype=np.uint8)
    pixels = np.repeat(np.repeat(small, side // 6, axis=0), side // 6, axis=1)
    true, said = generator.choice(len(classes), 2)
    return Picture(
        pixels=pixels,
        path=f"photos/{classes[true]}/IMG_{seed:05d}.jpg",
        label=classes[true],
        predicted=classes[true] if seed % 3 else classes[said],
        probability=float(generator.uniform(0.2, 1)),
        unsure=seed % 5 == 0,
    )


def large_report(num_classes: int, *, num_each: int = 50, num_left_out: int = 0) -> ReportContent:
    """Synthetic figures of a photo set with any number of classes, and test pictures of each."""
    generator = np.random.default_rng(num_classes)
    kinds = ("finch", "warbler", "sparrow", "gull", "tern", "woodpecker", "flycatcher")
    classes = [f"{row:04d} {kinds[row % 7]} of the north" for row in range(num_classes)]
    matrix = np.zeros((num_classes, num_classes), np.int64)
    true = np.repeat(np.arange(num_classes), num_each)
    near = (true + 7 * generator.integers(-2, 3, true.size)) % num_classes
    said = np.where(generator.random(true.size) < 0.74, true, near)
    np.add.at(matrix, (true, said), 1)
    sure = np.where(said == true, generator.beta(6, 1.5, true.size), generator.random(true.size))
    pictures = tuple(noise_picture(seed, classes, 192) for seed in range(25))
    return ReportContent(
        name=f"birds of {num_classes} kinds",
        evaluation=evaluation_of(classes, matrix),
        model_path="runs/birds/model.saccade",
        history=history(60),
        best_epoch=52,
        images={"train": 900_000, "validation": 50_000, "test": int(matrix.sum())},
        reliability=reliability_bins(sure, said == true),
        grid=pictures,
        mistakes=pictures[:9:3],
        left_out=[(f"photos/{row}.jpg", f"reason {row % 90}") for row in range(num_left_out)],
        layers=LAYERS * 60,
        made=MADE,
    )


@pytest.fixture
def digits() -> ReportContent:
    return digits_report()


@pytest.fixture
def large() -> Callable[..., ReportContent]:
    return large_report


@pytest.fixture
def evaluate() -> Callable[[Sequence[str], Any], Evaluation]:
    return evaluation_of
