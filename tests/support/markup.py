"""What a page or a table of HTML holds."""

from __future__ import annotations

from html.parser import HTMLParser


class Markup(HTMLParser):
    """Its tags and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data
