import dataclasses
import json

import numpy as np
import pytest

from saccade.evaluation import Evaluation, evaluate


def figures_of(count, *, threshold=0.5):
    random = np.random.default_rng(0)
    return evaluate(
        random.dirichlet(np.ones(3), count),
        random.integers(2, size=count),
        classes=("a", "b", "c"),
        baseline_class="b",
        threshold=threshold,
        target_error_rate=0.05,
    )


@pytest.mark.parametrize("count", [1, 9, 100])
@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.1])
def test_json_round_trip_is_exact(count: int, threshold: float):
    figures = figures_of(count, threshold=threshold)
    text = json.dumps(figures.to_json(), allow_nan=False)
    assert Evaluation.from_json(json.loads(text)) == figures


def test_json_holds_every_field():
    document = figures_of(9).to_json()
    fields = [field.name for field in dataclasses.fields(Evaluation)]
    assert sorted(document) == sorted(["version", *fields])
    for name in ("accuracy", "macro_f1", "log_loss", "brier", "calibration_error"):
        assert sorted(document[name]) == ["high", "low", "value"]


def changed(path, value):
    document = figures_of(9).to_json()
    *parents, last = path
    place = document
    for parent in parents:
        place = place[parent]
    place[last] = value
    return document


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "not a document of figures"),
        ([], "not a document of figures"),
        (changed(["version"], 2), "figures of version 1, got 2"),
        (changed(["accuracy"], None), "not a document of figures"),
        (changed(["accuracy", "low"], 2.0), "an interval holds its value"),
        (changed(["accuracy", "value"], float("nan")), "an interval holds its value"),
        (changed(["accuracy", "value"], "much"), "could not convert"),
        (changed(["confusion"], [[1, 2], [3, 4]]), "each of 3 classes"),
        (changed(["per_class"], []), "each of 3 classes"),
        (changed(["sureness"], 3), "not a document of figures"),
    ],
)
def test_from_json_refuses(document, message: str):
    with pytest.raises(ValueError, match=message):
        Evaluation.from_json(document)
