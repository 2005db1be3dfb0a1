from __future__ import annotations

from saccade.report import confusion

THREE = (("cat", "dog", "fox"), [[8, 2, 0], [1, 5, 4], [0, 0, 0]])


def three(evaluate):
    import numpy as np

    return evaluate(THREE[0], np.array(THREE[1]))


def test_pairs_most_frequent_first(evaluate) -> None:
    pairs = confusion.confused_pairs(three(evaluate), limit=2)
    assert [(p.label, p.predicted, p.count, p.share) for p in pairs] == [
        ("dog", "fox", 4, 0.4),
        ("cat", "dog", 2, 0.2),
    ]


def test_cells_share_of_true_class(evaluate) -> None:
    rows = confusion.cells(three(evaluate))
    assert [name for name, _ in rows] == ["cat", "dog", "fox"]
    assert [(c.count, c.share, c.right) for c in rows[0][1]] == [
        (8, 0.8, True),
        (2, 0.2, False),
        (0, 0.0, False),
    ]
    assert [c.share for c in rows[2][1]] == [0.0, 0.0, 0.0]  # no picture: not 0 / 0


def test_form_by_number_of_classes(large) -> None:
    forms = [confusion.form(large(number).evaluation) for number in (2, 20, 21, 200, 201)]
    assert forms == ["table", "table", "heat map", "heat map", "pairs"]
