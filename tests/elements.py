"""The elements of a page, as a browser reads them."""

from __future__ import annotations

from html.parser import HTMLParser


class Tags(HTMLParser):
    """`tags` are the page's elements with their attributes, in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def sources(self) -> list[str | None]:
        """Return what its pictures show."""
        return [facts["src"] for tag, facts in self.tags if tag == "img"]
