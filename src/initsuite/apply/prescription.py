"""The Python door: which initializer to start with, by what each of them makes of a model before its first step."""

from __future__ import annotations

import html
import math
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from initsuite.apply.diagnosis import Loss, diagnosed
from initsuite.apply.own.arms import ALL, Wish, wishes
from initsuite.apply.recorded import Recorded, recorded_model
from initsuite.config import catalogue
from initsuite.errors import InitsuiteError, bad_value, check_whole_number, unknown_choice
from initsuite.init import as_initializer
from initsuite.signal.diagnosis import Diagnosis
from initsuite.signal.prediction import SCORE, SPEED, Prediction
from initsuite.signal.predictors import PREDICTORS, predictors_of
from initsuite.stats.prediction import weighted_ranks
from initsuite.wording import first_line, format_count, format_first

SHOWN = 12
"""Initializers that are printed; all are in the table."""
SAY_EVERY_S = 5.0
_IN_WORDS = {each.name: each for each in PREDICTORS}


def prescribe(
    model: nn.Module | Callable[[], nn.Module],
    example: Any,
    init: Any = ALL,
    draws: int = 4,
    *,
    by: str = SPEED,
    targets: Any = None,
    loss: Loss | None = None,
    output: str | int | None = None,
) -> Prescription:
    """Rank initializers by what each of them makes of a model before its first step, without training.

    Each is diagnosed on the same batch. Those measures that were found to predict training over the reference store are
    combined, as a sum of ranks with the weights that were fitted there; how well that works is measured, and printed
    with the answer. Costs as many forward and backward passes as there are initializers times draws. The model is left
    as it was.

    Args:
        model, example, targets, loss, output: as `diagnose` takes them; without targets, what is known of the loss
            tells no initializers apart.
        init: names in `initializers()`, (name, options) pairs, objects, or "all that fit".
        draws: how many draws of each are averaged, from 2.
        by: what it is to be good for, each at its tuned learning rate: speed, or the test score.

    Returns:
        The initializer to use (`.initializer`, for `initialize_` and `compare`), `.table`, `.refused`, and
        `.diagnosis(name)` of each; printed, the answer in words.

    Raises:
        ConfigError: a bad batch or model, as for `diagnose`; a named initializer that is unknown, or not for this
            model; an unknown `by`.
        InitsuiteError: a named initializer failed, or none of the catalogue fits.

    Example:
        >>> import torch
        >>> layers = [nn.Sequential(nn.Linear(64, 64), nn.ReLU()) for _ in range(20)]
        >>> batch = torch.randn(32, 64), torch.arange(32) % 10
        >>> found = prescribe(nn.Sequential(*layers, nn.Linear(64, 10)), batch, init=["normal", "he"])
        >>> found.initializer
        'he'
    """
    check_whole_number("prescribe", "draws", draws, minimum=2)
    if by not in (SPEED, SCORE):
        raise unknown_choice("prescribe", "by", by, (SPEED, SCORE))
    recorded = recorded_model(model, example, targets, loss, output)
    found, refused = _diagnoses(recorded, wishes(init), draws)
    if not found:
        raise InitsuiteError(f"prescribe: no initializer fits {recorded.in_words}. Expected one. The first refusal: "
                             f"{next(iter(refused.values()))}")  # fmt: skip
    prediction = Prediction.read()
    table = _table({name: diagnosis for name, (_, diagnosis) in found.items()}, prediction.weights(by))
    order = list(table["init"])
    return Prescription(
        recorded.in_words, table, refused, {name: found[name][0] for name in order},
        {name: found[name][1] for name in order}, prediction, by, recorded.subject.loss is not None,
    )  # fmt: skip


def _diagnoses(
    recorded: Recorded, wanted: Sequence[Wish], draws: int
) -> tuple[dict[str, tuple[Any, Diagnosis]], dict[str, str]]:
    """The diagnosis of each initializer, with what it is to be called by; why others are refused."""
    found: dict[str, tuple[Any, Diagnosis]] = {}
    refused: dict[str, str] = {}
    begin = said = time.monotonic()
    for number, wish in enumerate(wanted):
        try:
            with warnings.catch_warnings(action="ignore"):  # what a law says of a model concerns those who use it
                given = _initializer(wish)
                made = diagnosed(recorded, given, draws)
        except Exception as error:
            if not wish.is_optional:
                raise
            refused[wish.name] = first_line(error).partition(": ")[2]
        else:
            if (name := _name(wish)) in found:
                raise bad_value("prescribe", "init", name, "each initializer once")
            found[name] = given, made
        if time.monotonic() - said > SAY_EVERY_S:
            said = time.monotonic()
            left = (said - begin) / (number + 1) * (len(wanted) - number - 1)
            print(f"prescribe: {number + 1} of {format_count(len(wanted), 'initializer')} measured, about {left:.0f} s "
                  "left", file=sys.stderr, flush=True)  # fmt: skip
    return found, refused


def _initializer(wish: Wish) -> Any:
    """A name, where it needs no options; else an object."""
    if not wish.name:
        return wish.given
    return as_initializer(catalogue.build(wish.name, wish.options)) if wish.options else wish.name


def _name(wish: Wish) -> str:
    if not wish.name:
        if hasattr(wish.given, "__dataclass_fields__"):
            return repr(wish.given)
        return getattr(wish.given, "__name__", type(wish.given).__name__)
    options = ", ".join(f"{key}={value}" for key, value in wish.options.items())
    return f"{wish.name}({options})" if options else wish.name


# ---- the order ------------------------------------------------------------------------------------------------------


def _table(found: Mapping[str, Diagnosis], weights: Mapping[str, float]) -> pd.DataFrame:
    """One row for each initializer, best first."""
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
    """What counts most, as one sentence."""
    words = "; ".join(_IN_WORDS[name].in_words(values[name], errors[name]) for name in list(values)[:2])
    ill = "" if diagnosis.is_healthy else f"{diagnosis.verdicts['verdict'].iloc[0]}: "
    return f"{ill}{words}."


# ---- the answer -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class Prescription:
    """Initializers, ranked by step 0. Printed, it says what to use and how far that can be trusted.

    Attributes:
        subject: the model and the batch, in words.
        table: one row for each initializer, best first.
            init. score: the weighted sum of ranks, -1/2 (best in all measures) to 1/2; noise: its standard error over
            draws. is_tied: whether it cannot be told from the first one, within two standard errors. is_healthy:
            whether the diagnosis says so. Then the measures that count, 0 = ideal, each with its noise; reason.
        refused: initializers that are not for this model: why.
        initializers: by name, what `initialize_` and `compare` take.
        diagnoses: by name.
        prediction: how well step 0 predicts training.
        by: what it is to be good for.
        has_loss: whether targets were known.
    """

    subject: str
    table: pd.DataFrame
    refused: Mapping[str, str]
    initializers: Mapping[str, Any]
    diagnoses: Mapping[str, Diagnosis]
    prediction: Prediction
    by: str
    has_loss: bool

    @property
    def initializer(self) -> Any:
        """What to use: a name, or the object that was given."""
        return self.initializers[self.table["init"].iloc[0]]

    def diagnosis(self, init: str | None = None) -> Diagnosis:
        """The diagnosis of an initializer of the table; None = that of the first one.

        Raises:
            ConfigError: no such initializer.
        """
        name = self.table["init"].iloc[0] if init is None else init
        if name not in self.diagnoses:
            raise unknown_choice("diagnosis", "init", name, self.diagnoses)
        return self.diagnoses[name]

    def sentences(self) -> list[str]:
        """The answer: what to use and why, what cannot be told from it, how far that can be trusted, what to do."""
        first = self.table.iloc[0]
        tied = list(self.table.loc[self.table["is_tied"], "init"])
        found = [f"Use {first['init']}: {first['reason']}"]
        if not first["is_healthy"]:
            found.append(f"It is ill, too: {self.diagnosis().sentences()[0]}")
        if tied:
            found.append(f"Step 0 cannot tell {format_first(tied, 8)} from it.")
        if not self.has_loss:
            found.append("Without targets nothing is known of the first loss; give a batch (inputs, targets).")
        found += self.prediction.sentences(self.by)
        names = [first["init"], *tied][:3]
        found.append(f"To know, train: initsuite.compare(model, data, init={names!r}).")
        return found

    def _shown(self) -> pd.DataFrame:
        return self.table[["init", "score", "noise", "is_healthy", "reason"]].head(SHOWN)

    def _more(self) -> str:
        left = len(self.table) - SHOWN
        words = f"{left} more in .table. " if left > 0 else ""
        if self.refused:
            words += f"Not for this model: {format_first(list(self.refused), 8)}; .refused says why."
        return words

    def __str__(self) -> str:
        answer, *others = self.sentences()
        shown = self._shown().to_string(index=False, float_format=lambda value: f"{value:z.3f}", justify="left")
        return "\n".join([answer, *others, "", self.subject, shown, self._more()]).rstrip()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        answer, *others = (html.escape(each) for each in self.sentences())
        words = "".join(f"<li>{each}</li>" for each in others)
        shown = self._shown().to_html(index=False, float_format=lambda value: f"{value:z.3f}", border=0)
        return (f"<p><b>{answer}</b></p><ul>{words}</ul><h4>{html.escape(self.subject)}</h4>{shown}"
                f"<p>{html.escape(self._more())}</p>")  # fmt: skip
