from __future__ import annotations

import numpy as np
import pytest

import saccade
from saccade.errors import DataError
from saccade.progress import Silence
from saccade.types import TRAIN


def pixels_of_digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    return (digits.images * 255 / 16).round().astype(np.uint8), digits.target


def test_labels_bind_by_name_whatever_their_order(digits_run):
    x, y = pixels_of_digits()
    x = np.rot90(x, 2, axes=(1, 2)).copy()  # none of these was trained on
    names = np.array([str(digit) for digit in y])
    whole = saccade.evaluate(digits_run.model, (x, names), progress=Silence())
    some = np.isin(y, [9, 4, 0])
    part = saccade.evaluate(digits_run.model, (x[some], names[some]), progress=Silence())
    assert part.images_used == some.sum()
    for digit in (0, 4, 9):
        assert part.test.confusion[digit] == whole.test.confusion[digit]


def test_class_that_the_model_does_not_know_is_refused(digits_run):
    x, y = pixels_of_digits()
    names = np.where(y == 3, "three", y.astype(str))
    with pytest.raises(DataError, match="does not know the class 'three'"):
        saccade.evaluate(digits_run.model, (x, names), progress=Silence())


def test_nothing_but_training_pictures_is_no_score(digits_run):
    from saccade.data import read_index

    index = read_index(digits_run.folder / "index.parquet")
    x, y = pixels_of_digits()
    train = index.part == TRAIN
    with pytest.raises(DataError, match="trained on it"):
        saccade.evaluate(digits_run.model, (x[train], y[train].astype(str)), progress=Silence())


def test_document_names_the_run_only_where_the_model_lies_in_one(digits_run, tmp_path):
    import shutil

    inside = saccade.evaluate(digits_run.folder, "digits", progress=Silence()).to_json()
    assert inside["run"] == str(digits_run.folder)
    assert inside["report"] == str(digits_run.report)
    assert inside["seconds"]["train"] > 0
    alone = shutil.copy(digits_run.model, tmp_path / "model.saccade")
    outside = saccade.evaluate(alone, "digits", progress=Silence()).to_json()
    assert outside["run"] is outside["report"] is None
    assert outside["test"] == inside["test"]
