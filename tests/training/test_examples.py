import numpy as np
import pytest
import torch

from saccade.training.examples import Examples, Resident, Streamed
from saccade.training.graph import Unsupported


def counted(count: int = 10) -> Examples:
    return Examples.of(np.arange(count, dtype=np.float64), np.arange(count) * 10)


def test_batches_hold_every_row_once_in_order_or_shuffled() -> None:
    batches = list(counted().batches(4, shuffle=False))
    assert [batch.x.tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    torch.manual_seed(0)
    shuffled = list(counted().batches(4, shuffle=True))
    rows = torch.cat([batch.x for batch in shuffled])
    assert rows.tolist() != sorted(rows.tolist())
    assert sorted(rows.tolist()) == list(range(10))
    assert torch.equal(torch.cat([batch.y for batch in shuffled]), (rows * 10).long())


def test_array_that_cannot_be_written_is_copied() -> None:
    x = np.broadcast_to(np.float32(1), (6, 2))
    assert next(Examples.of(x, np.zeros(6)).batches(4, shuffle=False)).x.shape == (4, 2)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("locked", [False, True])
def test_array_that_runs_backwards_is_read_as_it_stands(shuffle: bool, locked: bool) -> None:
    x = np.arange(24, dtype=np.float32).reshape(6, 4)[::-1, ::-1]
    x.flags.writeable = not locked
    y = np.arange(6)[::-1]
    for batch in Examples.of(x, y).batches(4, shuffle=shuffle):
        for row, label in zip(batch.x, batch.y, strict=True):
            assert row.tolist() == x[5 - int(label)].tolist()
        assert batch.x.is_contiguous()


def test_split_takes_the_last_rows_as_keras_does() -> None:
    first, last = counted().split(0.25)
    assert first.x.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert last.y.tolist() == [70, 80, 90]
    with pytest.raises(Unsupported, match="leaves one side empty"):
        counted().split(0.999)


def test_classes_are_weighted_in_every_form_of_label() -> None:
    wanted = [1.0, 3.0, 0.5]
    for y in (np.array([0, 1, 2]), np.array([[0.0], [1.0], [2.0]]), np.eye(3)):
        weighted = Examples.of(np.zeros(3), y).weighted_by_class({1: 3.0, 2: 0.5})
        assert weighted.weight is not None
        assert weighted.weight.tolist() == wanted


@pytest.mark.parametrize(
    ("x", "y", "weight", "reason"),
    [
        ([[1.0]], np.zeros(1), None, "x is a list"),
        (np.zeros(1), None, None, "y is missing"),
        (np.array(["a"]), np.zeros(1), None, "x holds <U1"),
        (np.zeros(2), np.zeros(3), None, r"different lengths, \[2, 3\]"),
        (np.zeros(2), np.zeros(2), np.zeros((2, 3)), "more than one number a sample"),
        (np.zeros(0), np.zeros(0), None, r"shape \(0,\)"),
    ],
)
def test_what_is_no_array_is_refused(x, y, weight, reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        Examples.of(x, y, weight)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("place", [Resident, Streamed])
def test_batches_elsewhere_are_the_same(place, shuffle: bool) -> None:
    """The processor stands for a card; the order is drawn from the same random state."""
    random = np.random.default_rng(0)
    x, y = random.random((10, 4, 3)), random.integers(0, 2, (10, 2))
    examples = Examples.of(x[::-1], y, random.random(10))
    moved = place(examples, torch.device("cpu"))
    assert len(moved) == 10
    for _ in range(2):
        torch.manual_seed(1)
        own = list(examples.batches(4, shuffle=shuffle))
        torch.manual_seed(1)
        batches = moved.batches(4, shuffle=shuffle)
        torch.rand(1)  # the order was drawn when the batches were asked for, not when they come
        found = list(batches)
        for batch, wanted in zip(found, own, strict=True):
            for name in ("x", "y", "weight"):
                assert torch.equal(getattr(batch, name), getattr(wanted, name))
