"""A claim as its file in conf/claim states it: read, checked, given criteria."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from initsuite.config.groups import conf_dir
from initsuite.errors import ConfigError, bad_value, check_whole_number, unknown_choice
from initsuite.literature.criteria import KINDS, Criterion
from initsuite.literature.verdict import Verdict
from initsuite.results.sources import SHIPPED

TIERS = ("fast", "full")
"""The fast tier is run before a release; full is all."""
REFERENCE = ("authors", "year", "title", "section", "arxiv")
KEYS = (
    "name", "statement", "reference", "prediction", "expected", "note", "discussion", "setting", "tier", "cost_s",
    "starts", "trials", "criteria", "figure",
)  # fmt: skip
OPTIONAL = ("note", "discussion", "starts", "trials", "cost_s", "figure")
SWEEP = ("base", "params", "sweeps", "theory")


@dataclass(frozen=True)
class Sweep:
    """Which cells: overrides that all of them share, and axes, as in an experiment.

    Attributes:
        base: overrides.
        params: values by key, a comma between two of them.
        sweeps: several sets of axes, one after another.
        theory: predictors of theory that criteria read, by name.
    """

    base: tuple[str, ...] = ()
    params: Mapping[str, str] = field(default_factory=dict)
    sweeps: tuple[Mapping[str, str], ...] = ()
    theory: tuple[str, ...] = ()

    @property
    def axes(self) -> dict[str, Any]:
        """As `hydra.sweeper` has them."""
        return {"params": dict(self.params), "sweeps": [dict(own) for own in self.sweeps] or None}


@dataclass(frozen=True)
class Starts(Sweep):
    """What is measured before the first step.

    Attributes:
        measures: names of `measures.MEASURES`.
        draws: seeds, from 0.
    """

    measures: tuple[str, ...] = ()
    draws: int = 20


@dataclass(frozen=True)
class Trials(Sweep):
    """What is trained.

    Attributes:
        published_lr: the one learning rate of the paper, at which all is judged once more; None where it tuned it.
        published_optimizer: the optimizer that it belongs to; "" = that of the sweep.
        store: a store that ships with the suite, whose trials are judged; the sweep is then what made it, and nothing
            is trained.
    """

    published_lr: float | None = None
    published_optimizer: str = ""
    store: str = ""


@dataclass(frozen=True)
class Claim:
    """One file.

    Attributes:
        name: of the file.
        statement: what is claimed, in a sentence or two.
        reference: authors, year, title, section, arxiv ("" if it is not there).
        prediction: what was expected of the test before it was run.
        expected: the verdict that was predicted.
        note: what a reader must know about the prediction; mostly "".
        discussion: of a verdict that came out against the prediction, in about three sentences; written after the run.
        setting: how the test differs from the paper's.
        tier: fast or full.
        cost_s: seconds that the shipped run took on two cores, with other work beside it: an idle machine takes less;
            None where it was not measured.
        criteria: by name.
        figure: x, y and by: the axes of its figure.
    """

    name: str
    statement: str
    reference: Mapping[str, Any]
    prediction: str
    expected: Verdict
    setting: str
    tier: str
    criteria: Mapping[str, Criterion]
    note: str = ""
    discussion: str = ""
    cost_s: float | None = None
    starts: Starts | None = None
    trials: Trials | None = None
    figure: Mapping[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """The reference, short: `He, Zhang, Ren and Sun 2015`."""
        return f"{self.reference['authors']} {self.reference['year']}"


def claim_names() -> list[str]:
    """The names of the claims that ship with the suite."""
    return sorted(path.stem for path in (conf_dir() / "claim").glob("*.yaml"))


def load_claims(names: Sequence[str] = ()) -> list[Claim]:
    """The claims of these names; all without any.

    Raises:
        ConfigError: no such claim, or a file that is none.

    Example:
        >>> load_claims(["he_depth"])[0].reference["year"]
        2015
    """
    known = claim_names()
    for name in names:
        if name not in known:
            raise unknown_choice("claims", "claim", name, known)
    return [_of_file(conf_dir() / "claim" / f"{name}.yaml") for name in names or known]


@functools.cache
def _of_file(path: Path) -> Claim:
    return read_claim(path.stem, yaml.safe_load(path.read_text(encoding="utf-8")))


def read_claim(name: str, tree: Mapping[str, Any]) -> Claim:
    """A claim from the content of its file.

    Raises:
        ConfigError: a key that is missing or unknown, or a value that fits no criterion.
    """
    where = f"claim {name}"
    _check_keys(where, tree, KEYS, OPTIONAL)
    _check_keys(f"{where}: reference", tree["reference"], REFERENCE)
    if tree["name"] != name:
        raise bad_value(where, "name", tree["name"], f"the name of the file, {name}")
    if tree["tier"] not in TIERS:
        raise unknown_choice(where, "tier", tree["tier"], TIERS)
    if tree["expected"] not in list(Verdict):
        raise unknown_choice(where, "expected", tree["expected"], list(Verdict))
    parts = {"starts": _sweep(where, Starts, tree.get("starts")), "trials": _sweep(where, Trials, tree.get("trials"))}
    if not any(parts.values()):
        raise ConfigError(f"{where}: neither `starts` nor `trials`. Expected what is measured, or what is trained.")
    criteria = {str(each.get("name")): _criterion(where, each) for each in tree["criteria"]}
    if len(criteria) < len(tree["criteria"]) or not criteria:
        raise bad_value(where, "criteria", list(criteria), "at least one, each with a name of its own")
    plain = {key: value for key, value in tree.items() if key not in ("starts", "trials", "criteria", "expected")}
    return Claim(**plain, **parts, criteria=criteria, expected=Verdict(tree["expected"]))  # type: ignore[arg-type]


def _check_keys(where: str, tree: object, known: Sequence[str], optional: Sequence[str] = ()) -> None:
    if not isinstance(tree, Mapping):
        raise ConfigError(f"{where}: bad value {tree!r}. Expected keys and values: {', '.join(known)}.")
    for key in tree:
        if key not in known:
            raise unknown_choice(where, "key", key, known)
    if missing := [key for key in known if key not in tree and key not in optional]:
        raise ConfigError(f"{where}: missing `{missing[0]}`. Expected all of: {', '.join(known)}.")


def _sweep(where: str, kind: type[Starts] | type[Trials], tree: Any) -> Starts | Trials | None:
    if tree is None:
        return None
    part = kind.__name__.lower()
    own = list(kind.__dataclass_fields__)
    _check_keys(f"{where}: {part}", tree, own, own)
    lists = {key: tuple(tree.get(key) or ()) for key in ("base", "theory")}
    params = {key: _text(value) for key, value in (tree.get("params") or {}).items()}
    sweeps = tuple({key: _text(value) for key, value in axes.items()} for axes in tree.get("sweeps") or ())
    rest: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in tree.items() if key not in SWEEP
    }
    found = kind(**lists, params=params, sweeps=sweeps, **rest)
    if isinstance(found, Starts):
        check_whole_number(f"{where}: starts", "draws", found.draws, minimum=2)
    elif found.store and found.store not in SHIPPED:
        raise unknown_choice(f"{where}: trials", "store", found.store, SHIPPED)
    return found


def _text(value: object) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _criterion(where: str, tree: Mapping[str, Any]) -> Criterion:
    options = {key: value for key, value in tree.items() if key not in ("name", "kind")}
    kind = KINDS.get(str(tree.get("kind")))
    if kind is None:
        raise unknown_choice(f"{where}: criteria", "kind", tree.get("kind"), KINDS)
    known = list(kind.__dataclass_fields__)
    for key in options:
        if key not in known:
            raise unknown_choice(f"{where}: {tree['kind']}", "key", key, known)
    try:
        return kind(**options)
    except TypeError as error:
        raise ConfigError(f"{where}: {tree['kind']}: {error}. Expected: {', '.join(known)}.") from error
