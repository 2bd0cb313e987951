"""What the docstring of an initializer says, part by part."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field

from initsuite.config.catalogue import AUTHORS_AND_YEAR
from website.markdown import escaped, table

SECTIONS = ("Args", "Returns", "Raises", "Example", "Elsewhere", "References")
REMARK = re.compile(r"(?<!\S)(Pitfalls?|Departures?): ")


@dataclass(frozen=True)
class Parts:
    """The parts of a docstring, in Markdown.

    Attributes:
        summary: the first paragraph.
        law: the paragraphs after it, without their remarks.
        pitfalls, departures: the remarks that begin with these words.
        sections: the entries of the sections that are lists, by section: what comes before the colon, and after it;
            references have nothing before it.
    """

    summary: str
    law: str
    pitfalls: list[str] = field(default_factory=list)
    departures: list[str] = field(default_factory=list)
    sections: Mapping[str, list[tuple[str, str]]] = field(default_factory=dict)


def parts_of(doc: str) -> Parts:
    """The parts of a docstring.

    Example:
        >>> found = parts_of("A law.\\n\\nVar[w] = 1. Pitfall: none.\\n\\nElsewhere:\\n    torch: `x_`,\\n        too.")
        >>> found.law, found.pitfalls, found.sections["Elsewhere"]
        ('Var\\\\[w\\\\] = 1.', ['None.'], [('torch', '`x_`, too.')])
    """
    head, *rest = re.split(rf"^({'|'.join(SECTIONS)}):\n", doc, flags=re.MULTILINE)
    sections = {name: _entries(name, text) for name, text in zip(rest[::2], rest[1::2], strict=True)}
    summary, *paragraphs = [part for part in re.split(r"\n\n", head.strip("\n")) if part.strip()]
    law, remarks = [], {"Pitfall": [], "Departure": []}
    for paragraph in paragraphs:
        if paragraph.startswith((" ", "- ")):
            law.append(_block(paragraph))
            continue
        own, *found = REMARK.split(" ".join(paragraph.split()))
        if own.strip():
            law.append(escaped(own.strip()))
        for kind, text in zip(found[::2], found[1::2], strict=True):
            remarks[kind.rstrip("s")].append(escaped(text[0].upper() + text[1:].rstrip()))
    return Parts(_line(summary), "\n\n".join(law), remarks["Pitfall"], remarks["Departure"], sections)


def _line(text: str) -> str:
    return escaped(" ".join(text.split()))


def _block(paragraph: str) -> str:
    """A list, a table whose first row is its head, or what is to be shown as it is."""
    if paragraph.startswith("- "):
        return "\n".join(f"- {_line(item)}" for item in re.split(r"^- ", paragraph, flags=re.MULTILINE)[1:])
    lines = textwrap.dedent(paragraph).splitlines()
    if not all(line.startswith("|") for line in lines):
        return "\n".join(["```text", *lines, "```"])
    head, *rows = ([escaped(cell.strip()) for cell in line.strip("|").split("|")] for line in lines)
    return table(head, rows)


def _entries(section: str, text: str) -> list[tuple[str, str]]:
    """The entries of a section: a line with more indentation, or a reference without a year, continues the last one."""
    entries: list[str] = []
    for line in textwrap.dedent(text.partition("\n\n")[0]).splitlines():
        is_reference = section == "References" and bool(AUTHORS_AND_YEAR.match(line))
        goes_on = line.startswith(" ") if section != "References" else not is_reference
        if entries and goes_on:
            entries[-1] += f" {line.strip()}"
        else:
            entries.append(line.strip())
    if section == "References":
        return [("", escaped(entry)) for entry in entries]
    pairs = (re.split(r":\s", entry, maxsplit=1) for entry in entries)
    return [(first, _line(rest[0] if rest else "")) for first, *rest in pairs]
