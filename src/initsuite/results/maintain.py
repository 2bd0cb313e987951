"""Care for results stores, part by part: several into one, one into few parts.

Parts are never changed: a merge copies them under their names, a prune writes new ones and then puts the old ones away.
In between, a trial is there twice, which readers handle.
"""

from __future__ import annotations

import filecmp
import math
import os
import shutil
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from initsuite.errors import StoreError
from initsuite.files import write_whole
from initsuite.results.columns import FORMER_NAMES, KINDS
from initsuite.results.leases import Leases, hold_all
from initsuite.results.leftovers import leftovers, remove_leftovers
from initsuite.results.parts import checked_table, new_name, refuse_disk, write_parts
from initsuite.results.store import Results, Store, check_store, load_results
from initsuite.spec import Status

TRIALS_PER_PART = 5_000
"""In a part that a prune writes."""


@dataclass(frozen=True)
class Merged:
    """What a merge did.

    Attributes:
        num_copied: parts that the target lacked.
        num_same: parts that it had.
        num_new: trials that it has now and lacked before.
        num_known: trials of the sources that it had before.
        num_redone: those of them that had failed and are done now.
        damaged: parts of the sources that cannot be read, and were left out.
    """

    num_copied: int
    num_same: int
    num_new: int
    num_known: int
    num_redone: int
    damaged: tuple[Path, ...]


@dataclass(frozen=True)
class Pruning:
    """What a prune would do.

    Attributes:
        kept: what readers find in the store, without older protocol versions where these go.
        is_rewritten: the trials are written into new parts; else only the quarantine goes.
        left_out: how many rows or parts go, by kind.
        old: parts that go, trials before curves.
    """

    directory: Path
    kept: Results
    is_rewritten: bool
    left_out: Mapping[str, int]
    old: tuple[Path, ...]

    @property
    def num_new_parts(self) -> int:
        return len(_slices(len(self.kept.trials))) if self.is_rewritten else 0


def merge(target: Path, sources: Sequence[Path]) -> Merged:
    """Copy the parts of other stores into one, which is created when it is missing. The others stay as they are.

    Raises:
        StoreError: a source is no store, or the target itself; two parts of one name differ; the target cannot be
            written.
    """
    for source in sources:
        check_store("merge", source)
        if source.resolve() == target.resolve():
            raise StoreError(
                f"merge: the target is its own source `SOURCE`={str(source)!r}. Expected other stores. Leave it out."
            )
    store = Store(target)
    before = store.trials()
    with Leases(target) as leases:
        with leases.hold("planning"):  # so that no command that holds all leases overlooks the next one
            leases.take(f"merge-{uuid.uuid4().hex}")  # of its own: many may write, but none tidies up meanwhile
        wanted, num_same, damaged = _wanted(target, sources)
        for name, part in wanted.items():
            write_whole(target / name, lambda path, part=part: shutil.copyfile(part, path))
    after = store.trials()
    is_failed = before.status == Status.FAILED
    theirs = _rows(part for source in sources for part in (source / "trials").glob("*.parquet") if part not in damaged)
    return Merged(
        num_copied=len(wanted),
        num_same=num_same,
        num_new=len(set(after.trial_id) - set(before.trial_id)),
        num_known=len(set(theirs.trial_id) & set(before.trial_id)),
        num_redone=len(set(before.trial_id[is_failed]) & set(after.trial_id[after.status != Status.FAILED])),
        damaged=tuple(damaged),
    )


def plan_prune(directory: Path, older_versions: bool = False) -> Pruning:
    """What readers ignore in a store, and which parts would go.

    Args:
        older_versions: trials of older protocol versions go too; the report reads the newest one only.

    Raises:
        StoreError: no store, or one with columns that this version does not know.
    """
    check_store("prune", directory)
    # Curves first: if a pair of parts appears in between, its curves are not in the list.
    parts = {kind: sorted((directory / kind).glob("*.parquet")) for kind in KINDS}
    found = load_results(directory)
    parts = {
        kind: [part for part in listed if part.exists() and part not in found.damaged] for kind, listed in parts.items()
    }
    _check_columns(parts)
    trials = found.trials
    is_old = trials.protocol_version < trials.protocol_version.max()
    if older_versions:
        trials = trials.loc[~is_old].reset_index(drop=True)
    kept = Results(trials, found.curves.loc[found.curves.trial_id.isin(trials.trial_id)])
    quarantine = sorted((directory / "quarantine").glob("*"))
    left_out = _ignored(_rows(parts["trials"]), found.trials)
    left_out["trials of older protocol versions"] = int(is_old.sum()) if older_versions else 0
    is_rewritten = any(left_out.values()) or len(parts["trials"]) > len(_slices(len(trials)))
    left_out["damaged parts"] = len(quarantine)
    left_out["files that killed commands left"] = len(leftovers(directory))
    old = [*parts["trials"], *parts["curves"]] if is_rewritten else []
    return Pruning(directory, kept, is_rewritten, left_out, (*old, *quarantine))


def prune(directory: Path, older_versions: bool = False, delete: bool = False) -> tuple[Pruning, Path | None]:
    """Rewrite a store into few parts without what readers ignore.

    Args:
        older_versions: as for `plan_prune`.
        delete: remove the old parts; else they are moved.

    Returns:
        What was done, and the folder that the old parts are in: a store that can be merged again.

    Raises:
        StoreError: no store, one that another command is using, or one that cannot be written.
    """
    check_store("prune", directory)
    with hold_all("prune", directory):
        left = leftovers(directory)  # before all else: a launch between two stacks may soon write again
        plan = plan_prune(directory, older_versions)
        now = new_name()
        if plan.is_rewritten:
            _write(plan, now)
        place = directory / "pruned" / now if plan.old and not delete else None
        for part in plan.old:
            put_away("prune", part, place, plan.old)
        remove_leftovers(left)
    return plan, place


def _wanted(target: Path, sources: Sequence[Path]) -> tuple[dict[str, Path], int, list[Path]]:
    """Parts that the target lacks, by name, curves first; how many it has; the damaged ones."""
    wanted: dict[str, Path] = {}
    num_same, damaged = 0, []
    for part in (part for kind in KINDS for source in sources for part in sorted((source / kind).glob("*.parquet"))):
        name = f"{part.parent.name}/{part.name}"
        there = wanted.get(name, target / name)
        if there.exists() and filecmp.cmp(part, there, shallow=False):
            num_same += 1
        elif not _is_whole(part):
            damaged.append(part)
        elif there.exists():
            raise StoreError(
                f"merge: `{part}` and `{there}` have the same name and different content. Expected parts as they were "
                "written: no command changes one. Find the store that was edited, and leave it out."
            )
        else:
            wanted[name] = part
    return wanted, num_same, damaged


def _is_whole(part: Path) -> bool:
    try:
        checked_table(part)
    except (pa.ArrowException, OSError) as error:
        refuse_disk("merge", part, error)
        return False
    return True


def _rows(parts: Iterable[Path]) -> pd.DataFrame:
    """The ids and states of the trials in parts, repeated ones too."""
    columns = ["trial_id", "status"]
    tables = [pq.read_table(part, columns=columns).to_pandas() for part in parts]
    return pd.concat(tables or [pd.DataFrame(columns=columns, dtype=str)])


def _ignored(rows: pd.DataFrame, trials: pd.DataFrame) -> dict[str, int]:
    """How many rows no reader sees, by the reason."""
    is_failed = rows.status == Status.FAILED
    is_done_later = is_failed & rows.trial_id.isin(trials.trial_id[trials.status != Status.FAILED])
    is_lost = ~is_failed & ~rows.trial_id.isin(trials.trial_id)
    done_later, lost = int(is_done_later.sum()), int(is_lost.sum())
    return {
        "repeated rows": len(rows) - len(trials) - done_later - lost,
        "failures of trials that were done later": done_later,
        "trials whose curve is lost": lost,
    }


def _check_columns(parts: Mapping[str, Sequence[Path]]) -> None:
    for kind, listed in parts.items():
        for part in listed:
            unknown = set(pq.read_schema(part).names) - set(KINDS[kind].names) - FORMER_NAMES.keys()
            if unknown:
                raise StoreError(
                    f"prune: `{part}` has unknown columns `{', '.join(sorted(unknown))}`, which would be lost. "
                    "Expected parts of this version of initsuite or an older one. Prune with the version that wrote it."
                )


def _slices(num_trials: int) -> list[slice]:
    """The trials of each new part, all about equally many."""
    num_parts = math.ceil(num_trials / TRIALS_PER_PART)
    return [slice(num_trials * i // num_parts, num_trials * (i + 1) // num_parts) for i in range(num_parts)]


def _write(plan: Pruning, name: str) -> None:
    """Write the kept trials as pairs of parts of the same name, as readers expect them."""
    for number, chosen in enumerate(_slices(len(plan.kept.trials))):
        trials = plan.kept.trials.iloc[chosen]
        curves = plan.kept.curves.loc[plan.kept.curves.trial_id.isin(trials.trial_id)]
        tables = {
            kind: pa.Table.from_pandas(rows, schema=KINDS[kind], preserve_index=False)
            for kind, rows in (("curves", curves), ("trials", trials))
        }
        write_parts(plan.directory, f"{name}-{number}", tables)


def put_away(where: str, part: Path, place: Path | None, old: Sequence[Path]) -> None:
    """Move or remove a part, unless it holds the curves of trials that were stored just now.

    Args:
        old: all parts that go.

    Raises:
        StoreError: it cannot be moved.
    """
    beside = part.parent.parent / "trials" / part.name
    if part.parent.name == "curves" and beside not in old and beside.exists():
        return
    try:
        if place is None:
            part.unlink(missing_ok=True)
        else:
            (place / part.parent.name).mkdir(parents=True, exist_ok=True)
            os.replace(part, place / part.parent.name / part.name)
    except OSError as error:
        raise StoreError(
            f"{where}: cannot put `{part}` away: {error.strerror or error}. Expected permission to change the folder. "
            "Nothing is lost, and readers drop what is there twice: fix the disk and run the command again."
        ) from error
