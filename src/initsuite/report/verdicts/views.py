"""The data behind every picture and table of the report, computed once: what pages, figures and notebooks show."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from initsuite.report.verdicts import across
from initsuite.report.verdicts.bands import LOSSES, SCORE, curve_bands, lr_sensitivity
from initsuite.report.verdicts.heat import by_activation, by_depth
from initsuite.report.verdicts.recommendations import Report
from initsuite.report.verdicts.scorecard import scorecard, scorecard_table, votes_table
from initsuite.report.verdicts.starts import starts_table
from initsuite.report.verdicts.worth import worth_table, worths
from initsuite.report.verdicts.worth_answers import worth_answers
from initsuite.report.verdicts.worth_summary import worth_summary
from initsuite.spec import Stage, Status
from initsuite.wording import last_line

TRIAL_COLUMNS = [
    "context", "init", "stage", "lr", "seed", "status", "counts", "steps_to_target", "loss_auc",
    "final_val_score", "test_score", "diverged_at", "setup_s", "wall_s", "trial_id",
]  # fmt: skip
FAILURE_COLUMNS = [
    "context", "lr_rule", "init", "num_seeds", "num_diverged", "diverges_from_lr", "num_failed", "near_chance",
    "last_error",
]  # fmt: skip


@dataclass(frozen=True)
class Views:
    """The tables of a report, each made when it is first needed; the functions say what they hold.

    Attributes:
        report: the report behind them.
        block: what the comparisons across contexts are based on.
    """

    report: Report

    curves = cached_property(lambda self: curve_bands(self.report))
    losses = cached_property(lambda self: {measure: curve_bands(self.report, measure) for measure in LOSSES})
    bands = cached_property(lambda self: {SCORE: self.curves, **self.losses})
    lr_sensitivity = cached_property(lambda self: lr_sensitivity(self.report))
    block = cached_property(lambda self: across.complete_block(across.main_comparisons(self.report)))
    profiles = cached_property(lambda self: across.profiles(self.block))
    aggregates = cached_property(lambda self: across.aggregates(self.block))
    ranks = cached_property(lambda self: across.ranks(self.block))
    tuning_budget = cached_property(lambda self: across.tuning_budget(self.block))
    by_activation = cached_property(lambda self: by_activation(self.report, self.block))
    by_depth = cached_property(lambda self: by_depth(self.report))
    scores = cached_property(lambda self: scorecard(self.report))
    scorecard = cached_property(lambda self: scorecard_table(self.scores))
    votes = cached_property(lambda self: votes_table(self.scores))
    starts = cached_property(lambda self: starts_table(self.report))
    worths = cached_property(lambda self: worths(self.report))
    worth = cached_property(lambda self: worth_table(self.worths))
    worth_summary = cached_property(lambda self: worth_summary(self.worths))
    worth_answers = cached_property(lambda self: worth_answers(self.worths))

    @cached_property
    def trials(self) -> pd.DataFrame:
        """All trials of the newest protocol version, columns `TRIAL_COLUMNS`; `counts`: it is in a recommendation."""
        titles = {found.context.context_id: found.context.title for found in self.report.comparisons}
        trials = self.report.trials
        table = trials.assign(context=trials.context_id.map(titles), counts=trials.trial_id.isin(self.report.counted))
        return table[TRIAL_COLUMNS].sort_values(["context", "init", "stage", "lr", "seed"], ignore_index=True)

    @cached_property
    def failures(self) -> pd.DataFrame:
        """Arms with a diverged scoring trial, a failed trial, or near chance; columns `FAILURE_COLUMNS`.

        `num_diverged` counts scoring trials; `diverges_from_lr` is the lowest lr at which a tuning trial diverged. That
        is no failure by itself: on a grid that is wide enough, every initializer diverges somewhere.
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
        return table.loc[bad, FAILURE_COLUMNS].reset_index(drop=True)
