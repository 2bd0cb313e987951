"""Which stored trials count, and why the others do not: the only part of the report that reads the store's rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from initsuite.errors import ConfigError, StoreError
from initsuite.protocol.tuning import best_lr, lr_scores
from initsuite.protocol.yardstick import LEVELS, LOSS_UNITS, Yardstick
from initsuite.report.evidence.context import TUNED, Arm, Context
from initsuite.report.evidence.labels import distinct_labels
from initsuite.report.evidence.levels import level_notes, newest, with_steps
from initsuite.report.evidence.notes import balance_notes, failure_notes, origin_notes, unused_notes, version_notes
from initsuite.results.store import Results
from initsuite.spec import CONTEXT_AXES, Stage, Status

FIXED_PROTOCOL = "fixed"


@dataclass(frozen=True)
class Evidence:
    """All contexts of a store, and sentences on what was left out or deserves suspicion.

    Attributes:
        trials: those of the newest protocol version, columns of the store; steps read off the curves.
    """

    contexts: tuple[Context, ...]
    notes: tuple[str, ...]
    trials: pd.DataFrame


def gather_evidence(results: Results) -> Evidence:
    """Sort the trials of a store into contexts and arms.

    Only the newest protocol version counts. Levels, chance and the lr grid of a context are those of its newest trial,
    that is, of the last command; steps to a level are read off the curves. An arm is scored at the best lr of its
    stored tuning trials, so that a scoring trial at an earlier choice is left out. Each lr with scoring trials of
    `protocol=fixed` has a row of its own, which holds all scoring trials of the context at that lr.

    Raises:
        StoreError: the store holds no trials, or a row without the facts of its data set.
    """
    if results.trials.empty:
        expected = "Expected at least one finished trial. Make some with: python -m initsuite.train -m init=he,xavier"
        raise StoreError(f"report: the results store holds no trials. {expected}")
    trials = results.trials.loc[results.trials.protocol_version == results.trials.protocol_version.max()]
    # Rows are chosen a few thousand times below, which Arrow's strings make several times slower.
    trials = trials.astype(dict.fromkeys(trials.select_dtypes("string").columns, object))
    latest = {str(context_id): newest(group) for context_id, group in trials.groupby("context_id", sort=False)}
    titles = _titles(list(latest.values()))
    facts = {name: {"context_id": name, "title": titles[name], **_facts(row)} for name, row in latest.items()}
    trials = with_steps(trials, results.curves, {name: found["yardstick"] for name, found in facts.items()})
    groups = {str(context_id): group for context_id, group in trials.groupby("context_id", sort=False)}
    contexts = [context for name, group in groups.items() for context in _contexts_of(group, facts[name])]
    contexts.sort(key=lambda found: (*found.axes.values(), found.title, not found.is_tuned, found.lr_rule))
    notes = version_notes(results.trials)
    notes += [f"The damaged part `{path}` of the store was left out." for path in results.damaged]
    notes += failure_notes(trials)
    for name, group in groups.items():
        notes += level_notes(titles[name], group, facts[name]["yardstick"])
    notes += unused_notes(trials, contexts)
    for context in contexts:
        notes += balance_notes(context)
    return Evidence(tuple(contexts), tuple(notes + origin_notes(trials)), trials)


def _titles(rows: Sequence[pd.Series]) -> dict[str, str]:
    """A readable name for each context, different for different ones, from a row of each."""
    labels = [" / ".join(str(row[axis]) for axis in CONTEXT_AXES) for row in rows]
    # The initializer and the options it requires do not belong to a context.
    configs = [{**_config(row.config), "init": None} for row in rows]
    ids = [str(row.context_id) for row in rows]
    return dict(zip(ids, distinct_labels(labels, configs, ids), strict=True))


def _config(text: str | None) -> dict[str, Any]:
    return json.loads(text or "{}")


def _facts(row: pd.Series) -> dict[str, Any]:
    """What the configuration of a trial says about its context, by field of `Context`."""
    config = _config(row.config)
    try:
        dataset = config["dataset"]
        levels = dataset.get("levels") or {}
        return {
            "axes": {axis: str(row[axis]) for axis in CONTEXT_AXES},
            "yardstick": Yardstick(dataset["metric"], dataset["chance"], {name: levels.get(name) for name in LEVELS}),
            "loss_unit": LOSS_UNITS[dataset["loss"]],
            "max_steps": int(config["max_steps"]),
            "eval_every": int(config["eval_every"]),
            "config": config,
        }
    except (ConfigError, KeyError, TypeError) as error:
        raise StoreError(
            f"report: trial `{row.trial_id}` of cell `{row.cell_id}` has no usable entry {error} in its column "
            "`config`. Expected dataset.metric, dataset.loss, dataset.chance, max_steps and eval_every. Its part was "
            "not written by this version: train into another results_dir."
        ) from error


def _contexts_of(trials: pd.DataFrame, facts: Mapping[str, Any]) -> Iterator[Context]:
    """The tuned row of a context, and a row for each lr that all arms were given."""
    identities = _identities(trials)
    is_tuned = trials.cell_id.isin(trials.cell_id[trials.stage == Stage.TUNE])
    if is_tuned.any():
        yield _tuned_context(trials.loc[is_tuned], identities, facts)
    score = trials.loc[trials.stage == Stage.SCORE]
    for lr in sorted(float(lr) for lr in score.lr[score.protocol == FIXED_PROTOCOL].unique()):
        by_cell = score.loc[score.lr == lr].groupby("cell_id", sort=False)
        arms = [_arm(identities[str(cell_id)], group, lr) for cell_id, group in by_cell]
        yield _context(facts, f"one lr for all: {lr:g}", (), arms)


def _identities(trials: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """What distinguishes the arms of a context, by cell_id and by field of `Arm`."""
    cells = trials.drop_duplicates("cell_id")
    ids = [str(cell_id) for cell_id in cells.cell_id]
    options = [_config(text).get("init") or {} for text in cells.config]
    names = distinct_labels(cells.init.tolist(), options, ids)
    return {
        cell_id: {"name": name, "cell_id": cell_id, "options": chosen}
        for cell_id, name, chosen in zip(ids, names, options, strict=True)
    }


def _tuned_context(
    trials: pd.DataFrame, identities: Mapping[str, Mapping[str, Any]], facts: Mapping[str, Any]
) -> Context:
    tried = sorted(float(lr) for lr in trials.lr[trials.stage == Stage.TUNE].unique())
    # A command with protocol=fixed chooses nothing from a grid.
    chooses = (trials.stage == Stage.TUNE) | (trials.protocol != FIXED_PROTOCOL)
    config = _config(newest(trials.loc[chooses]).config)
    grid = tuple(float(lr) for lr in (config.get("optimizer") or {}).get("lr_grid") or tried)
    arms = []
    for cell_id, group in trials.groupby("cell_id", sort=False):
        tune = group.loc[group.stage == Stage.TUNE]
        scores = lr_scores(tune, facts["yardstick"])
        lr = best_lr(scores, grid, facts["yardstick"])
        seeds = tune.loc[tune.status != Status.FAILED].groupby("lr").seed.nunique()
        arms.append(_arm(identities[str(cell_id)], group, lr, lr_scores=scores, tuning_seeds=seeds.to_dict()))
    return _context(facts, TUNED, grid, arms)


def _context(facts: Mapping[str, Any], lr_rule: str, lr_grid: tuple[float, ...], arms: Iterable[Arm]) -> Context:
    by_name = tuple(sorted(arms, key=lambda arm: arm.name))
    return Context(lr_rule=lr_rule, lr_grid=lr_grid, arms=by_name, **facts)


def _arm(identity: Mapping[str, Any], trials: pd.DataFrame, lr: float, **tuning: Any) -> Arm:
    failed = trials.status == Status.FAILED
    counted = (trials.stage == Stage.SCORE) & ~failed & np.isclose(trials.lr, lr, rtol=1e-9, atol=0)
    by_seed = trials.loc[counted].sort_values("seed").set_index("seed", drop=False)
    return Arm(**identity, lr=lr, trials=by_seed, num_failed=int(failed.sum()), **{"lr_scores": {}, **tuning})
