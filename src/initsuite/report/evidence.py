"""Which stored trials count, and why the others do not: the only reader of the store's rows in the report."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from initsuite.errors import StoreError
from initsuite.report.labels import distinct_labels
from initsuite.report.provenance import failure_notes, origin_notes, version_notes
from initsuite.spec import Stage, Status
from initsuite.store import Results
from initsuite.tuning import best_lr, lr_scores

TUNED = "tuned"
FIXED_PROTOCOL = "fixed"
_AXES = ("dataset", "model", "activation", "optimizer")


@dataclass(frozen=True)
class Arm:
    """One initializer of a context, with its evidence.

    Attributes:
        name: the initializer, with the options that tell it apart where two cells share a name.
        cell_id: of its cell.
        lr: learning rate that it is scored at.
        lr_scores: mean final validation accuracy over the tuning seeds, by lr; empty under one lr for all.
        trials: scoring trials at `lr` that are done or diverged, indexed by seed; columns of the store.
        num_failed: trials of the cell without a result.
    """

    name: str
    cell_id: str
    lr: float
    lr_scores: Mapping[float, float]
    trials: pd.DataFrame
    num_failed: int


@dataclass(frozen=True)
class Context:
    """A row of the recommendations table: what the arms have in common.

    Attributes:
        axes: dataset, model, activation, optimizer, as a person reads them.
        title: the axes and, where two contexts share them, the options that tell them apart.
        lr_rule: `tuned`, or `one lr for all: 0.1`.
        lr_grid: the configured grid; empty under one lr for all.
        chance: accuracy of a constant guess.
        levels: easy, primary and hard accuracy; None where none is frozen.
        max_steps: budget, steps.
        eval_every: steps between evaluations.
        config: of one of its cells, resolved.
        arms: by name.
    """

    context_id: str
    axes: Mapping[str, str]
    title: str
    lr_rule: str
    lr_grid: tuple[float, ...]
    chance: float
    levels: Mapping[str, float | None]
    max_steps: int
    eval_every: int
    config: Mapping[str, Any]
    arms: tuple[Arm, ...]

    @property
    def is_tuned(self) -> bool:
        return self.lr_rule == TUNED


@dataclass(frozen=True)
class Evidence:
    """All contexts of a store, and sentences on what was left out or deserves suspicion."""

    contexts: tuple[Context, ...]
    notes: tuple[str, ...]


def gather_evidence(results: Results) -> Evidence:
    """Sort the trials of a store into contexts and arms.

    Only the newest protocol version counts. An arm is scored at the best lr of its stored tuning trials, so that a
    scoring trial at an earlier choice is left out. Scoring trials of `protocol=fixed` form a row for each lr, unless
    all arms at that lr were tuned: the tuned row then says more.

    Raises:
        StoreError: the store holds no trials, or a row without the facts of its data set.
    """
    if results.trials.empty:
        raise StoreError(
            "report: the results store holds no trials. Expected at least one finished trial. "
            "Make some with: python -m initsuite.train -m init=he,xavier"
        )
    trials = results.trials.loc[results.trials.protocol_version == results.trials.protocol_version.max()]
    titles = _titles(trials)
    contexts = [
        context
        for context_id, group in trials.groupby("context_id", sort=False)
        for context in _contexts_of(str(context_id), titles[str(context_id)], group)
    ]
    contexts.sort(
        key=lambda context: (*context.axes.values(), context.title, context.lr_rule != TUNED, context.lr_rule)
    )
    notes = [
        *version_notes(results.trials),
        *(f"The damaged part `{path}` of the store was left out." for path in results.damaged),
        *failure_notes(trials),
        *_unused_notes(trials, contexts),
        *(note for context in contexts for note in _balance_notes(context)),
        *origin_notes(trials),
    ]
    return Evidence(tuple(contexts), tuple(notes))


def _titles(trials: pd.DataFrame) -> dict[str, str]:
    """A readable name for each context, different for different ones."""
    first = trials.drop_duplicates("context_id")
    labels = [" / ".join(str(row[axis]) for axis in _AXES) for _, row in first.iterrows()]
    # The initializer and the options it requires do not belong to a context.
    configs = [{**json.loads(text or "{}"), "init": None} for text in first.config]
    return dict(zip(first.context_id, distinct_labels(labels, configs, first.context_id.tolist()), strict=True))


def _contexts_of(context_id: str, title: str, trials: pd.DataFrame) -> Iterator[Context]:
    cells = trials.drop_duplicates("cell_id")
    configs = [json.loads(text or "{}") for text in cells.config]
    options = [config.get("init") for config in configs]
    names = dict(zip(cells.cell_id, distinct_labels(cells.init.tolist(), options, cells.cell_id.tolist()), strict=True))
    facts = {"context_id": context_id, "title": title, **_facts(cells.iloc[0], configs[0])}
    is_tuned = trials.cell_id.isin(trials.cell_id[trials.stage == Stage.TUNE])
    if is_tuned.any():
        yield _tuned_context(trials.loc[is_tuned], names, configs[0], facts)
    score = trials.loc[trials.stage == Stage.SCORE]
    fixed = score.loc[(score.protocol == FIXED_PROTOCOL) & ~is_tuned.loc[score.index]]
    for lr in sorted(float(lr) for lr in fixed.lr.unique()):
        arms = [_arm(names[cell], cell, group, lr, {}) for cell, group in _by_cell(score.loc[score.lr == lr])]
        yield Context(lr_rule=f"one lr for all: {lr:g}", lr_grid=(), arms=_by_name(arms), **facts)


def _tuned_context(
    trials: pd.DataFrame, names: Mapping[str, str], config: Mapping[str, Any], facts: Mapping[str, Any]
) -> Context:
    tried = sorted(float(lr) for lr in trials.lr[trials.stage == Stage.TUNE].unique())
    grid = tuple(float(lr) for lr in (config.get("optimizer") or {}).get("lr_grid") or tried)
    arms = []
    for cell, group in _by_cell(trials):
        scores = lr_scores(group.loc[group.stage == Stage.TUNE], facts["chance"])
        lr = best_lr(scores, grid, facts["chance"], facts["levels"]["hard"])
        arms.append(_arm(names[cell], cell, group, lr, scores))
    return Context(lr_rule=TUNED, lr_grid=grid, arms=_by_name(arms), **facts)


def _by_cell(trials: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for cell_id, group in trials.groupby("cell_id", sort=False):
        yield str(cell_id), group


def _facts(row: pd.Series, config: Mapping[str, Any]) -> dict[str, Any]:
    """What the configuration says of a context, by field of `Context`."""
    try:
        levels = config["dataset"].get("levels") or {}
        return {
            "axes": {axis: str(row[axis]) for axis in _AXES},
            "chance": float(config["dataset"]["chance"]),
            "levels": {name: levels.get(name) for name in ("easy", "primary", "hard")},
            "max_steps": int(config["max_steps"]),
            "eval_every": int(config["eval_every"]),
            "config": config,
        }
    except (KeyError, TypeError) as error:
        raise StoreError(
            f"report: trial `{row.trial_id}` of cell `{row.cell_id}` has no usable entry {error} in its column "
            "`config`. Expected dataset.chance, max_steps and eval_every. Its part was not written by this "
            "version: train into another results_dir."
        ) from error


def _arm(name: str, cell_id: str, trials: pd.DataFrame, lr: float, scores: Mapping[float, float]) -> Arm:
    failed = trials.status == Status.FAILED
    counted = (trials.stage == Stage.SCORE) & ~failed & np.isclose(trials.lr, lr, rtol=1e-9, atol=0)
    by_seed = trials.loc[counted].sort_values("seed").set_index("seed", drop=False)
    return Arm(name, cell_id, lr, scores, by_seed, int(failed.sum()))


def _by_name(arms: Sequence[Arm]) -> tuple[Arm, ...]:
    return tuple(sorted(arms, key=lambda arm: arm.name))


def _unused_notes(trials: pd.DataFrame, contexts: Sequence[Context]) -> list[str]:
    used = {trial_id for context in contexts for arm in context.arms for trial_id in arm.trials.trial_id}
    score = trials.loc[(trials.stage == Stage.SCORE) & (trials.status != Status.FAILED) & ~trials.trial_id.isin(used)]
    tuned = score.cell_id.isin(trials.cell_id[trials.stage == Stage.TUNE])
    notes = []
    if tuned.any():
        notes.append(
            f"{_count(int(tuned.sum()), 'scoring trial')} left out: at a learning rate that is not the best one of "
            "the stored tuning trials. The same command, run again, scores the missing ones."
        )
    if (~tuned).any():
        notes.append(
            f"{_count(int((~tuned).sum()), 'scoring trial')} left out: the cell has no tuning trials. The same "
            "command, run again, makes them."
        )
    return notes


def _balance_notes(context: Context) -> list[str]:
    """Where the arms of a context do not have the same evidence."""
    notes = []
    where = f"{context.title} ({context.lr_rule})"
    seeds = {arm.name: len(arm.trials) for arm in context.arms}
    if len(set(seeds.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in seeds.items())
        notes.append(
            f"{where}: unequal numbers of scoring seeds ({listed}); arms are compared on the seeds they share."
        )
    tried = {arm.name: set(arm.lr_scores) for arm in context.arms}
    all_lrs = set().union(*tried.values())
    for name, lrs in tried.items():
        if lrs != all_lrs:
            notes.append(f"{where}: {name} was tuned at {len(lrs)} of {len(all_lrs)} learning rates.")
    return notes


def _count(number: int, what: str) -> str:
    return f"{number} {what} is" if number == 1 else f"{number} {what}s are"
