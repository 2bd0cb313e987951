"""The results store: a folder of immutable Parquet parts, appended to by any number of writers.

    <dir>/trials/*.parquet    one row per trial
    <dir>/curves/*.parquet    one row per evaluation of a trial
    <dir>/quarantine/         damaged parts and plans, moved here when they are found
    <dir>/wandb/uploaded/*    address of the W&B run of a trial, written by its sink

A part is written under a temporary name and renamed, its curves before its trials: a listed trial has its curve. Any
tool that reads Parquet reads the store; readers here also drop repeated trials.
"""

from __future__ import annotations

import stat
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeGuard

import pandas as pd
import pyarrow as pa

from initsuite.errors import StoreError
from initsuite.results.columns import CURVES, KINDS, TRIALS
from initsuite.results.parts import PartReader, new_name, write_parts
from initsuite.spec import Curve, Status, short_hash

_MEASURED = (
    "steps_to_easy", "steps_to_target", "steps_to_hard", "loss_auc",
    "final_val_score", "best_val_score", "test_score", "diverged_at",
)  # fmt: skip
"""Columns of `TRIALS` that two stores of the same trials agree on, besides the status."""

LONGEST_ERROR = 20_000
"""Characters of a traceback that are kept."""

_IDS = pa.schema({"trial_id": pa.string()})


@dataclass(frozen=True)
class Results:
    """What a store holds.

    Attributes:
        trials: one row per trial, columns of `TRIALS`; a repeated trial appears once.
        curves: one row per evaluation, columns of `CURVES`, of the trials in `trials`, by trial and step.
        damaged: parts that could not be read.
        links: by trial_id, the address of its W&B run where it is known.
    """

    trials: pd.DataFrame
    curves: pd.DataFrame
    damaged: list[Path] = field(default_factory=list)
    links: Mapping[str, str] = field(default_factory=dict)


class Store:
    """Append-only access to a results folder, which is made when it is missing.

    Raises:
        StoreError: the folder cannot be made or written.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self._reader = PartReader(self.directory, _without_curves)
        self._table: tuple[list[Path], pd.DataFrame] | None = None  # what `trials` has put together, and out of what
        self._seen: set[str] = set()
        self._stored: set[str] = set()
        try:
            for kind in ("trials", "curves"):
                (self.directory / kind).mkdir(parents=True, exist_ok=True)
            probe = self.directory / f".writable-{uuid.uuid4().hex}"
            probe.touch()
            probe.unlink(missing_ok=True)  # another command may tidy up
        except OSError as error:
            raise StoreError(
                f"store: cannot write to `results_dir`={str(self.directory)!r}: {error.strerror}. "
                "Expected a folder that can be made and written. Choose another with results_dir=DIR."
            ) from error

    def append(self, rows: Sequence[Mapping[str, Any]], curves: Mapping[str, Curve]) -> None:
        """Store finished trials with their curves.

        Args:
            rows: one mapping per trial with the columns of `TRIALS`; `written_at` is added where it is missing.
            curves: by trial_id.
        """
        now = datetime.now(UTC).isoformat()
        evaluations = [
            dict(zip(CURVES.names, (trial_id, *values), strict=True))
            for trial_id, curve in curves.items()
            for values in zip(*(getattr(curve, name).tolist() for name in CURVES.names[1:]), strict=True)
        ]
        dated = [{**_storable(row), "written_at": row.get("written_at") or now} for row in rows]
        tables = {
            kind: pa.Table.from_pandas(pd.DataFrame(content, columns=KINDS[kind].names), KINDS[kind], False)
            for kind, content in (("curves", evaluations), ("trials", dated))
        }
        self._seen.add(write_parts(self.directory, new_name(), tables))
        self._stored |= {row["trial_id"] for row in rows if row["status"] != Status.FAILED}

    def read(self) -> Results:
        return load_results(self.directory)

    def trials(self) -> pd.DataFrame:
        """The trials alone, as `read` gives them. Cheap to call again: only parts that are new are read."""
        tables = self._reader.together()
        if self._table is None or self._table[0] != [*tables]:
            trials, curves = _of_kind("trials", tables, TRIALS), _of_kind("curves", tables, _IDS)
            self._table = [*tables], _drop_lost(_drop_repeats(trials), curves.trial_id)
        return self._table[1].copy(deep=False)

    def stored(self) -> set[str]:
        """Ids of the trials that are stored and did not fail. Called before every stack, it looks at new parts only."""
        for part in sorted((self.directory / "trials").glob("*.parquet")):
            if part.name in self._seen:
                continue
            if not (self.directory / "curves" / part.name).exists():  # curves in parts of other names, or lost
                trials = self.trials()
                return self._stored | set(trials.trial_id[trials.status != Status.FAILED])
            self._seen.add(part.name)
            self._stored |= self._good_ids(part.name)
        return set(self._stored)

    def _good_ids(self, name: str) -> set[str]:
        """The same from one pair of parts, which is read and checked whole."""
        trials, curves = (self._reader.get(self.directory / kind / name) for kind in ("trials", "curves"))
        if trials is None or curves is None:
            return set()
        known = set(curves["trial_id"].to_pylist())
        pairs = zip(trials["trial_id"].to_pylist(), trials["status"].to_pylist(), strict=True)
        return {trial_id for trial_id, status in pairs if status != Status.FAILED and trial_id in known}


def _storable(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose texts can be written: a character that is none is escaped, the middle of a long error left out.

    One trial's odd text must not keep those of a whole part from being stored.
    """
    texts = {name: value.encode(errors="backslashreplace").decode() for name, value in row.items() if _is_text(value)}
    error = texts.get("error", "")
    if len(error) > LONGEST_ERROR:
        half = LONGEST_ERROR // 2
        texts["error"] = f"{error[:half]}\n... {len(error) - 2 * half:,} characters left out ...\n{error[-half:]}"
    return {**row, **texts}


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str)


def load_results(directory: str | Path = "results") -> Results:
    """Read a results store into pandas.

    Raises:
        StoreError: the folder is not a results store.
    """
    directory = Path(directory)
    check_store("load_results", directory, "directory")
    reader = PartReader(directory)
    tables = reader.together()
    trials, curves = _once(_of_kind("trials", tables, TRIALS), _of_kind("curves", tables, CURVES))
    return Results(trials, curves, reader.damaged, _links(directory, set(trials.trial_id)))


def together(found: Sequence[Results]) -> Results:
    """The results of several stores as one has them: a trial that several hold counts once."""
    trials, curves = (
        pd.concat([getattr(one, kind) for one in found], ignore_index=True) for kind in ("trials", "curves")
    )
    links = {trial_id: url for one in found for trial_id, url in one.links.items()}
    return Results(*_once(trials, curves), [part for one in found for part in one.damaged], links)


def _once(trials: pd.DataFrame, curves: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Each trial that has its curve, and each of its evaluations, once."""
    curves = curves.drop_duplicates(["trial_id", "step"])
    trials = _drop_lost(_drop_repeats(trials), curves.trial_id)
    kept = curves[curves.trial_id.isin(trials.trial_id)]
    return trials, kept.sort_values(["trial_id", "step"], ignore_index=True)


def check_store(where: str, directory: Path, name: str = "DIR") -> None:
    """Refuse what is no results store; `name` is the option or argument that chose the folder.

    Raises:
        StoreError: there is no folder of trials.
    """
    if not (directory / "trials").is_dir():
        raise StoreError(
            f"{where}: no results store at `{name}`={str(directory)!r}. Expected a folder with trials/ and curves/, "
            "the results_dir of a command that trained. Make one with: python -m initsuite.train results_dir=DIR"
        )


def store_hash(trials: pd.DataFrame) -> str:
    """16 hexadecimal digits of what was measured: the same trials give the same ones, however their parts are cut.

    Args:
        trials: a table with the columns of the store; repeated trials count once.
    """
    once = _drop_repeats(trials).sort_values("trial_id")
    columns = [once.trial_id.tolist(), once.status.tolist(), *(once[name].astype(float).tolist() for name in _MEASURED)]
    return short_hash(list(zip(*columns, strict=True)))


def _links(directory: Path, trial_ids: set[str]) -> dict[str, str]:
    """The addresses that `tracking.uploads` has left in a results folder."""
    folder = directory / "wandb" / "uploaded"
    paths = sorted(folder.iterdir(), reverse=True) if folder.is_dir() else []  # a failure before its good rerun
    known = [path for path in paths if path.name.removesuffix(".failed") in trial_ids and _is_own_file(path)]
    texts = {path.name.removesuffix(".failed"): path.read_bytes().decode(errors="replace").strip() for path in known}
    return {trial_id: url for trial_id, url in texts.items() if _is_address(url)}


def _is_own_file(path: Path) -> bool:
    """Whether it is a file, and no link or device, which may have no end."""
    return stat.S_ISREG(path.lstat().st_mode)


def _is_address(text: str) -> bool:
    return text.startswith(("https://", "http://")) and text.isascii() and text.isprintable() and " " not in text


def _drop_lost(trials: pd.DataFrame, with_curve: pd.Series) -> pd.DataFrame:
    """Without the trials whose curve was in a damaged part."""
    lost = (trials.status != Status.FAILED) & ~trials.trial_id.isin(with_curve.unique())
    return trials[~lost].reset_index(drop=True)


def _of_kind(kind: str, tables: Mapping[Path, pa.Table], schema: pa.Schema) -> pd.DataFrame:
    """The rows of all parts of a kind."""
    found = [table for part, table in tables.items() if part.parent.name == kind]
    return pa.concat_tables(found or [schema.empty_table()]).to_pandas()


def _without_curves(kind: str, table: pa.Table) -> pa.Table:
    """Of curves, which trials have one."""
    return pa.table([table["trial_id"].unique()], _IDS) if kind == "curves" else table


def _drop_repeats(trials: pd.DataFrame) -> pd.DataFrame:
    """One row per trial: the first that did not fail, else the last failure."""
    if trials.trial_id.is_unique:
        return trials.sort_values(["written_at", "trial_id"], ignore_index=True)
    failed = trials.status == Status.FAILED
    order = ["written_at", "overrides"]  # a migrated copy before one without overrides
    good = trials[~failed].sort_values(order).drop_duplicates("trial_id", keep="first")
    bad = trials[failed & ~trials.trial_id.isin(good.trial_id)].sort_values(order, na_position="first")
    bad = bad.drop_duplicates("trial_id", keep="last")
    return pd.concat([good, bad] if len(bad) else [good]).sort_values(["written_at", "trial_id"], ignore_index=True)
