from __future__ import annotations

import numpy as np
import pytest

from saccade.data.batches import Batches


def numbered(path, n=1000):
    """A memory-mapped set whose picture i holds the number i in every pixel pair."""
    pixels = np.zeros((n, 2, 2, 1), np.uint8)
    pixels[:, 0, 0, 0], pixels[:, 0, 1, 0] = np.arange(n) // 256, np.arange(n) % 256
    np.save(path, pixels)
    return np.load(path, mmap_mode="r")


def numbers(x):
    return (x[:, 0, 0, 0].astype(int) * 256 + x[:, 0, 1, 0]).tolist()


@pytest.mark.parametrize("memory_bytes", [0, None])
def test_an_epoch_visits_every_row_once_with_its_label(tmp_path, memory_bytes):
    rows = np.arange(1, 1000, 3)
    batches = Batches(
        numbered(tmp_path / "p.npy"), rows, rows * 10, batch_size=7, memory_bytes=memory_bytes
    )
    seen = []
    for x, y in batches.epoch(0):
        assert x.dtype == np.uint8
        assert x.shape[1:] == (2, 2, 1)
        assert [n * 10 for n in numbers(x)] == y.tolist()
        seen.append(numbers(x))
    assert len(seen) == len(batches) == 48
    assert all(len(batch) == 7 for batch in seen[:-1])
    flat = sum(seen, [])
    assert sorted(flat) == rows.tolist()
    assert flat != rows.tolist()


def test_reading_from_disk_gives_the_batches_of_reading_from_memory(tmp_path):
    pixels, rows = numbered(tmp_path / "p.npy"), np.arange(999, -1, -1)
    disk = Batches(pixels, rows, rows, batch_size=3, seed=5, memory_bytes=0)  # several windows
    memory = Batches(pixels, rows, rows, batch_size=3, seed=5)
    assert (disk.in_memory, memory.in_memory) == (False, True)
    for (x, y), (x2, y2) in zip(disk.epoch(2), memory.epoch(2), strict=True):
        assert np.array_equal(x, x2)
        assert np.array_equal(y, y2)


def test_seed_and_epoch_decide_the_order(tmp_path):
    pixels, rows = numbered(tmp_path / "p.npy"), np.arange(1000)

    def order(seed, epoch):
        epoch_ = Batches(pixels, rows, rows, batch_size=64, seed=seed).epoch(epoch)
        return np.concatenate([y for _, y in epoch_]).tolist()

    assert order(0, 0) == order(0, 0)
    assert len({tuple(order(s, e)) for s, e in ((0, 0), (0, 1), (1, 0))}) == 3


def test_in_order_keeps_the_order_given(tmp_path):
    rows = np.array([5, 3, 900, 4])
    batches = Batches(numbered(tmp_path / "p.npy"), rows, rows, batch_size=3, memory_bytes=0)
    assert [numbers(x) for x, _ in batches.in_order()] == [[5, 3, 900], [4]]


@pytest.mark.parametrize(("rows", "labels", "size"), [([1], [1, 2], 1), ([], [], 1), ([1], [1], 0)])
def test_what_makes_no_batch_is_refused(tmp_path, rows, labels, size):
    pixels = numbered(tmp_path / "p.npy")
    with pytest.raises(ValueError, match="one label a row"):
        Batches(pixels, np.array(rows, int), np.array(labels), batch_size=size)
