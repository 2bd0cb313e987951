"""The catalogue: a page for each initializer, from its file in conf/init and the docstring of its class."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from initsuite.config.catalogue import choice, formula_of, names
from initsuite.config.groups import GROUP_KEYS, conf_dir, target_of
from initsuite.literature.claim import Claim
from website.docstrings import Parts, parts_of
from website.markdown import escaped, page, section, table, toctree

OPTION = re.compile(r"^(\w+): *(.*?)(?: +# (.*))?$", re.MULTILINE)


def catalogue_pages(claims: Sequence[Claim]) -> dict[str, str]:
    """The pages by their name on the site."""
    found = {name: _read(name) for name in names()}
    pages = {
        f"catalogue/{name}.md": _page(entry, _same_class(entry, found), about(name, claims))
        for name, entry in found.items()
    }
    rows = [
        [f"[`{name}`]({name}.md)", escaped(formula)]
        for name, formula in ((entry.name, entry.formula) for entry in found.values())
    ]
    pages["catalogue/index.md"] = page(
        "The catalogue",
        f'The {len(rows)} initializers of the suite: `init=NAME` in a sweep, `initsuite.initialize_(model, "NAME")` in '
        "Python. Variants of one law share what is said of it. [Adding one](../conf/init/README.md) takes a file; "
        "[your own](../own.md) takes a class.",
        table(["name", "law"], rows),
        toctree(found),
    )
    return pages


@dataclass(frozen=True)
class Entry:
    """An initializer.

    Attributes:
        text: its file.
        tree: what is in it.
        parts: the docstring of its class.
    """

    name: str
    text: str
    tree: Mapping[str, Any]
    parts: Parts

    @property
    def formula(self) -> str:
        return formula_of(self.text)

    @property
    def is_generic(self) -> bool:
        """Whether it is for any model."""
        return not self.tree.get("requires") and not getattr(target_of("init", self.tree), "checks_model", False)


def _read(name: str) -> Entry:
    tree = choice(name)
    text = (conf_dir() / "init" / f"{name}.yaml").read_text(encoding="utf-8")
    return Entry(name, text, tree, parts_of(inspect.getdoc(target_of("init", tree)) or ""))


def _same_class(entry: Entry, found: Mapping[str, Entry]) -> list[str]:
    own = entry.tree["_target_"]
    return [name for name, other in found.items() if name != entry.name and other.tree["_target_"] == own]


def about(name: str, claims: Sequence[Claim]) -> list[str]:
    """The claims that an initializer is an arm of."""
    found = []
    for claim in claims:
        axes = [own for part in (claim.starts, claim.trials) if part for own in (part.params, *part.sweeps)]
        bases = [word for part in (claim.starts, claim.trials) if part for word in part.base]
        arms = {arm for own in axes for arm in own.get("init", "").split(",")}
        if name in arms or f"init={name}" in bases:
            found.append(claim.name)
    return found


def _page(entry: Entry, siblings: Sequence[str], claims: Sequence[str]) -> str:
    name, parts = entry.name, entry.parts
    same = ", ".join(f"[`{other}`]({other}.md)" for other in siblings)
    return page(
        name,
        f"**{escaped(entry.formula)}**",
        parts.summary,
        f'To use it: `init={name}` in a sweep, `initsuite.initialize_(model, "{name}")` in Python.'
        + ("" if entry.is_generic else " It is not for every model."),
        f"The class is `{entry.tree['_target_']}`" + (f", also that of {same}." if same else "."),
        section("The law", parts.law),
        section("Options", _options(entry.text), _requirements(entry)),
        section("Refused", *(f"- `{kind}`: {text}" for kind, text in parts.sections.get("Raises", []))),
        section("Pitfalls", *parts.pitfalls),
        section("Departures from the source", *parts.departures),
        section("In other libraries", _elsewhere(parts)),
        section("References", "\n".join(f"- {text}" for _, text in parts.sections.get("References", []))),
        section("Claims tested with it", ", ".join(f"[{claim}](../claims/{claim}.md)" for claim in claims)),
    )


def _options(text: str) -> str:
    """The options of its file, with the range that stands behind each; what they mean is in the law."""
    rows = [
        [f"`{key}`", f"`{value}`", escaped(comment)]
        for key, value, comment in OPTION.findall(text)
        if key not in GROUP_KEYS["init"]
    ]
    return table(["option", "default", "range, meaning"], rows) if rows else ""


def _requirements(entry: Entry) -> str:
    wanted = dict(entry.tree.get("requires") or {})
    said = ", ".join(f"`{key}={str(value).lower()}`" for key, value in wanted.items())
    return f"Its arm of a sweep gets {said}: see `requires` in `conf/init/{entry.name}.yaml`." if said else ""


def _elsewhere(parts: Parts) -> str:
    """A table of the libraries that the docstring speaks of."""
    return (
        table(["library", "what it has"], parts.sections.get("Elsewhere", [])) if "Elsewhere" in parts.sections else ""
    )
