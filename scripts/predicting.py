"""How measures of step 0, and naive predictors, order the initializers of a workload, against how they trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from initsuite.report import build_report
from initsuite.report.evidence.context import Context
from initsuite.report.verdicts.comparison import BASELINE, Comparison, Standing, compare, rank_key
from initsuite.results.store import Results
from initsuite.signal import prediction as words
from initsuite.signal.predictors import COSTLY, PREDICTORS
from initsuite.spec import PROTOCOL_VERSION, short_hash
from initsuite.stats.prediction import (
    Case,
    clustered_mean,
    fit_weights,
    left_out,
    rank_correlation,
    scaled_ranks,
    weighted_ranks,
)

SEEDS = range(10)
"""Seeds of the scoring trials of the reference: the starts that are measured."""
FEWEST = 3
"""Initializers that an order is asked of."""
PASS = [each.name for each in PREDICTORS]
"""What the combination may use: measures of one forward and one backward pass."""
MEASURES = [*PASS, "illnesses", *(each.name for each in COSTLY)]
HE = "he"


@dataclass(frozen=True)
class Workload:
    """The initializers of a context as they trained at the tuned learning rate; everything is [initializer].

    Attributes:
        axes: dataset, model, activation, optimizer.
        names, cells: of the initializers.
        trains: whether each trains.
        speed: place by the protocol, lower is better; those that do not train are tied.
        score: minus the mean test score, oriented; those that do not train have that of chance.
        steps: median steps to the level that ranks, misses infinite; NaN where nobody reaches one.
        halves: speed and score by the first and by the second half of the seeds.
    """

    axes: Mapping[str, str]
    names: tuple[str, ...]
    cells: tuple[str, ...]
    trains: np.ndarray
    speed: np.ndarray
    score: np.ndarray
    steps: np.ndarray
    halves: tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]

    def outcome(self, name: str) -> np.ndarray:
        return self.speed if name == words.SPEED else self.score

    def places(self, among: str) -> np.ndarray:
        """Which initializers are meant."""
        return np.arange(len(self.names)) if among == words.ALL else np.flatnonzero(self.trains)


def network_of(axes: Mapping[str, str]) -> str:
    """What workloads that differ only in the activation have in common; they are one cluster."""
    return f"{axes['dataset']} / {axes['model']}"


def workloads_of(results: Results) -> list[Workload]:
    """The contexts in which some initializer trains, and some differ."""
    found = [_workload(each) for each in build_report(results).comparisons if each.leader is not None]
    return [each for each in found if len(each.names) >= FEWEST]


def _workload(comparison: Comparison) -> Workload:
    order = sorted(comparison.scored, key=lambda standing: standing.arm.name)
    seeds = sorted({seed for standing in order for seed in standing.arm.trials.index})
    first, second = seeds[: len(seeds) // 2], seeds[len(seeds) // 2 :]
    return Workload(
        comparison.context.axes,
        tuple(each.arm.name for each in order),
        tuple(each.arm.cell_id for each in order),
        np.array([not each.near_chance for each in order]),
        **_outcomes(comparison.context, order),
        steps=np.array([each.steps.estimate for each in order]),
        halves=(_of_seeds(comparison, order, first), _of_seeds(comparison, order, second)),
    )


def _outcomes(context: Context, order: Sequence[Standing]) -> dict[str, np.ndarray]:
    keys = [(1.0, 0.0, 0.0, 0.0) if each.near_chance else tuple(map(float, rank_key(each)[1:])) for each in order]
    scale = context.yardstick
    scores = [scale.chance if each.near_chance else each.score.estimate for each in order]
    return {
        words.SPEED: np.unique(np.array(keys), axis=0, return_inverse=True)[1].ravel().astype(float),
        words.SCORE: np.array([-scale.oriented(each) for each in scores]),
    }


def _of_seeds(comparison: Comparison, order: Sequence[Standing], seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """The outcomes by some of the seeds."""
    arms = tuple(replace(each.arm, trials=each.arm.trials[each.arm.trials.index.isin(seeds)]) for each in order)
    context = replace(comparison.context, arms=arms)
    found = {standing.arm.name: standing for standing in compare(context).standings}
    return _outcomes(context, [found[each.arm.name] for each in order])


# ---- predictors -----------------------------------------------------------------------------------------------------

Say = Callable[[int], np.ndarray]
"""From the number of a workload to what a predictor says of its initializers; [initializer], lower is better."""


def _naive(workloads: Sequence[Workload], outcome: str) -> dict[str, Say]:
    """What needs no pass through the network; the trials of other workloads stand for a name."""

    def by_name(is_other: Callable[[Workload, Workload], bool]) -> Say:
        def say(number: int) -> np.ndarray:
            own = workloads[number]
            places: dict[str, list[float]] = {}
            for each in workloads:
                if is_other(own, each):
                    _add_places(places, each, outcome)
            return np.array([np.mean(places.get(name, [0.0])) for name in own.names])

        return say

    def first(wanted: str) -> Say:
        return lambda number: np.array([float(name != wanted) for name in workloads[number].names])

    known = {name for each in workloads for name in each.names}
    return {
        "name, workload left out": by_name(lambda own, each: own is not each),
        "name, network left out": by_name(lambda own, each: network_of(own.axes) != network_of(each.axes)),
        **{f"{name} first": first(name) for name in (HE, BASELINE) if name in known},
    }


def _add_places(places: dict[str, list[float]], workload: Workload, outcome: str) -> None:
    for name, place in zip(workload.names, scaled_ranks(workload.outcome(outcome)), strict=True):
        places.setdefault(name, []).append(float(place))


def _combined(cases: Sequence[Case]) -> tuple[dict[str, Say], np.ndarray]:
    """The weighted ranks of measures, and the weights that were fitted on all workloads."""
    weights = fit_weights(cases)
    networks = [case.cluster for case in cases]
    without_one, without_network = left_out(cases, range(len(cases))), left_out(cases, networks)
    return {
        words.FITTED: lambda number: weighted_ranks(cases[number].predicted, weights),
        words.WORKLOAD_OUT: lambda number: without_one[number],
        words.NETWORK_OUT: lambda number: without_network[number],
    }, weights


# ---- rows -----------------------------------------------------------------------------------------------------------


def rows_of(
    workloads: Sequence[Workload], measured: Mapping[str, Mapping[str, float]], network: str | None = None
) -> pd.DataFrame:
    """The table of a prediction.

    What a predictor says is said of all initializers of a workload, also where those that train are looked at alone.

    Args:
        workloads: all of them; the names of initializers are learned from them.
        measured: of each cell, by predictor.
        network: rows of this one alone, without combinations, which need all.
    """
    rows = []
    for outcome in (words.SPEED, words.SCORE):
        kinds, weights = _predictors(workloads, measured, outcome, is_whole=network is None)
        for name, kind, say in kinds:
            told = [
                Told(each, say(number))
                for number, each in enumerate(workloads)
                if network in (None, network_of(each.axes))
            ]
            for among in (words.ALL, words.TRAINED):
                shared = {"predictor": name, "kind": kind, "outcome": outcome, "among": among}
                cases = [each for each in told if len(each.workload.places(among)) >= FEWEST]
                for row in _by_network(cases, outcome, among, kind == words.CEILING, network):
                    is_first = among == words.ALL and row["network"] == words.EVERY
                    rows.append({**shared, **row, "weight": weights.get(name, math.nan) if is_first else math.nan})
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Told:
    """A workload, and what a predictor says of its initializers."""

    workload: Workload
    said: np.ndarray


def _predictors(
    workloads: Sequence[Workload], measured: Mapping[str, Mapping[str, float]], outcome: str, *, is_whole: bool
) -> tuple[list[tuple[str, str, Say]], dict[str, float]]:
    """All predictors with their kinds, and the weights of measures that were fitted on all workloads."""

    def of(name: str) -> Say:
        return lambda number: np.array([measured[cell][name] for cell in workloads[number].cells])

    kinds: list[tuple[str, str, Say]] = [(name, words.MEASURE, of(name)) for name in MEASURES]
    kinds += [("he_distance", words.NAIVE, of("he_distance"))]
    kinds += [(name, words.NAIVE, say) for name, say in _naive(workloads, outcome).items()]
    kinds += [("half of the seeds", words.CEILING, lambda number: workloads[number].halves[0][outcome])]
    if not is_whole:
        return kinds, {}
    cases = [
        Case(network_of(each.axes), np.array([[measured[cell][name] for name in PASS] for cell in each.cells]),
             each.outcome(outcome))
        for each in workloads
    ]  # fmt: skip
    says, fitted = _combined(cases)
    kinds += [(name, words.COMBINED, say) for name, say in says.items()]
    return kinds, dict(zip(PASS, fitted.tolist(), strict=True))


def _by_network(
    cases: Sequence[Told], outcome: str, among: str, is_ceiling: bool, network: str | None
) -> list[dict[str, Any]]:
    networks = [network_of(each.workload.axes) for each in cases]
    rows = []
    for wanted in [network] if network else [words.EVERY, *dict.fromkeys(networks)]:
        kept = [case for case, name in zip(cases, networks, strict=True) if wanted in (words.EVERY, name)]
        values = []
        for each in kept:
            workload, at = each.workload, each.workload.places(among)
            happened = workload.halves[1][outcome] if is_ceiling else workload.outcome(outcome)
            values.append(rank_correlation(each.said[at], happened[at]))
        clusters = [network_of(each.workload.axes) for each in kept]
        pooled = clustered_mean(values, clusters, rng=np.random.default_rng(0))
        regret, missed = _regret(kept, outcome, among)
        rows.append({"network": wanted, "workloads": pooled.num_values, "correlation": pooled.estimate,
                     "low": pooled.low, "high": pooled.high, "regret": regret, "missed": missed})  # fmt: skip
    return rows


def _regret(cases: Sequence[Told], outcome: str, among: str = words.ALL) -> tuple[float, float]:
    """Of the initializer in the first place, or the mean over those that are tied in it."""
    found, missed = [], []
    for each in cases:
        at = each.workload.places(among)
        said, score, steps = each.said[at], each.workload.score[at], each.workload.steps[at]
        chosen = said == said.min()
        if outcome == words.SCORE:
            found.append(float((score[chosen] - score.min()).mean()))
        elif np.isfinite(steps).any():
            factors = steps[chosen] / np.nanmin(steps)
            missed.append(float(np.isinf(factors).mean()))
            found.append(float(factors.mean()))
    if not found:
        return math.nan, math.nan
    middle = float(np.median(found)) if outcome == words.SPEED else float(np.mean(found))
    return middle, float(np.mean(missed)) if missed else math.nan


def facts_of(results: Results, workloads: Sequence[Workload]) -> dict[str, Any]:
    """What the trials are that all of this rests on."""
    return {
        "store": hash_of(results),
        "protocol_version": PROTOCOL_VERSION,
        "trials": len(results.trials),
        "initializers": sorted({name for each in workloads for name in each.names}),
        "workloads": len(workloads),
        "optimizers": sorted({each.axes["optimizer"] for each in workloads}),
        "networks": sorted({network_of(each.axes) for each in workloads}),
    }


def hash_of(results: Results) -> str:
    """Of the trials and their results."""
    trials = results.trials.sort_values("trial_id")
    numbers = trials[["trial_id", "steps_to_target", "loss_auc", "test_score"]].astype(str)
    return short_hash(numbers.to_numpy().tolist())
