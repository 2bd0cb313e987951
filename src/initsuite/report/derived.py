"""Answers worked out beforehand: tables beside the trials of stores, so that asking need not compare them again."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from initsuite.files import write_whole
from initsuite.report.tried import KINDS, Key, Tried, at_depth, depths
from initsuite.spec import PROTOCOL_VERSION

FOLDER = "derived"
"""The folder of these tables in a store."""
_CONTEXTS, _ANSWERS, _ORIGIN = "contexts.parquet", "answers.parquet", "origin.json"
_PLACE = ["context_id", "lr_rule", *KINDS, "hidden_layers"]
_ANSWER_COLUMNS = ["contexts", "by", "answer"]


@dataclass(frozen=True)
class Derived:
    """The tables.

    Attributes:
        tried: the contexts, in the order of the report.
        evidence: one row of the recommendations for each of them, in that order.
        answers: by the contexts that are asked about and the result that ranks, as JSON.
    """

    tried: tuple[Tried, ...]
    evidence: pd.DataFrame
    answers: Mapping[tuple[str, str], str]

    def answer(self, found: Iterable[Tried], by: str) -> dict[str, Any] | None:
        """The fields of the answer over these contexts; None where it was not worked out."""
        text = self.answers.get((set_name(found), by))
        return None if text is None else json.loads(text)

    def evidence_of(self, found: Iterable[Tried]) -> pd.DataFrame:
        """The rows of these contexts."""
        keys = {one.key for one in found}
        return self.evidence.loc[[one.key in keys for one in self.tried]].reset_index(drop=True)


def set_name(found: Iterable[Tried]) -> str:
    """A name for a set of contexts, whatever their order."""
    return " ".join(sorted("/".join(one.key) for one in found))


def questions(tried: Sequence[Tried]) -> list[list[Tried]]:
    """Each set of contexts that some question is about, once."""
    found: dict[str, list[Tried]] = {}
    choices = [[None, *sorted({one.kinds[name] for one in tried})] for name in KINDS]
    for values in itertools.product(*choices):
        wanted: dict[str, str | None] = dict(zip(KINDS, values, strict=True))
        chosen = [one for one in tried if all(value in (None, one.kinds[name]) for name, value in wanted.items())]
        if not chosen:
            continue
        for depth in (None, *depths(chosen)):
            for part in at_depth(chosen, depth).values():
                found[set_name(part)] = part
    return list(found.values())


def write_derived(stores: Sequence[Path], derived: Derived, origin: Mapping[str, Any]) -> None:
    """Write the tables into the first of the stores that they were derived from.

    Args:
        origin: where they come from, for people; the parts of the stores are added.
    """
    places = [[*one.key, *(one.kinds[name] for name in KINDS), one.hidden_layers] for one in derived.tried]
    contexts = pd.concat([pd.DataFrame(places, columns=_PLACE), derived.evidence], axis=1)
    rows = [(*key, answer) for key, answer in derived.answers.items()]
    answers = pd.DataFrame(rows, columns=_ANSWER_COLUMNS)
    folder = stores[0] / FOLDER
    folder.mkdir(exist_ok=True)
    for name, table in ((_CONTEXTS, contexts), (_ANSWERS, answers)):
        write_whole(folder / name, lambda path, table=table: table.to_parquet(path, index=False, compression="zstd"))
    text = json.dumps({**origin, "protocol_version": PROTOCOL_VERSION, "parts": _parts(stores)}, indent=2) + "\n"
    write_whole(folder / _ORIGIN, lambda path: path.write_text(text, encoding="utf-8"))


def read_derived(stores: Sequence[Path]) -> Derived | None:
    """What `write_derived` wrote; None where there is nothing, or it is not of these parts and this protocol."""
    folder = stores[0] / FOLDER
    try:
        origin = json.loads((folder / _ORIGIN).read_text(encoding="utf-8"))
        if origin["parts"] != _parts(stores) or origin["protocol_version"] != PROTOCOL_VERSION:
            return None
        contexts, answers = (pd.read_parquet(folder / name) for name in (_CONTEXTS, _ANSWERS))
        tried = tuple(_tried(dict(zip(_PLACE, row, strict=True))) for row in contexts[_PLACE].to_numpy().tolist())
        by_question = dict(zip(zip(answers.contexts, answers.by, strict=True), answers.answer, strict=True))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # damaged: they are worked out again
        return None
    return Derived(tried, contexts.drop(columns=_PLACE), by_question)


def _tried(row: Mapping[str, Any]) -> Tried:
    key: Key = (row["context_id"], row["lr_rule"])
    return Tried(key, {name: row[name] for name in KINDS}, int(row["hidden_layers"]))


def _parts(stores: Sequence[Path]) -> list[list[str]]:
    return [sorted(path.name for path in (store / "trials").glob("*.parquet")) for store in stores]
