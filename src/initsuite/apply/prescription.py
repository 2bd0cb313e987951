"""The Python door: which initializer to start with, by what each of them makes of a model before its first step."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from torch import nn

from initsuite.apply.diagnosis import Loss, diagnosed
from initsuite.apply.own.arms import ALL, Wish, label_of, wishes
from initsuite.apply.ranking import Candidate, found_of, ranking
from initsuite.apply.recorded import Recorded, recorded_model
from initsuite.config import catalogue
from initsuite.errors import InitsuiteError, check_whole_number, unknown_choice
from initsuite.init import as_initializer
from initsuite.signal.diagnosis import Diagnosis, plain_rows
from initsuite.signal.prediction import SCORE, SPEED, Prediction
from initsuite.wording import format_first

SHOWN = 12
"""Initializers that are printed; all are in the table."""


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
    recorded = recorded_model(model, example, targets, loss, output)
    candidates = [_candidate(recorded, wish, draws) for wish in wishes(init, "prescribe")]
    return prescription_of(recorded.in_words, candidates, by, has_loss=recorded.subject.loss is not None)


def _candidate(recorded: Recorded, wish: Wish, draws: int) -> Candidate:
    def measure() -> tuple[Any, Diagnosis]:
        given = _initializer(wish)
        return given, diagnosed(recorded, given, draws)

    return Candidate(_name(wish), measure, wish.is_optional)


def _initializer(wish: Wish) -> Any:
    """A name, where it needs no options; else an object."""
    if not wish.name:
        return wish.given
    return as_initializer(catalogue.build(wish.name, wish.options)) if wish.options else wish.name


def _name(wish: Wish) -> str:
    if not wish.name:
        return label_of(wish.given)
    options = ", ".join(f"{key}={value}" for key, value in wish.options.items())
    return f"{wish.name}({options})" if options else wish.name


# ---- the answer -----------------------------------------------------------------------------------------------------


def prescription_of(
    subject: str,
    candidates: Sequence[Candidate],
    by: str,
    *,
    has_loss: bool,
    refused: Mapping[str, str] | None = None,
    to_train: str = "initsuite.compare(model, data, init={names})",
) -> Prescription:
    """Measure the candidates and rank them.

    Args:
        subject: the model and the batch, in words.
        by: speed or score.
        refused: others that are known not to fit: why.
        to_train: what trains the first ones, with {names} for them as a list, or {listed} as a command takes them.

    Raises:
        ConfigError: an unknown `by`.
        InitsuiteError: none of them fits.
        Exception: whatever one that is not optional raises.
    """
    if by not in (SPEED, SCORE):
        raise unknown_choice("prescribe", "by", by, (SPEED, SCORE))
    found = found_of(candidates)
    refused = {**(refused or {}), **found.refused}
    if not found.diagnoses:
        raise InitsuiteError(f"prescribe: no initializer fits {subject}. Expected one. The first refusal: "
                             f"{next(iter(refused.values()))}")  # fmt: skip
    prediction = Prediction.read()
    table = ranking(found.diagnoses, prediction.weights(by))
    return Prescription(
        subject, table, refused, found.initializers, found.diagnoses, prediction, by, has_loss, to_train
    )


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
        to_train: what trains the first ones, as `prescription_of` takes it.
    """

    subject: str
    table: pd.DataFrame
    refused: Mapping[str, str]
    initializers: Mapping[str, Any]
    diagnoses: Mapping[str, Diagnosis]
    prediction: Prediction
    by: str
    has_loss: bool
    to_train: str

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
        names = [first["init"], *(tied or self.table["init"].iloc[1:2])][:3]
        listed = ",".join(str(self.initializers[name]) for name in names)
        found.append(f"To know, train: {self.to_train.replace('{names}', repr(names)).replace('{listed}', listed)}.")
        return found

    def to_json(self) -> str:
        """The answer, the table and who is refused as one JSON object; numbers that are not finite are null."""
        answer = {
            "subject": self.subject, "initializer": self.table["init"].iloc[0], "by": self.by,
            "sentences": self.sentences(), "table": plain_rows(self.table), "refused": dict(self.refused),
        }  # fmt: skip
        return json.dumps(answer, indent=1, allow_nan=False)

    def _shown(self) -> pd.DataFrame:
        return self.table[["init", "score", "noise", "is_healthy", "reason"]].head(SHOWN).copy()

    def _more(self) -> str:
        left = len(self.table) - SHOWN
        words = f"{left} more in .table. " if left > 0 else ""
        if self.refused:
            words += f"Not for this model: {format_first(list(self.refused), 8)}; .refused says why."
        return words

    def __str__(self) -> str:
        answer, *others = self.sentences()
        table = self._shown()
        for name in ("init", "reason"):  # at the left, which pandas has no option for
            table[name] = table[name].str.ljust(table[name].str.len().max())
        shown = table.to_string(index=False, float_format=lambda value: f"{value:z.3f}", justify="left")
        lines = [answer, *others, "", self.subject, *map(str.rstrip, shown.splitlines()), self._more()]
        return "\n".join(lines).rstrip()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        answer, *others = (html.escape(each) for each in self.sentences())
        words = "".join(f"<li>{each}</li>" for each in others)
        shown = self._shown().to_html(index=False, float_format=lambda value: f"{value:z.3f}", border=0)
        return (f"<p><b>{answer}</b></p><ul>{words}</ul><h4>{html.escape(self.subject)}</h4>{shown}"
                f"<p>{html.escape(self._more())}</p>")  # fmt: skip
