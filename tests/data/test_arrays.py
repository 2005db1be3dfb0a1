from __future__ import annotations

import numpy as np
import pytest

from saccade.data.arrays import as_labels, as_pixels, from_arrays, from_npz
from saccade.errors import DataError

PICTURES = np.arange(2 * 4 * 5, dtype=np.uint8).reshape(2, 4, 5)


def test_arrays_keep_their_pixels_and_rows():
    source = from_arrays(PICTURES, [3, 11])
    assert [(e.path, e.label, e.part) for e in source.entries] == [
        ("00000", "3", None),
        ("00001", "11", None),
    ]
    assert source.arrays.shape == (2, 4, 5, 1)
    assert source.arrays.dtype == np.uint8
    payloads = dict(source.payloads([1]))
    np.testing.assert_array_equal(payloads[1][:, :, 0], PICTURES[1])


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_come_last(channels):
    x = np.zeros((2, 4, 5, channels), np.uint8)
    assert as_pixels(x, name="x").shape == x.shape


def test_whole_numbers_and_floats_mean_the_same():
    wanted = PICTURES[..., np.newaxis]
    for same in (PICTURES.astype(np.int64), PICTURES.astype(np.float64), PICTURES / 255.0):
        np.testing.assert_array_equal(as_pixels(same * 1, name="x"), wanted)
    half = (PICTURES / 255).astype(np.float32)
    np.testing.assert_array_equal(as_pixels(half, name="x"), wanted)


def test_floats_are_rounded_in_chunks_of_any_remainder():
    x = np.random.default_rng(0).random((2500, 2, 2))
    found = as_pixels(x, name="x")[..., 0]
    np.testing.assert_array_equal(found, np.floor(x * 255 + 0.5).astype(np.uint8))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((4, 5)), r"x has shape \(4, 5\); wanted \(N, H, W\)"),
        (np.zeros((2, 3, 8, 8)), r"move the channels last: x.transpose\(0, 2, 3, 1\)"),
        (np.zeros((2, 8, 8, 2)), "wanted"),
        (np.zeros((0, 8, 8)), "it holds no pixels"),
        (np.full((1, 2, 2), np.nan), "from nan to nan"),
        (np.array([[[0.5, np.inf]]]), "from 0.5 to inf"),
        (np.array([[[-1.0, 1.0]]]), "from -1 to 1; wanted 0 to 255"),
        (np.array([[[0, 256]]]), "from 0 to 256"),
        (np.full((1, 2, 2), 1 / 255), "divided by 255 twice"),
        (np.array([[["a"]]]), "x holds <U1"),
        (np.zeros((1, 2, 2), complex), "x holds complex128"),
    ],
)
def test_pictures_that_are_refused(x, message):
    with pytest.raises(DataError, match=message):
        as_pixels(x, name="x")


def test_labels_of_every_kind():
    assert as_labels([[2], [10]], 2, name="y") == ["2", "10"]
    assert as_labels(np.array(["b", "é"]), 2, name="y") == ["b", "é"]
    assert as_labels(np.array(["b", 1], dtype=object), 2, name="y") == ["b", "1"]
    assert as_labels(np.array([True, False]), 2, name="y") == ["True", "False"]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1, 2, 3], "y has 3 labels for 2 pictures"),
        (np.eye(2), r"one-hot rows become labels by y.argmax\(axis=1\)"),
        ([0.5, 1.0], "y, row 0: 0.5 is no label"),
        (np.array(["a", None], dtype=object), "y, row 1: None is no label"),
        (["a", ""], "y, row 1: '' is no label"),
        (1, r"y has shape \(\); wanted \(2,\)"),
    ],
)
def test_labels_that_are_refused(y, message):
    with pytest.raises(DataError, match=message):
        as_labels(y, 2, name="y")


def test_npz_with_parts(tmp_path):
    path = tmp_path / "set.npz"
    np.savez_compressed(path, x_train=PICTURES, y_train=[0, 1], x_test=PICTURES[:1] + 1, y_test=[1])
    source = from_npz(path)
    assert [(e.path, e.label, e.part) for e in source.entries] == [
        ("test/00000", "1", "test"),
        ("train/00000", "0", "train"),
        ("train/00001", "1", "train"),
    ]
    np.testing.assert_array_equal(source.arrays[1:, ..., 0], PICTURES)
    np.testing.assert_array_equal(source.arrays[0, ..., 0], PICTURES[0] + 1)
    assert source.name == "set"


def test_npz_without_parts(tmp_path):
    np.savez(tmp_path / "set.npz", x=PICTURES, y=["a", "b"])
    assert [e.label for e in from_npz(tmp_path / "set.npz").entries] == ["a", "b"]


def test_npz_that_is_refused(tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, pictures=PICTURES)
    with pytest.raises(DataError, match="set.npz holds pictures; wanted x and y"):
        from_npz(path)
    np.savez(path, x=PICTURES, y=np.array([{"a": 1}, None], dtype=object))
    with pytest.raises(DataError, match="cannot be read as .npz: .*allow_pickle=False"):
        from_npz(path)
    np.savez(path, x_train=PICTURES, y_train=[0, 1], x_test=PICTURES[:, :2], y_test=[0, 1])
    with pytest.raises(DataError, match="the parts' pictures have different shapes"):
        from_npz(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="cannot be read as .npz"):
        from_npz(path)


def test_npz_bomb_is_refused(tmp_path, monkeypatch):
    from saccade.data import arrays

    monkeypatch.setattr(arrays, "_MAX_EXPANDED", 1 << 20)
    np.savez_compressed(tmp_path / "set.npz", x=np.zeros((8, 1024, 1024), np.uint8), y=range(8))
    with pytest.raises(DataError, match="over 200 times its size"):
        from_npz(tmp_path / "set.npz")
