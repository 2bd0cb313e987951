"""Markdown, written by programs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

CODE = re.compile(r"(`[^`]*`)")


def escaped(text: str) -> str:
    """Plain text as Markdown that shows it as it is; what stands in backticks stays code.

    Example:
        >>> escaped("I* H_m I*, see `he_uniform`")
        'I\\\\* H\\\\_m I\\\\*, see `he_uniform`'
    """
    parts = CODE.split(text)
    return "".join(
        part if place % 2 else re.sub(r"([\\*_\[\]<>$|~#])", r"\\\1", part) for place, part in enumerate(parts)
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are Markdown already.

    Example:
        >>> print(table(["a", "b"], [["1", "2"]]))
        | a | b |
        |---|---|
        | 1 | 2 |
    """
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" if cells[0] != "---" else f"|{'|'.join(cells)}|" for cells in lines)


def page(title: str, *parts: str) -> str:
    """A page of its non-empty parts."""
    return "\n\n".join([f"# {title}", *(part for part in parts if part)]) + "\n"


def section(title: str, *parts: str) -> str:
    """A section, "" where all its parts are empty."""
    found = [part for part in parts if part]
    return "\n\n".join([f"## {title}", *found]) if found else ""


def toctree(names: Iterable[str]) -> str:
    """The pages below a page, in the sidebar alone."""
    return "\n".join(["```{toctree}", ":hidden:", "", *names, "```"])


def first_sentence(text: str) -> str:
    """Of the first paragraph of a page that is neither code nor a list, without its markup.

    Example:
        >>> first_sentence("# Sweeps\\n\\nRun `a`, or [b](c.md). Then more.")
        'Run a, or b.'
    """
    paragraphs = re.split(r"\n{2,}", re.sub(r"^(```|<!--).*?(```|-->)$", "", text, flags=re.DOTALL | re.MULTILINE))
    plain = [part for part in paragraphs if part.strip() and part.lstrip("\n")[0] not in " #!|:<-"]
    words = " ".join((plain or [""])[0].split())
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", words).replace("`", "").replace("*", "").replace("\\", "")
    return re.split(r"(?<=[.?])\s(?=[A-Z])", words, maxsplit=1)[0].rstrip(":")
