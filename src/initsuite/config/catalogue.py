"""The initializers in conf/init, by name: what Python callers can ask for."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from initsuite.config.groups import GROUP_KEYS, conf_dir, options_of, shipped_file, target_of
from initsuite.config.trees import is_reference
from initsuite.config.wrapped import built_initializer
from initsuite.errors import unknown_choice
from initsuite.wording import OWN

if TYPE_CHECKING:
    import pandas as pd

AUTHORS_AND_YEAR = re.compile(r"[A-Z]\S*.{0,60}?\b(?:19|20)\d\d\b")
"""How a reference begins: `Glorot & Bengio 2010`."""


def names() -> list[str]:
    """The names of the shipped initializers, in alphabetical order."""
    return sorted(path.stem for path in (conf_dir() / "init").glob("*.yaml") if path.stem != OWN)


def choice(name: str, where: str = "initialize_") -> dict[str, Any]:
    """The content of an initializer's file: its name, class, options and requirements.

    An option that refers to the rest of a configuration has the default of the class.

    Args:
        where: who was asked for it, for the error.

    Raises:
        ConfigError: no such initializer.

    Example:
        >>> choice("xavier")["fan"]
        'fan_avg'
    """
    if name not in names():
        fix = "Pass an instance of your own class instead." if name == OWN else ""
        raise unknown_choice(where, "initializer", name, names(), fix)
    tree = shipped_file("init", name)
    defaults = inspect.signature(target_of("init", tree)).parameters
    return {key: defaults[key].default if is_reference(value) else value for key, value in tree.items()}


def build(name: str, options: Mapping[str, Any], where: str = "initialize_") -> Any:
    """The initializer or law of this name; `options` override those of its file, or are one of `WRAPPERS`.

    Raises:
        ConfigError: an unknown name or option, or a value that its class refuses.

    Example:
        >>> build("he", {"distribution": "uniform"})
        VarianceScaling(gain=1.4142135623730951, fan='fan_in', distribution='uniform')
    """
    tree = choice(name, where)
    for option in options.keys() & GROUP_KEYS["init"]:  # these say what the file is, and would change nothing
        known = inspect.signature(target_of("init", tree)).parameters
        raise unknown_choice(f"init={name}", "option", option, known or ["(it has none)"])
    return built_initializer({**tree, **options})


def initializers() -> pd.DataFrame:
    """The catalogue: one row for each initializer that `initialize_` and `init=...` know.

    Returns:
        Columns: `name`; `formula`, the law in a line; `class`, in `initsuite.init`; `options`, a dict with the
        defaults; `requires`, a dict with the model options it needs, empty for the generic ones; `summary`, the first
        sentence of its class; `references`. Printed, it is the names with their formulas.

    Example:
        >>> initializers().set_index("name").loc["he", "formula"]
        'He et al. 2015: Var = gain^2 / fan_in, biases 0.'
    """
    from initsuite.config.readable import Catalogue  # with pandas

    return Catalogue([_row(name) for name in names()])


def _row(name: str) -> dict[str, Any]:
    tree = choice(name)
    formula = formula_of((conf_dir() / "init" / f"{name}.yaml").read_text(encoding="utf-8"))
    doc = inspect.getdoc(target_of("init", tree)) or ""
    return {
        "name": name,
        "formula": formula,
        "class": tree["_target_"].rpartition(".")[2],
        "options": options_of("init", tree),
        "requires": dict(tree.get("requires") or {}),
        "summary": _joined(doc.partition("\n\n")[0].splitlines()),
        "references": references_of(doc, formula),
    }


def formula_of(text: str) -> str:
    """The comment at the top of a file, on one line.

    Example:
        >>> formula_of("# LeCun 1998:\\n# Var = 1 / fan_in.\\nname: lecun\\n# more")
        'LeCun 1998: Var = 1 / fan_in.'
    """
    top = re.match(r"(?:#.*\n)*", text)
    return _joined(line.lstrip("#") for line in (top.group() if top else "").splitlines())


def references_of(doc: str, formula: str) -> str:
    """The references of an initializer: those in the docstring of its class, else the source in its formula.

    If the class serves several initializers, those of the source that the formula begins with, where it has any.

    Example:
        >>> doc = "Law.\\n\\nReferences:\\n    Glorot & Bengio 2010, Understanding.\\n    He et al. 2015, Delving Deep."
        >>> references_of(doc, "He et al. 2015: Var = 2 / fan_in.")
        'He et al. 2015, Delving Deep.'
    """
    source = AUTHORS_AND_YEAR.match(formula.partition(":")[0])
    entries = _entries(doc.partition("References:\n")[2])
    if not source:
        return " ".join(entries)
    author, year = source.group().split()[0].strip(","), source.group()[-4:]
    cited = [entry for entry in entries if entry.split()[0].strip(",") == author and year in entry]
    return " ".join(cited or entries) or source.group()


def _entries(block: str) -> list[str]:
    """The references in a block of a docstring, each on one line; a line without an author continues the last one."""
    entries: list[str] = []
    for line in block.partition("\n\n")[0].splitlines():
        if entries and not AUTHORS_AND_YEAR.match(line.strip()):
            entries[-1] += f" {line.strip()}"
        else:
            entries.append(line.strip())
    return entries


def _joined(lines: Any) -> str:
    return " ".join(" ".join(lines).split())
