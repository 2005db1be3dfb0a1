"""Looking at pictures one by one: the scan's work in each worker, which imports this for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saccade.data.picture import Facts, Preprocessing, inspect
from saccade.data.raster import Payload, small_content
from saccade.data.rowwriter import RowWriter
from saccade.data.work import Work
from saccade.errors import PictureError

Values = tuple[str, int, int, str, str]  # of a Finding: sha256, width, height, mode, flags


class Inspector(Work):
    """Digests and headers; nothing is decoded."""

    def do(self, payload: Payload, argument: str) -> Values:
        """Return a Finding's fields; `argument` is the picture's path."""
        return _values(inspect(payload, name=argument))


class EagerInspector(Work):
    """The same, and a picture of the expected size is decoded into its row as well."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._expected = Preprocessing.from_json(settings["preprocessing"])
        self._writer: RowWriter | None = None

    def do(self, payload: Payload, argument: tuple[str, int]) -> tuple[*Values, int]:
        """Return a Finding's fields and the digest of the pixels in the row; 0 for no pixels.

        `argument` is the picture's path and row.
        """
        path, row = argument
        # Read once, so that the digests of file and pixels belong together.
        content = small_content(payload) if isinstance(payload, str | Path) else payload
        facts = inspect(payload if content is None else content, name=path)
        size = facts.height_px, facts.width_px
        digest = 0
        if content is not None and size == self._expected.shape[:2]:
            digest = self._decode(content, row)
        return *_values(facts), digest

    def _decode(self, content: Payload, row: int) -> int:
        self._writer = self._writer or RowWriter(self._settings)
        try:
            digest, reduced = self._writer.do(content, row)
        except PictureError:  # the cache meets it again, and keeps the reason
            return 0
        return 0 if reduced else digest

    def finish_chunk(self) -> None:
        """Close the file: between chunks it may be renamed, which Windows refuses to open ones."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _values(facts: Facts) -> Values:
    return facts.sha256, facts.width_px, facts.height_px, facts.mode, ";".join(facts.flags)
