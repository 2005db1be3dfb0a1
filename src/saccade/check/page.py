"""check.html: every finding with its cure and pictures of its worst rows, on one offline page.

The page has the report's style, no scripts, and a content security policy that lets it load
nothing. Names and paths are whatever a folder holds; Jinja2 escapes them all. However much was
found, the page stays under 2 MB: a few rows of each finding are shown, and thumbnails stop where
they reach 1.2 MB; issues.parquet has every row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from saccade.data import Pixels, Preprocessing
from saccade.errors import PictureError
from saccade.files import write_bytes
from saccade.finding import Row, worst_first
from saccade.report.page import environment, style
from saccade.report.thumbnails import data_uri, is_tiny

if TYPE_CHECKING:
    from saccade.check.data import Examined

MOST_ROWS: Final = 8  # of a finding
MOST_FINDINGS: Final = 200  # one a class, say; more are counted
MOST_PICTURES: Final = 400  # that are decoded again
MOST_BYTES: Final = 1_200_000  # of thumbnails
_SIDE_PX: Final = 128  # of a thumbnail's longer side
_POLICY: Final = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    path: str
    uri: str  # "" where it cannot be shown
    tiny: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """A row with its pictures: one, or both of a pair."""

    row: Row
    pictures: tuple[_Picture, ...]


def write_page(path: Path, examined: Examined) -> None:
    """Write the page atomically.

    Raises MissingExtraError without Jinja2, SettingsError where `path` cannot be written.
    """
    write_bytes(path, render_page(examined).encode("utf-8", "backslashreplace"))


def render_page(examined: Examined) -> str:
    """Return the page as HTML."""
    findings = worst_first(examined.findings)[:MOST_FINDINGS]
    chosen = [sorted(f.rows, key=lambda row: -row.score)[:MOST_ROWS] for f in findings]
    gallery = _Gallery(examined, (row for rows in chosen for row in rows))
    return (
        environment("saccade.check")
        .get_template("check.html.j2")
        .render(
            name=examined.source.name,
            num_pictures=len(examined.index),
            num_findings=len(examined.findings),
            findings=[
                (finding, [gallery.show(row) for row in rows])
                for finding, rows in zip(findings, chosen, strict=True)
            ],
            severities={
                level: sum(f.severity == level for f in examined.findings)
                for level in ("serious", "warning", "note")
            },
            most_rows=MOST_ROWS,
            style=style(),
            policy=_POLICY,
        )
    )


class _Gallery:
    """Thumbnails of the pictures that some rows name, read in one pass over the source."""

    def __init__(self, examined: Examined, rows: Iterable[Row]) -> None:
        named = dict.fromkeys(path for row in rows for path in (row.path, row.other) if path)
        paths = set(list(named)[:MOST_PICTURES])
        places = [
            place
            for place, path in enumerate(examined.index.path.tolist())
            if path in paths and examined.looks.seen[place]
        ]
        self._uris = {
            examined.index.path[place]: (data_uri(pixels), is_tiny(pixels))
            for place, pixels in _thumbnails(examined, places)
        }
        self._bytes_left = MOST_BYTES

    def show(self, row: Row) -> _Shown:
        """Return a row with its pictures, those that still fit; one shown twice counts twice."""
        paths = (row.path, row.other) if row.other else (row.path,)
        return _Shown(row=row, pictures=tuple(self._picture(path) for path in paths))

    def _picture(self, path: str) -> _Picture:
        uri, tiny = self._uris.get(path, ("", False))
        if len(uri) > self._bytes_left:
            uri = ""
        self._bytes_left -= len(uri)
        return _Picture(path=path, uri=uri, tiny=tiny)


def _thumbnails(examined: Examined, rows: list[int]) -> Iterator[tuple[int, Pixels]]:
    """Yield (row, pixels) of at most 128 px a side, at the picture's own proportions."""
    for row, payload in examined.source.payloads(rows):
        width, height = int(examined.index.width_px[row]), int(examined.index.height_px[row])
        share = min(1.0, _SIDE_PX / max(width, height))
        reading = Preprocessing(
            height_px=max(1, round(height * share)),
            width_px=max(1, round(width * share)),
            channels=3,
            fit="stretch",
        )
        try:
            yield row, reading.read(payload)
        except PictureError:  # it has changed since it was looked at; the page does without
            continue
