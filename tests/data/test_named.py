from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from saccade.data.download import PublishedFile
from saccade.data.named import PUBLISHED, named_sets, open_named, open_published, read_idx
from saccade.errors import DataError
from saccade.progress import Silence


def published(path: Path, content: bytes) -> PublishedFile:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return PublishedFile(name=path.name, sha256=digest, size=len(content))


def idx(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return gzip.compress(head + array.astype(np.uint8).tobytes())


def test_names():
    assert named_sets() == ("digits", "fashion-mnist", "mnist", "cifar10")


def test_digits_equal_those_of_scikit_learn():
    load_digits = pytest.importorskip("sklearn.datasets").load_digits
    witness = load_digits()
    source = open_named("digits", progress=Silence())
    assert [int(entry.label) for entry in source.entries] == witness.target.tolist()
    assert {entry.part for entry in source.entries} == {None}
    wanted = np.floor(witness.images / 16 * 255 + 0.5)
    np.testing.assert_array_equal(source.arrays[..., 0], wanted)
    assert source.arrays.max() == 255


def test_fashion_mnist_has_its_classes_and_parts(datasets):
    source = open_named("fashion-mnist", progress=Silence())
    parts = np.array([entry.part for entry in source.entries])
    labels = np.array([entry.label for entry in source.entries])
    assert (parts == "test").sum() == 10_000
    assert (parts == "train").sum() == 60_000
    names, counts = np.unique(labels, return_counts=True)
    assert set(names) == set(PUBLISHED["fashion-mnist"].classes)
    assert set(counts) == {7000}
    # The data set's own site shows these as its first labels: 9 ankle boot, 0 T-shirt, 0, 3 dress.
    assert labels[parts == "train"][:4].tolist() == [
        "Ankle boot",
        "T-shirt/top",
        "T-shirt/top",
        "Dress",
    ]
    raw = gzip.decompress((datasets / "fashion-mnist/train-images-idx3-ubyte.gz").read_bytes())
    np.testing.assert_array_equal(
        source.arrays[parts == "train"][-1].ravel(), np.frombuffer(raw[-784:], np.uint8)
    )


def test_published_digests_are_those_of_the_files(datasets):
    md5 = ["8d4fb7e6", "25c81989", "bef4ecab", "bb300cfd"]  # as the data set's site prints them
    for file, digest in zip(PUBLISHED["fashion-mnist"].files, md5, strict=True):
        content = (datasets / "fashion-mnist" / file.name).read_bytes()
        assert hashlib.md5(content).hexdigest().startswith(digest)
        assert hashlib.sha256(content).hexdigest() == file.sha256
        assert len(content) == file.size


def test_idx_sets_bind_numbers_to_names(tmp_path, monkeypatch):
    monkeypatch.setenv("SACCADE_DATASETS", str(tmp_path))
    dice = np.random.default_rng(0)
    arrays = [
        dice.integers(0, 256, (5, 3, 2)),
        np.array([9, 0, 3, 3, 1]),
        dice.integers(0, 256, (2, 3, 2)),
        np.array([8, 0]),
    ]
    dataset = PUBLISHED["fashion-mnist"]
    files = tuple(
        published(tmp_path / dataset.name / file.name, idx(array))
        for file, array in zip(dataset.files, arrays, strict=True)
    )
    source = open_published(replace(dataset, files=files), progress=Silence())
    assert [entry.label for entry in source.entries] == [
        *("Bag", "T-shirt/top"),
        *("Ankle boot", "T-shirt/top", "Dress", "Dress", "Trouser"),
    ]
    np.testing.assert_array_equal(source.arrays[..., 0], np.concatenate([arrays[2], arrays[0]]))


def test_cifar10_planes_become_pixels(tmp_path, monkeypatch):
    monkeypatch.setenv("SACCADE_DATASETS", str(tmp_path))
    records = np.zeros((10_000, 3073), np.uint8)
    records[:, 0] = np.arange(10_000) % 10
    records[:, 1 + 5 * 32 + 7] = 200  # red plane, row 5, column 7
    records[:, 1 + 2048 + 31] = 100  # blue plane, row 0, column 31
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as archive:
        for name in [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]:
            content = records.tobytes()
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    dataset = PUBLISHED["cifar10"]
    file = published(tmp_path / "cifar-10-binary.tar.gz", out.getvalue())
    source = open_published(replace(dataset, files=(file,)), progress=Silence())
    assert source.arrays.shape == (60_000, 32, 32, 3)
    wanted = np.zeros((32, 32, 3), np.uint8)
    wanted[5, 7, 0], wanted[0, 31, 2] = 200, 100
    np.testing.assert_array_equal(source.arrays[0], wanted)
    np.testing.assert_array_equal(source.arrays[-1], wanted)
    assert [entry.label for entry in source.entries[:4]] == [
        "airplane",
        "automobile",
        "bird",
        "cat",
    ]
    assert sum(entry.part == "test" for entry in source.entries) == 10_000


def test_cifar10_without_a_batch_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("SACCADE_DATASETS", str(tmp_path))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz"):
        pass
    file = published(tmp_path / "cifar-10-binary.tar.gz", out.getvalue())
    with pytest.raises(DataError, match="lacks data_batch_1.bin, data_batch_2.bin"):
        open_published(replace(PUBLISHED["cifar10"], files=(file,)), progress=Silence())


@pytest.mark.parametrize(
    "content",
    [
        b"not gzip",
        gzip.compress(b""),
        gzip.compress(b"\0\0\x08"),
        gzip.compress(b"\0\0\x0d\x01\0\0\0\x01a"),
        gzip.compress(b"\0\0\x08\x01\0\0\0\x05abc"),
        gzip.compress(b"\0\0\x08\xff" + b"\xff" * 100),
        idx(np.zeros((3, 2, 2)))[:-12],
    ],
    ids=range(7),  # gzip writes the time, by which workers would name the cases differently
)
def test_damaged_idx_files_are_refused(tmp_path, content):
    (tmp_path / "x.gz").write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        read_idx(tmp_path / "x.gz")


def test_no_set_is_read_by_unpickling():
    """CIFAR-10's usual archive holds pickles; ours must never be changed to that one."""
    assert [file.name for file in PUBLISHED["cifar10"].files] == ["cifar-10-binary.tar.gz"]
    assert "SACCADE_CACHE" in os.environ  # tests never write to the user's cache
