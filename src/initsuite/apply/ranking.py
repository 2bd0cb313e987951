"""Initializers of one model, measured before its first step and put into an order."""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from initsuite.errors import bad_value
from initsuite.signal.diagnosis import Diagnosis
from initsuite.signal.predictors import PREDICTORS, predictors_of, worst_of
from initsuite.stats.prediction import weighted_ranks
from initsuite.wording import first_line, format_count

SAY_EVERY_S = 5.0
_IN_WORDS = {each.name: each for each in PREDICTORS}


@dataclass(frozen=True)
class Candidate:
    """An initializer that may be chosen.

    Attributes:
        name: in the table.
        measure: what it is to be used by, and its diagnosis; raises whatever an initializer raises.
        is_optional: left out where that fails.
    """

    name: str
    measure: Callable[[], tuple[Any, Diagnosis]]
    is_optional: bool = False


@dataclass(frozen=True)
class Found:
    """Candidates that were measured.

    Attributes:
        initializers, diagnoses: by name: what each is to be used by, and its diagnosis.
        refused: by name, why others are left out.
    """

    initializers: Mapping[str, Any]
    diagnoses: Mapping[str, Diagnosis]
    refused: Mapping[str, str]


def found_of(candidates: Sequence[Candidate]) -> Found:
    """Measure each of them in turn, with a line on stderr from time to time.

    Raises:
        ConfigError: two that are the same.
        Exception: whatever one that is not optional raises.
    """
    found: dict[str, tuple[Any, Diagnosis]] = {}
    refused: dict[str, str] = {}
    begin = said = time.monotonic()
    for number, each in enumerate(candidates):
        if each.name in found:
            raise bad_value("prescribe", "init", each.name, "each initializer once")
        try:
            with warnings.catch_warnings(action="ignore"):  # what a law says of a model concerns those who use it
                found[each.name] = each.measure()
        except Exception as error:
            if not each.is_optional:
                raise
            refused[each.name] = reason_of(error)
        if time.monotonic() - said > SAY_EVERY_S and number + 1 < len(candidates):
            said = time.monotonic()
            left = (said - begin) / (number + 1) * (len(candidates) - number - 1)
            print(f"prescribe: {number + 1} of {format_count(len(candidates), 'initializer')} measured, about "
                  f"{left:.0f} s left", file=sys.stderr, flush=True)  # fmt: skip
    given, diagnoses = ({name: pair[place] for name, pair in found.items()} for place in (0, 1))
    return Found(given, diagnoses, refused)


def reason_of(error: Exception) -> str:
    """Why an initializer is refused, without where that was found."""
    line = first_line(error)
    return line.partition(": ")[2] or line


def ranking(found: Mapping[str, Diagnosis], weights: Mapping[str, float]) -> pd.DataFrame:
    """One row for each initializer, best first; `Prescription` explains the columns.

    Args:
        weights: of the measures that count, the largest first.
    """
    measured = np.array([predictors_of(each, weights)[list(weights)].to_numpy(dtype=float) for each in found.values()])
    with np.errstate(invalid="ignore"):  # infinite less infinite
        means, errors = measured.mean(1), measured.std(1, ddof=1) / math.sqrt(measured.shape[1])
    score, noise = _scores(measured, np.array(list(weights.values())))
    order = np.argsort(score, kind="stable")
    first = order[0]
    rows = []
    for place, number in enumerate(order):
        name, diagnosis = list(found.items())[number]
        values = dict(zip(weights, means[number].tolist(), strict=True))
        rows.append({
            "init": name,
            "score": score[number],
            "noise": noise[number],
            "is_tied": bool(place and score[number] - score[first] <= 2 * math.hypot(noise[number], noise[first])),
            "is_healthy": diagnosis.is_healthy,
            **values,
            **{f"{key}_noise": value for key, value in zip(weights, errors[number].tolist(), strict=True)},
            "reason": _reason(diagnosis, values, dict(zip(weights, errors[number].tolist(), strict=True))),
        })  # fmt: skip
    return pd.DataFrame(rows)


def _scores(measured: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The weighted ranks of the means over draws, and their standard error, by leaving out each draw in turn.

    Args:
        measured: [initializer, draw, measure].
        weights: [measure].

    References:
        B. Efron & C. Stein, The jackknife estimate of variance, Annals of Statistics 9 (1981).
    """
    draws = measured.shape[1]
    without = [weighted_ranks(np.delete(measured, number, 1).mean(1), weights) for number in range(draws)]
    return weighted_ranks(measured.mean(1), weights), math.sqrt(draws - 1) * np.std(without, axis=0)


def _reason(diagnosis: Diagnosis, values: Mapping[str, float], errors: Mapping[str, float]) -> str:
    """The two measures that count most, as one sentence."""
    which = f", {worst_of(diagnosis)},"
    words = "; ".join(_IN_WORDS[name].in_words(values[name], errors[name], which) for name in list(values)[:2])
    ill = "" if diagnosis.is_healthy else f"{diagnosis.verdicts['verdict'].iloc[0]}: "
    return f"{ill}{words}."
