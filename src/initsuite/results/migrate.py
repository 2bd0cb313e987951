"""Gives stored trials the column that they lack: their overrides, worked out from their stored configurations."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from initsuite.results.columns import TRIALS
from initsuite.results.leases import hold_all
from initsuite.results.maintain import put_away
from initsuite.results.parts import new_name, write_parts
from initsuite.results.store import check_store, load_results

COLUMN = "overrides"


@dataclass(frozen=True)
class Migration:
    """What a migration did, or would do.

    Attributes:
        num_filled: rows of trials that got their overrides.
        num_left: rows that hold no configuration to make them from.
        old: parts that were rewritten under another name, trials before curves.
        place: the folder that these were moved to, a store that can be merged again.
    """

    num_filled: int
    num_left: int
    old: tuple[Path, ...]
    place: Path | None


def migrate(directory: Path, is_dry: bool = False) -> Migration:
    """Fill in the overrides of all trials that lack them; a store that lacks none is left as it is.

    Args:
        is_dry: say what would be done, and change nothing.

    Raises:
        StoreError: no store, one that another command is using, or one that cannot be written.
    """
    check_store("migrate", directory)
    with contextlib.nullcontext() if is_dry else hold_all("migrate", directory):
        damaged = load_results(directory).damaged
        parts = [part for part in sorted((directory / "trials").glob("*.parquet")) if part not in damaged]
        tables = {part: pq.read_table(part) for part in parts}
        filled = {part: _filled(table) for part, table in tables.items()}
        num_left = sum(map(_num_lacking, filled.values()))
        num_filled = sum(map(_num_lacking, tables.values())) - num_left
        changed = {part: table for part, table in filled.items() if _num_lacking(table) < _num_lacking(tables[part])}
        curves = [part for name in changed if (part := directory / "curves" / name.name).exists()]
        old = (*changed, *curves)
        place = _replace(directory, changed, old) if changed and not is_dry else None
    return Migration(num_filled, num_left, old, place)


def _replace(directory: Path, changed: Mapping[Path, pa.Table], old: Sequence[Path]) -> Path:
    """Write parts, each after a copy of its curves, and put the old ones away. Returns where these are now."""
    now = new_name()
    for number, (part, table) in enumerate(changed.items()):
        curves = directory / "curves" / part.name
        beside = {"curves": curves.read_bytes()} if curves in old else {}
        write_parts(directory, f"{now}-{number}", {**beside, "trials": table})
    for part in old:
        put_away("migrate", part, directory / "pruned" / now, old)
    return directory / "pruned" / now


def _num_lacking(table: pa.Table) -> int:
    return table[COLUMN].null_count if COLUMN in table.column_names else len(table)


def _filled(table: pa.Table) -> pa.Table:
    """The table of a part with overrides wherever there is a configuration; all else as it is."""
    known = [name for name in ("config", "experiment", COLUMN) if name in table.column_names]
    rows = table.select(known).to_pylist()
    texts = [row.get(COLUMN) or _overrides(row.get("config"), row.get("experiment")) for row in rows]
    column = pa.array(texts, TRIALS.field(COLUMN).type)
    if COLUMN in known:
        return table.set_column(table.column_names.index(COLUMN), COLUMN, column)
    return table.append_column(COLUMN, column)


@functools.cache
def _overrides(config: str | None, experiment: str | None) -> str | None:
    from initsuite.config.overrides import overrides_text  # late: readers of results need no configuration

    return overrides_text(json.loads(config), experiment or "") if config else None
