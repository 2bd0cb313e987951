"""Stored trials as the live sink saw them: what their W&B runs are built from when they are uploaded later."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from initsuite.sinks.labels import GROUP_AXES
from initsuite.sinks.uploads import Uploads
from initsuite.spec import Evaluation, Stage, Status, Trial, TrialInfo


@dataclass(frozen=True)
class StoredTrial:
    """One trial of the results store.

    Attributes:
        row: columns of the store's `trials`.
        curve: columns of the store's `curves`, in the order of steps.
    """

    row: Mapping[str, Any]
    curve: pd.DataFrame

    @property
    def info(self) -> TrialInfo:
        row = self.row
        experiment = row["experiment"]
        return TrialInfo(
            trial=Trial(row["cell_id"], float(row["lr"]), int(row["seed"]), Stage(row["stage"])),
            axes={axis: row[axis] for axis in GROUP_AXES},
            config=json.loads(row["config"]),
            protocol=row["protocol"],
            tags=(experiment,) if isinstance(experiment, str) and experiment else (),
        )

    @property
    def evaluations(self) -> Iterator[Evaluation]:
        """The curve as evaluations of a stack of one."""
        columns = ["step", "train_loss", "val_loss", "val_score"]
        for step, *values in self.curve[columns].itertuples(index=False):
            yield Evaluation(int(step), *(np.array([value]) for value in values))


def missing_trials(
    trials: pd.DataFrame, curves: pd.DataFrame, uploads: Uploads, stages: Sequence[str]
) -> list[StoredTrial]:
    """The trials that the server lacks: those it has not whole, and those it has as failures that succeeded since.

    Args:
        trials: of the store.
        curves: of the store, by trial and step.
        uploads: what the server has.
        stages: of the trials that are wanted.
    """
    complete, failed = uploads.ids(), uploads.ids(is_failed=True)
    is_known_failure = (trials.status == Status.FAILED) & trials.trial_id.isin(failed)
    missing = trials[trials.stage.isin(stages) & ~trials.trial_id.isin(complete) & ~is_known_failure]
    curve_of = dict(iter(curves.groupby("trial_id")))
    rows = missing.to_dict("records")
    return [StoredTrial(dict(row), curve_of.get(row["trial_id"], curves.iloc[:0])) for row in rows]  # pyright: ignore[reportArgumentType]
