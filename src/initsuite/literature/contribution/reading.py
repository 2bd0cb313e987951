"""The folder of a contribution: what it states, what it holds, and its code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from initsuite.errors import StoreError
from initsuite.literature.claim import Claim
from initsuite.literature.release import CLAIM_FILE, claim_in
from initsuite.results.store import Results, load_results

START_COLUMNS = ("cell", "seed", "measures", "config")
"""In every table of measured starts, beside what was measured."""
NO_TRIALS = Results(pd.DataFrame(), pd.DataFrame())


@dataclass(frozen=True)
class Contribution:
    """What a folder holds.

    Attributes:
        claim: what it states; None for an initializer alone.
        results: its trials with their curves; none where only starts were measured.
        starts: what was measured before the first step, a table for each cell.
    """

    folder: Path
    claim: Claim | None
    results: Results
    starts: tuple[pd.DataFrame, ...]

    @property
    def modules(self) -> list[str]:
        """The names of its own modules."""
        return sorted(path.stem for path in self.folder.glob("*.py"))


def read_contribution(folder: Path) -> Contribution:
    """Read a folder: `claim.yaml`, own modules, and the Parquet rows in trials, curves and starts.

    Raises:
        ConfigError: `claim.yaml` states no claim.
        StoreError: no rows, or damaged ones.
    """
    claim = claim_in(folder) if (folder / CLAIM_FILE).is_file() else None
    has_trials = (folder / "trials").is_dir()
    starts = tuple(_start_table(path) for path in sorted((folder / "starts").glob("*.parquet")))
    results = load_results(folder) if has_trials else NO_TRIALS
    if results.damaged:
        raise StoreError(f"check: damaged `{results.damaged[0]}`. Expected Parquet parts as they were written.")
    if results.trials.empty and not starts:
        raise StoreError(
            f"check: no rows in `FOLDER`={str(folder)!r}. Expected trials/ and curves/, as initsuite train "
            "results_dir=FOLDER writes them, or starts/ of a claim."
        )
    if starts and (claim is None or claim.starts is None):
        raise StoreError(
            f"check: `{folder / 'starts'}` belongs to no claim. Expected a {CLAIM_FILE} with `starts`, which says what "
            "was measured."
        )
    return Contribution(folder, claim, results, starts)


def _start_table(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow raises the latter
        raise StoreError(f"check: damaged `{path}`: {error}. Expected a Parquet file as it was written.") from error
    missing = [name for name in START_COLUMNS if name not in table.columns]
    if missing or table.empty:
        raise StoreError(
            f"check: no `{missing[0] if missing else 'rows'}` in `{path}`. Expected the draws of a cell, with "
            f"{', '.join(START_COLUMNS)}, as initsuite claims run writes them."
        )
    return table


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Have the modules of a folder importable, before all others; afterwards they are forgotten."""
    place = str(folder.resolve())
    sys.path.insert(0, place)
    try:
        yield
    finally:
        sys.path.remove(place)
        for name, module in list(sys.modules.items()):
            if Path(getattr(module, "__file__", None) or "/").is_relative_to(place):
                del sys.modules[name]
