"""What was left out and why, grouped by reason; a list of a million stays a short section."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MOST_REASONS: Final = 40
MOST_PATHS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Everything left out for one reason."""

    reason: str
    count: int
    paths: tuple[str, ...]  # the first ones

    @property
    def num_more(self) -> int:
        """How many are not listed."""
        return self.count - len(self.paths)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """All that was left out; `groups` holds the most frequent reasons, most frequent first."""

    num_images: int
    groups: tuple[Group, ...]
    num_reasons_more: int

    @property
    def num_listed(self) -> int:
        """How many paths are listed in all."""
        return sum(len(group.paths) for group in self.groups)


def group_left_out(left_out: Sequence[tuple[str, str]]) -> LeftOut:
    """Group by reason; each reason lists an equal share of `MOST_PATHS`, in the given order."""
    by_reason: dict[str, list[str]] = {}
    for path, reason in left_out:
        by_reason.setdefault(reason, []).append(path)
    ordered = sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))
    shown = ordered[:MOST_REASONS]
    each = MOST_PATHS // max(len(shown), 1)
    return LeftOut(
        num_images=len(left_out),
        groups=tuple(
            Group(reason=reason, count=len(paths), paths=tuple(paths[:each]))
            for reason, paths in shown
        ),
        num_reasons_more=len(ordered) - len(shown),
    )
