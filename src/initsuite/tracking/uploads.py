"""The memory of which trials are complete on the W&B server: one file each, so that many writers can share it.

    <dir>/wandb/uploaded/<trial_id>           a trial that is done or diverged; holds the address of its run
    <dir>/wandb/uploaded/<trial_id>.failed    a trial that raised; its rerun must be uploaded too

Neither torch nor wandb is needed to read or write it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from initsuite.files import own_place
from initsuite.spec import Evaluation, Stage, Status, Trial, TrialInfo
from initsuite.tracking.labels import GROUP_AXES

if TYPE_CHECKING:  # W&B's process remembers uploads, and starts without pandas
    import pandas as pd

FAILED_SUFFIX = ".failed"


class Uploads:
    """What the server has of the trials of a results folder."""

    def __init__(self, results_dir: str | Path) -> None:
        self.directory = Path(results_dir).expanduser().absolute() / "wandb" / "uploaded"

    def add(self, trial_id: str, *, is_failed: bool = False, url: str = "") -> None:
        """Remember that the server has everything of a trial. Remembering it again changes nothing.

        Args:
            is_failed: what the server has is a failure: the trial raised.
            url: address of its run, for `load_results`.

        Raises:
            OSError: the folder cannot be written. The trial counts as missing, and is completed by the next upload.
            StoreError: it is a link that leads out of the results folder.
        """
        name = trial_id + FAILED_SUFFIX if is_failed else trial_id
        path = own_place(self.directory / name, self.directory.parents[1])
        self.directory.mkdir(parents=True, exist_ok=True)
        if url:
            path.write_text(url, encoding="utf-8")
        else:
            path.touch()

    def ids(self, *, is_failed: bool = False) -> set[str]:
        """Trials that the server has, or with `is_failed` those that it has as failures."""
        if not self.directory.is_dir():
            return set()
        names = {path.name for path in self.directory.iterdir()}
        failed = {name for name in names if name.endswith(FAILED_SUFFIX)}
        return {name.removesuffix(FAILED_SUFFIX) for name in failed} if is_failed else names - failed


@dataclass(frozen=True)
class StoredTrial:
    """One trial of the results store: its row of `trials`, and its rows of `curves` in the order of steps."""

    row: Mapping[str, Any]
    curve: pd.DataFrame

    @property
    def info(self) -> TrialInfo:
        row, experiment = self.row, self.row["experiment"]
        trial = Trial(row["cell_id"], float(row["lr"]), int(row["seed"]), Stage(row["stage"]))
        axes = {axis: row[axis] for axis in GROUP_AXES}
        tags = (experiment,) if isinstance(experiment, str) and experiment else ()
        return TrialInfo(trial, axes, json.loads(row["config"]), row["protocol"], tags)

    @property
    def evaluations(self) -> Iterator[Evaluation]:
        """The curve as evaluations of a stack of one."""
        columns = ["step", "train_loss", "val_loss", "val_score"]
        for step, *values in self.curve[columns].itertuples(index=False):
            yield Evaluation(int(step), *(np.array([value]) for value in values))


def missing_trials(
    trials: pd.DataFrame, curves: pd.DataFrame, uploads: Uploads, stages: Sequence[str]
) -> list[StoredTrial]:
    """The store's trials of these stages that the server lacks: not whole there, or a failure that succeeded since."""
    complete, failed = uploads.ids(), uploads.ids(is_failed=True)
    is_known_failure = (trials.status == Status.FAILED) & trials.trial_id.isin(failed)
    missing = trials[trials.stage.isin(stages) & ~trials.trial_id.isin(complete) & ~is_known_failure]
    curve_of = dict(iter(curves.groupby("trial_id")))
    rows = missing.to_dict("records")
    return [StoredTrial(dict(row), curve_of.get(row["trial_id"], curves.iloc[:0])) for row in rows]  # pyright: ignore[reportArgumentType]
