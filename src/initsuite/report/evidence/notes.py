"""Sentences on the trials of a report: their origin, those that no row uses, and arms without the same evidence."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from initsuite.errors import as_overrides
from initsuite.provenance import short_commit
from initsuite.report.evidence.context import Context
from initsuite.spec import Stage, Status
from initsuite.wording import format_count, format_range, last_line


def unused_notes(trials: pd.DataFrame, contexts: Sequence[Context]) -> list[str]:
    """Scoring trials with a result that are in no row."""
    used = {trial_id for context in contexts for arm in context.arms for trial_id in arm.trials.trial_id}
    score = trials.loc[(trials.stage == Stage.SCORE) & (trials.status != Status.FAILED) & ~trials.trial_id.isin(used)]
    tuned = score.cell_id.isin(trials.cell_id[trials.stage == Stage.TUNE])
    tuned_arms = [arm for context in contexts if context.is_tuned for arm in context.arms]
    scored = {(arm.cell_id, seed) for arm in tuned_arms for seed in arm.trials.seed}
    is_replaced = pd.Series([pair in scored for pair in zip(score.cell_id, score.seed, strict=True)], score.index, bool)
    reasons = {
        "at an earlier best learning rate.": tuned & is_replaced,
        "at a learning rate that is not the best one of the stored tuning trials, where their seeds are missing. The "
        "same command, run again, scores the missing ones.": tuned & ~is_replaced,
        "the cell has no tuning trials. The same command, run again, makes them.": ~tuned,
    }
    counts = {reason: int(which.sum()) for reason, which in reasons.items()}
    return [
        f"{format_count(count, 'scoring trial')} {'is' if count == 1 else 'are'} left out: {reason}"
        for reason, count in counts.items()
        if count
    ]


def balance_notes(context: Context) -> list[str]:
    """Says where the arms of a context differ in their evidence or their model."""
    notes = []
    where = f"{context.title} ({context.lr_rule})"
    model = context.config.get("model") or {}
    for arm in context.arms:
        requires = arm.options.get("requires") or {}
        if any(model.get(key.removeprefix("model.")) != value for key, value in requires.items()):
            notes.append(f"{where}: {arm.name} trains the model that it requires ({as_overrides(requires)}).")
    seeds = {arm.name: len(arm.trials) for arm in context.arms}
    if len(set(seeds.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in seeds.items())
        shared = "arms are compared on the seeds they share"
        notes.append(f"{where}: unequal numbers of scoring seeds ({listed}); {shared}.")
    tried = {arm.name: set(arm.lr_scores) for arm in context.arms}
    all_lrs = set().union(*tried.values())
    for name, lrs in tried.items():
        if lrs != all_lrs:
            notes.append(f"{where}: {name} was tuned at {len(lrs)} of {len(all_lrs)} learning rates.")
    if any(len({arm.tuning_seeds.get(lr) for arm in context.arms} - {None}) > 1 for lr in all_lrs):
        tuned = [arm for arm in context.arms if arm.tuning_seeds]
        listed = ", ".join(f"{arm.name} {format_range(arm.tuning_seeds.values())}" for arm in tuned)
        notes.append(
            f"{where}: unequal numbers of tuning seeds at a learning rate ({listed}); an arm with more has its best "
            "one chosen with less noise. The same protocol for all arms makes them equal."
        )
    return notes


def version_notes(trials: pd.DataFrame) -> list[str]:
    """Trials of older protocol versions, which are left out."""
    newest = trials.protocol_version.max()
    older = trials.protocol_version[trials.protocol_version != newest]
    return [
        f"{count} trials of protocol version {version} are left out: their numbers do not compare with those of "
        f"version {newest}."
        for version, count in sorted(older.value_counts().items())
    ]


def failure_notes(trials: pd.DataFrame) -> list[str]:
    """Failed trials, by initializer, with the last line of one traceback."""
    failed = trials[trials.status == Status.FAILED]
    if failed.empty:
        return []
    by_init = ", ".join(f"{name} {count}" for name, count in failed.init.value_counts().items())
    line = last_line(failed.error.iloc[-1])
    reason = f' The last one ended with "{line}".' if line else ""
    return [f"Failed trials, left out: {by_init}.{reason} The same command, run again, repeats only those."]


def origin_notes(trials: pd.DataFrame) -> list[str]:
    """Says where trials may come from different code."""
    notes = []
    commits = commits_of(trials.assign(dirty=False))
    if len(commits) > 1:
        notes.append(f"Trials come from {len(commits)} commits ({', '.join(commits)}): their code may differ.")
    dirty = int(trials.dirty.fillna(False).astype(bool).sum())
    if dirty:
        notes.append(f"{dirty} of {len(trials)} trials come from a working tree with uncommitted changes.")
    return notes


def commits_of(trials: pd.DataFrame) -> list[str]:
    """The code that trials come from, short, in the order of the rows; it says where there were uncommitted changes.

    Example:
        >>> commits_of(pd.DataFrame({"commit": ["a" * 40, "version 0.1.0"], "dirty": [True, False]}))
        ['aaaaaaaaa (uncommitted changes)', 'version 0.1.0']
    """
    named = trials.loc[trials.commit.fillna("") != ""]
    dirty = set(named.commit[named.dirty.fillna(False).astype(bool)])
    names = map(str, named.commit.unique())
    return [short_commit(name) + (" (uncommitted changes)" if name in dirty else "") for name in names]
