"""The data behind every picture and table of the report, computed once: what pages, figures and notebooks show."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from initsuite.report.verdicts.across import (
    Block,
    Ranks,
    aggregates,
    complete_block,
    main_comparisons,
    profiles,
    ranks,
    tuning_budget,
)
from initsuite.report.verdicts.bands import curve_bands, lr_sensitivity
from initsuite.report.verdicts.heat import by_activation, by_depth
from initsuite.report.verdicts.recommendations import Report
from initsuite.report.verdicts.scorecard import Score, scorecard, scorecard_table, votes_table
from initsuite.spec import Stage, Status
from initsuite.wording import last_line

TRIAL_COLUMNS = [
    *("context", "init", "stage", "lr", "seed", "status", "counts", "steps_to_target", "loss_auc"),
    *("final_val_score", "test_score", "diverged_at", "setup_s", "wall_s", "trial_id"),
]
FAILURE_COLUMNS = [
    *("context", "lr_rule", "init", "num_seeds", "num_diverged", "diverges_from_lr", "num_failed", "near_chance"),
    "last_error",
]


@dataclass(frozen=True)
class Views:
    """The tables of a report, each made when it is first asked for.

    Attributes:
        report: that they are views of.
    """

    report: Report

    @cached_property
    def curves(self) -> pd.DataFrame:
        """See `curve_bands`."""
        return curve_bands(self.report)

    @cached_property
    def lr_sensitivity(self) -> pd.DataFrame:
        """See `lr_sensitivity`."""
        return lr_sensitivity(self.report)

    @cached_property
    def block(self) -> Block:
        """What the comparisons across contexts stand on."""
        return complete_block(main_comparisons(self.report))

    @cached_property
    def profiles(self) -> pd.DataFrame:
        """See `profiles`."""
        return profiles(self.block)

    @cached_property
    def aggregates(self) -> pd.DataFrame:
        """See `aggregates`."""
        return aggregates(self.block)

    @cached_property
    def ranks(self) -> Ranks | None:
        """See `ranks`."""
        return ranks(self.block)

    @cached_property
    def tuning_budget(self) -> pd.DataFrame:
        """See `tuning_budget`."""
        return tuning_budget(self.block)

    @cached_property
    def by_activation(self) -> pd.DataFrame:
        """See `heat.by_activation`."""
        return by_activation(self.report, self.block)

    @cached_property
    def by_depth(self) -> pd.DataFrame:
        """See `heat.by_depth`."""
        return by_depth(self.report)

    @cached_property
    def scores(self) -> tuple[Score, ...]:
        """See `scorecard`."""
        return scorecard(self.report)

    @cached_property
    def scorecard(self) -> pd.DataFrame:
        """See `scorecard_table`."""
        return scorecard_table(self.scores)

    @cached_property
    def votes(self) -> pd.DataFrame:
        """See `votes_table`."""
        return votes_table(self.scores)

    @cached_property
    def trials(self) -> pd.DataFrame:
        """All trials of the newest protocol version, columns `TRIAL_COLUMNS`; `counts`: it is in a recommendation."""
        arms = [standing.arm for comparison in self.report.comparisons for standing in comparison.standings]
        counted = {trial_id for arm in arms for trial_id in arm.trials.trial_id}
        titles = {found.context.context_id: found.context.title for found in self.report.comparisons}
        trials = self.report.trials
        table = trials.assign(context=trials.context_id.map(titles), counts=trials.trial_id.isin(counted))
        return table[TRIAL_COLUMNS].sort_values(["context", "init", "stage", "lr", "seed"], ignore_index=True)

    @cached_property
    def failures(self) -> pd.DataFrame:
        """Arms with a diverged or failed trial, or near chance; columns `FAILURE_COLUMNS`.

        `num_diverged` counts scoring trials; `diverges_from_lr` is the least learning rate at which a tuning trial
        diverged.
        """
        trials = self.report.trials
        tuned = trials[(trials.stage == Stage.TUNE) & (trials.status == Status.DIVERGED)]
        least = tuned.groupby("cell_id").lr.min()
        errors = trials[trials.status == Status.FAILED].groupby("cell_id").error.last()
        arms = self.report.arms
        table = arms.assign(
            diverges_from_lr=arms.cell_id.map(least).astype(float),
            last_error=arms.cell_id.map(errors).map(last_line),
        )
        bad = (table.num_diverged > 0) | (table.num_failed > 0) | table.near_chance.astype(bool)
        bad |= np.isfinite(table.diverges_from_lr)
        return table.loc[bad, FAILURE_COLUMNS].reset_index(drop=True)
