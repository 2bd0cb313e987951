"""Planted evidence for the criteria of claims, and how often each of them is wrong about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from initsuite.literature.criteria import (
    ClosedForm,
    Criterion,
    NoDifference,
    Rank,
    Score,
    Slope,
    Speed,
    Starts,
    Within,
)
from initsuite.literature.evidence import Evidence
from initsuite.literature.verdict import Verdict, verdicts_of

A, B = {"init": "a"}, {"init": "b"}
BUDGET = 1000.0
Planted = Callable[[np.random.Generator], Evidence]


def evidence_of(measure: str, cells: Sequence[tuple[Mapping[str, Any], Sequence[float]]]) -> Evidence:
    """Evidence with a row for each value: its place is its seed."""
    rows = [
        {"cell": str(number), "seed": seed, measure: float(value)}
        for number, (_, values) in enumerate(cells)
        for seed, value in enumerate(values)
    ]
    facts = {str(number): facts for number, (facts, _) in enumerate(cells)}
    return Evidence(pd.DataFrame(rows), facts, dict.fromkeys(facts, BUDGET))


def arms_of(measure: str, first: Sequence[float], second: Sequence[float]) -> Evidence:
    return evidence_of(measure, [(A, first), (B, second)])


def verdict_of(criterion: Criterion, evidence: Evidence) -> Verdict:
    return verdicts_of([criterion.find(evidence)])[0]


def _closed_form(rng: np.random.Generator) -> Evidence:
    return evidence_of("m", [(A, rng.normal(1, 0.25, 20))])


def _at_limit(rng: np.random.Generator) -> Evidence:
    return evidence_of("m", [(A, rng.normal(1, 0.1, 20))])


def _share_at_limit(rng: np.random.Generator) -> Evidence:
    return evidence_of("m", [(A, rng.binomial(1, 0.7, 20))])


def _starts(first: float, second: float) -> Planted:
    return lambda rng: arms_of("trains", rng.binomial(1, first, 8).tolist(), rng.binomial(1, second, 8).tolist())


def _steps(ratio: float) -> Planted:
    def planted(rng: np.random.Generator) -> Evidence:
        logs = rng.normal(4, 0.2, (2, 8))
        return arms_of("steps", np.exp(logs[0]).tolist(), (ratio * np.exp(logs[1])).tolist())

    return planted


def _scores(gap: float) -> Planted:
    def planted(rng: np.random.Generator) -> Evidence:
        seed = rng.normal(0, 0.05, 8)  # shared by both arms
        return arms_of("score", seed + gap + rng.normal(0, 0.01, 8), seed + rng.normal(0, 0.01, 8))

    return planted


def _line(rng: np.random.Generator) -> Evidence:
    return evidence_of("m", [({"depth": depth}, depth + rng.normal(0, 1, 8)) for depth in (1, 2, 3, 4, 5)])


def _ranks(probability: float) -> Planted:
    def planted(rng: np.random.Generator) -> Evidence:
        shift = np.sqrt(2) * {0.5: 0.0, 0.8: 0.8416212}[probability]
        cells = [({"x": float(rng.normal(shift * y)), "init": "a"}, [y]) for y in (0, 1) for _ in range(15)]
        return evidence_of("trains", cells)

    return planted


SLIGHT = 1e-9
FALSE_ALARMS: dict[str, tuple[type, str, Criterion, Planted, Verdict]] = {
    "closed_form": (
        ClosedForm, r"the theory / 4: ([\d.]+)", ClosedForm("m", A, 1.0), _closed_form, Verdict.NOT_REPRODUCED
    ),
    "within, reproduced": (Within, r"\*reproduced\* ([\d.]+)", Within("m", A, 1, 9), _at_limit, Verdict.REPRODUCED),
    "within, not": (Within, r"\*not reproduced\* ([\d.]+)", Within("m", A, 1, 9), _at_limit, Verdict.NOT_REPRODUCED),
    "share, reproduced": (Within, r"0 or 1: ([\d.]+)", Within("m", A, 0.7, 1), _share_at_limit, Verdict.REPRODUCED),
    "share, not": (Within, r"0 or 1: [\d.]+ and ([\d.]+)", Within("m", A, 0.7, 1), _share_at_limit,
                   Verdict.NOT_REPRODUCED),
    "starts, reproduced": (Starts, r"probability 1/2: ([\d.]+)", Starts(A, B), _starts(0.5, 0.5), Verdict.REPRODUCED),
    "starts, not": (Starts, r"to 0.75: ([\d.]+)", Starts(A, B), _starts(0.75, 0.25), Verdict.NOT_REPRODUCED),
    "speed, reproduced": (Speed, r"ratio is stated: ([\d.]+)", Speed(A, B, 1.0), _steps(1.0), Verdict.REPRODUCED),
    "speed, not": (Speed, r"ratio is as stated: ([\d.]+)", Speed(A, B, 2.0), _steps(2.0), Verdict.NOT_REPRODUCED),
    "score, reproduced": (Score, r"any is stated: ([\d.]+)", Score(A, B, 0.0), _scores(0.0), Verdict.REPRODUCED),
    "score, not": (Score, r"it is as stated: ([\d.]+)", Score(A, B, 0.02), _scores(0.02), Verdict.NOT_REPRODUCED),
    "no_difference, reproduced": (
        NoDifference, r"\*reproduced\* ([\d.]+)", NoDifference(A, B, 0.02), _scores(0.02), Verdict.REPRODUCED
    ),
    "no_difference, not": (
        NoDifference, r"\*not reproduced\* ([\d.]+)", NoDifference(A, B, 0.02), _scores(0.02), Verdict.NOT_REPRODUCED
    ),
    "slope, reproduced": (Slope, r"\*reproduced\* ([\d.]+)", Slope("m", "depth", {}, 1, 9), _line, Verdict.REPRODUCED),
    "slope, not": (Slope, r"\*not reproduced\* ([\d.]+)", Slope("m", "depth", {}, 1, 9), _line, Verdict.NOT_REPRODUCED),
    "rank, reproduced": (Rank, r"0.8 is stated: ([\d.]+)", Rank("trains", "x", 0.8), _ranks(0.5), Verdict.REPRODUCED),
    "rank, not": (Rank, r"0.8 as stated: ([\d.]+)", Rank("trains", "x", 0.8), _ranks(0.8), Verdict.NOT_REPRODUCED),
}  # fmt: skip
"""By name: the class, where its docstring states the rate, the criterion, evidence at the edge, the wrong verdict."""


def false_alarm_rate(name: str, repetitions: int) -> float:
    """How often the criterion gives the wrong verdict."""
    _, _, criterion, planted, wrong = FALSE_ALARMS[name]
    rng = np.random.default_rng(1)
    return float(np.mean([verdict_of(criterion, planted(rng)) is wrong for _ in range(repetitions)]))
