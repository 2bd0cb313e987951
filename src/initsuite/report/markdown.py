"""Markdown that shows names and cells as they are."""

from __future__ import annotations

import pandas as pd


def markdown_table(table: pd.DataFrame) -> str:
    """A table of strings."""
    return table.map(lambda value: plain(str(value))).to_markdown(index=False, disable_numparse=True)


def plain(text: str) -> str:
    """Text that Markdown shows as it is, in one line: underscores and stars in names, bars in cells, no links.

    Example:
        >>> print(plain("torch_default"))
        torch\\_default
    """
    for mark in "\\`*_|<[]!&":
        text = text.replace(mark, "\\" + mark)
    return " ".join(text.splitlines())
