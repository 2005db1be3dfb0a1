"""What a check found: one problem, where it is, why it hurts, and how it is cured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Severity = Literal["serious", "warning", "note"]
VERSION: Final = 1  # of the JSON document
_ORDER: Final = ("serious", "warning", "note")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One picture that a finding is about, and how bad or how sure the problem is."""

    path: str
    score: float  # 0 to 1, which is certain, or the worst; each check says what of
    other: str = ""  # the picture that it is a copy of, where there is one
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the row as a JSON document, without what is empty."""
        fields = {"path": self.path, "score": round(self.score, 4)}
        more = {"other": self.other, "detail": self.detail}
        return fields | {name: text for name, text in more.items() if text}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One problem of some data or of a model."""

    name: str  # in kebab case, such as "near-copies-across-splits"; does not change
    severity: Severity
    where: str  # the class, part, file or layer
    message: str  # what was found, and in one sentence why it hurts
    cure: str  # what to do; for a model, a line of code
    rows: tuple[Row, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the finding as a JSON document; `rows` only where there are any."""
        document: dict[str, Any] = {
            name: getattr(self, name) for name in ("name", "severity", "where", "message", "cure")
        }
        return document | ({"rows": [row.to_json() for row in self.rows]} if self.rows else {})


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings by severity, and in their own order within one."""
    return sorted(findings, key=lambda finding: _ORDER.index(finding.severity))


def to_document(findings: Iterable[Finding]) -> Mapping[str, Any]:
    """Return what `saccade check --json` prints, the worst first; empty when all is well."""
    return {"version": VERSION, "findings": [f.to_json() for f in worst_first(findings)]}
