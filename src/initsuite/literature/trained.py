"""The trials of a store as evidence."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from initsuite.literature.evidence import STEPS, Evidence, flat
from initsuite.literature.theory import PREDICTORS
from initsuite.protocol.tuning import best_lr, lr_scores, trains
from initsuite.protocol.yardstick import METRICS, Yardstick, yardstick_of
from initsuite.spec import SIGNAL, SIGNAL_IN_WORDS, Stage, Status

SOLVED = 0.7
"""A task is solved where a score has come this share of the way from chance to the best there is."""
SIGNALS = tuple(f"signal_{name}" for name in SIGNAL if name not in SIGNAL_IN_WORDS)
MEASURES = (*STEPS, "score", "decibel", "trains", "solved", "lr", *SIGNALS)
"""What a criterion can ask of a trial.

Steps: to each level, infinite where it was not reached. score: on the test split, turned so that higher is better, a
diverged trial counting as chance. decibel: -10 log10 of a mean squared error. trains, solved: 0 or 1. lr: the best
learning rate of a cell for each tuning seed, between the values of the grid by a parabola. signal_...: the numbers
that `diagnostics=true` has stored.
"""


def trained_evidence(trials: pd.DataFrame, theory: Sequence[str] = (), lr: float | None = None) -> Evidence:
    """The scoring trials of each cell at its best learning rate, or at one for all.

    Args:
        trials: columns of the store.
        theory: names of `PREDICTORS` to add to the facts.
        lr: the one learning rate; None = that of the tuning trials, or of `protocol=fixed` where there are none.
    """
    rows, facts, budget = [], {}, {}
    if len(trials):
        trials = trials[trials.protocol_version == trials.protocol_version.max()]
    for cell, own in trials.groupby("cell_id"):
        config = json.loads(own.config.iloc[0])
        key = str(cell)
        facts[key] = _facts(own, config, theory)
        budget[key] = float(config["max_steps"])
        yardstick = yardstick_of(config["dataset"])
        chosen = _chosen_lr(own, config, yardstick) if lr is None else lr
        counted = own[(own.stage == Stage.SCORE) & (own.status != Status.FAILED)]
        if chosen is not None:
            counted = counted[np.isclose(counted.lr, chosen, rtol=1e-6)]
        rows.append(_measured(key, counted, yardstick))
        if lr is None:
            rows.append(_best_rates(key, own[own.stage == Stage.TUNE], yardstick))
    table = pd.concat([part for part in rows if len(part)]) if any(map(len, rows)) else pd.DataFrame()
    complete = table.reindex(columns=["cell", "seed", *MEASURES])  # also where nothing was scored yet
    return Evidence(complete.reset_index(drop=True), facts, budget)


def _facts(own: pd.DataFrame, config: Mapping[str, Any], theory: Sequence[str]) -> dict[str, Any]:
    """What a criterion can choose by; of what an experiment sweeps also its own axes, such as `workload`."""
    found = flat({key: value for key, value in config.items() if key != "network"})
    text = own.overrides.iloc[0] if "overrides" in own else None
    axes = json.loads(text) if isinstance(text, str) else {}
    found = {**{key: value for key, value in axes.items() if key not in found}, **found}
    for name in theory:
        found |= PREDICTORS[name](found)
    return found


def _chosen_lr(own: pd.DataFrame, config: Mapping[str, Any], yardstick: Yardstick) -> float | None:
    tune = own[own.stage == Stage.TUNE]
    if tune.empty:
        return None
    return best_lr(lr_scores(tune, yardstick), config["optimizer"]["lr_grid"], yardstick)


def _measured(cell: str, trials: pd.DataFrame, yardstick: Yardstick) -> pd.DataFrame:
    test = trials.test_score.where(trials.status != Status.DIVERGED, yardstick.chance).map(
        yardstick.counted, na_action="ignore"
    )
    final = trials.final_val_score.where(trials.status != Status.DIVERGED)
    best = METRICS[yardstick.metric].best
    way = (test - yardstick.chance) / (best - yardstick.chance) if math.isfinite(best) else test * math.nan
    found = pd.DataFrame({
        "cell": cell,
        "seed": trials.seed,
        **{name: trials[column].astype(float).fillna(math.inf) for name, column in STEPS.items()},
        "score": yardstick.oriented(test),
        "decibel": -10 * np.log10(test.astype(float)) if yardstick.metric == "mse" else math.nan,
        "trains": [float(trains(score, yardstick)) for score in final],
        "solved": (way > SOLVED).astype(float),
    })  # fmt: skip
    stored = [name for name in SIGNALS if name in trials]
    return found.assign(**{name: trials[name].astype(float) for name in stored}, lr=math.nan)


def _best_rates(cell: str, tune: pd.DataFrame, yardstick: Yardstick) -> pd.DataFrame:
    """The best learning rate for each tuning seed."""
    found = []
    for seed, own in tune[tune.status != Status.FAILED].groupby("seed"):
        scores = own.final_val_score.where(own.status == Status.DONE, yardstick.chance).map(yardstick.counted)
        by_lr = yardstick.oriented(scores).groupby(own.lr).mean().sort_index()
        found.append({"cell": cell, "seed": seed, "lr": peak(by_lr.index.to_numpy(float), by_lr.to_numpy(float))})
    return pd.DataFrame(found)


def peak(rates: np.ndarray, scores: np.ndarray) -> float:
    """Where the parabola through the best score and its neighbours has its top, over log rate; the best at an edge.

    Example:
        >>> round(peak(np.array([0.01, 0.1, 1.0]), np.array([0.0, 1.0, 0.0])), 6)
        0.1
    """
    top = int(np.argmax(scores))
    if not 0 < top < len(scores) - 1:
        return float(rates[top])
    x, y = np.log(rates[top - 1 : top + 2]), scores[top - 1 : top + 2]
    a, b, _ = np.polyfit(x, y, 2)
    return float(np.exp(np.clip(-b / (2 * a), x[0], x[2]))) if a < 0 else float(rates[top])
