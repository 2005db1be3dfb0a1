from __future__ import annotations

from collections import Counter

from saccade.report.left_out import group_left_out


def test_groups_most_frequent_first() -> None:
    grouped = group_left_out([("a", "blank"), ("b", "torn"), ("c", "torn")])
    assert [(g.reason, g.count, g.paths, g.num_more) for g in grouped.groups] == [
        ("torn", 2, ("b", "c"), 0),
        ("blank", 1, ("a",), 0),
    ]
    assert (grouped.num_images, grouped.num_listed, grouped.num_reasons_more) == (3, 3, 0)


def test_a_rare_reason_is_not_crowded_out() -> None:
    many = [(f"{row}.jpg", "torn") for row in range(100_000)]
    grouped = group_left_out([*many, ("last.jpg", "blank")])
    assert [g.paths[0] for g in grouped.groups] == ["0.jpg", "last.jpg"]
    assert grouped.num_listed <= 200
    assert sum(g.count for g in grouped.groups) == 100_001


def test_many_reasons_are_capped_and_counted() -> None:
    rows = [(f"{row}.jpg", f"reason {row % 1000}") for row in range(5000)]
    grouped = group_left_out(rows)
    assert len(grouped.groups) + grouped.num_reasons_more == len(Counter(r for _, r in rows))
    assert grouped.num_listed <= 200


def test_nothing_left_out() -> None:
    grouped = group_left_out([])
    assert (grouped.num_images, grouped.groups) == (0, ())
