"""`initialize_` on an architecture, judged against the truth: which weights are drawn right, wrong, or kept."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from unittest.mock import patch

import pandas as pd
import torch
from scipy import stats
from torch import Tensor, nn

from initsuite import initialize_
from initsuite.apply import initialize
from initsuite.errors import InitsuiteError
from initsuite.models.describe.describe import Description, examine
from support.following import Follower
from support.truth import Architecture, Matrix, built, matrices_of
from support.watching import Watch, watch

LAWS: Mapping[str, Mapping[str, object]] = {"he": {}, "xavier": {}, "orthogonal": {"gain": "auto"}}
FALSE_ALARM = 1e-8
"""Of one matrix, of which there are tens of thousands. On 10,000 entries an error of the std of 5 % is always seen."""
ORTHOGONAL_TOLERANCE = 1e-4
RIGHT, WRONG, KEPT, SILENT, REFUSED = "right", "wrong", "kept", "kept silently", "refused"
NONLINEARITIES = ("right", "kept", "warned", "wrong")


@dataclass
class Verdict:
    """What was judged of one architecture.

    Attributes:
        entries: number of weights by verdict.
        nonlinearities: number of (weight, part) by verdict: `right`, `kept`, `warned`, `wrong`.
        why: what is not right, in words.
    """

    entries: dict[str, int] = field(default_factory=dict)
    nonlinearities: dict[str, int] = field(default_factory=dict)
    why: list[str] = field(default_factory=list)

    def share(self, verdict: str) -> float:
        return self.entries.get(verdict, 0) / max(1, sum(self.entries.values()))


@dataclass(frozen=True)
class Drawn:
    """A model as one law left it."""

    model: nn.Module
    before: Mapping[str, Tensor]
    table: pd.DataFrame
    told: Sequence[str]
    seen: Watch | None

    @cached_property
    def rows(self) -> Mapping[str, Mapping[str, Any]]:
        return self.table.set_index("tensor").to_dict("index")

    def how(self, name: str) -> str:
        """What the table says of a parameter: drawn, kept, or nothing."""
        return self.rows.get(name, {}).get("how", SILENT)


def drawn(architecture: Architecture, law: str, options: Mapping[str, object], *, is_watched: bool) -> Drawn:
    model = built(architecture)
    before = {name: each.detach().clone() for name, each in model.named_parameters()}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        table = initialize_(model, law, **architecture.options, **options)
    seen = watch(model, architecture.args, architecture.kwargs) if is_watched else None
    return Drawn(model, before, table, [str(each.message) for each in told], seen)


@contextmanager
def described_once() -> Iterator[None]:
    """Have `initialize_` describe one model for all laws, each of which would record the same pass again.

    What is said of the model meanwhile is said to each of them.
    """
    found: list[Description] = []
    told: list[warnings.WarningMessage] = []

    def shared(*args: Any, **kwargs: Any) -> Description:
        if not found:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                found.append(examine(*args, **kwargs))
            told.extend(caught)
        for each in told:
            warnings.warn(each.message, each.category, stacklevel=2)
        return found[0]

    with patch.object(initialize, "examine", shared):
        yield


def judge(architecture: Architecture) -> Verdict:
    """Draw the model by each law, and compare."""
    matrices = matrices_of(architecture)
    is_watched = any(each.entries is None for each in matrices)
    verdict = Verdict()
    try:
        with described_once():
            draws = {law: drawn(architecture, law, options, is_watched=is_watched) for law, options in LAWS.items()}
    except Exception as error:  # anything else than a refusal is a fault, and the other models are to be judged, too
        found = REFUSED if isinstance(error, InitsuiteError) else WRONG
        sizes = {name: each.numel() for name, each in built(architecture).named_parameters()}
        verdict.entries[found] = sum(sizes[name] for name in {each.parameter for each in matrices})
        verdict.why.append(f"{found}: {type(error).__name__}: {error}")
        return verdict
    for name in dict.fromkeys(each.parameter for each in matrices):
        parameter = draws["he"].model.get_parameter(name)
        if not parameter.requires_grad:
            continue
        own = unique([each for each in matrices if each.parameter == name])
        found, why = _of_parameter(name, own, draws)
        verdict.entries[found] = verdict.entries.get(found, 0) + parameter.numel()
        if found != RIGHT:
            verdict.why.append(f"{name} {tuple(parameter.shape)} {found}: {why}")
    _judge_nonlinearities(architecture, matrices, draws["orthogonal"], verdict)
    return verdict


def unique(matrices: Sequence[Matrix]) -> list[Matrix]:
    """Each matrix once, however often it is used."""
    found: dict[object, Matrix] = {}
    for each in matrices:
        stored = each.entries
        entries = (each.product, each.place, each.label) if stored is None else tuple(stored.flatten().tolist())
        found.setdefault((entries, each.is_lookup), each)
    return list(found.values())


def tied(matrices: Sequence[Matrix]) -> list[list[Matrix]]:
    """The uses of the same numbers, as a table and as a head or also transposed, of which one must be right."""
    found: dict[object, list[Matrix]] = {}
    for each in matrices:
        key = each.product if each.entries is None else tuple(each.entries.flatten().sort().values.tolist())
        found.setdefault((key, each.place if each.entries is None else 0, each.label), []).append(each)
    return list(found.values())


def _of_parameter(name: str, matrices: Sequence[Matrix], draws: Mapping[str, Drawn]) -> tuple[str, str]:
    """The verdict on one parameter over all laws."""
    for law, drawn_by in draws.items():
        same = torch.equal(drawn_by.model.get_parameter(name), drawn_by.before[name])
        how = drawn_by.how(name)
        if how in (KEPT, SILENT):
            return (
                (how, drawn_by.rows[name].get("why", ""))
                if same
                else (WRONG, f"said to be {how}, but changed by {law}")
            )
        for uses in tied(matrices):
            problems = [_problem(law, each, drawn_by) for each in uses]
            if all(problems):
                return WRONG, f"{law}: {problems[0]}"
    return RIGHT, ""


def _problem(law: str, matrix: Matrix, drawn_by: Drawn) -> str:
    """What is wrong with one matrix under a law; "" where nothing is."""
    values = matrix.values(drawn_by.model, drawn_by.seen).double()
    if matrix.is_lookup:
        return _wrong_variance(values[values.abs().sum(1) > 0], 1.0)
    if law == "he":
        return _wrong_variance(values, 2 / matrix.fan_in)
    if law == "xavier":
        return _wrong_variance(values, 2 / (matrix.fan_in + matrix.fan_out))
    return "" if measured_gain(values) is not None else f"not orthogonal, {_where(matrix)}"


def _wrong_variance(values: Tensor, variance: float) -> str:
    statistic, count = values.square().sum().item() / variance, values.numel()
    if 2 * min(stats.chi2.cdf(statistic, count), stats.chi2.sf(statistic, count)) > FALSE_ALARM:
        return ""
    return f"variance {statistic / count:.3f} times the law's ({tuple(values.shape)})"


def measured_gain(values: Tensor) -> float | None:
    """The factor on a matrix [output, input] with orthonormal rows or columns; None if it is none.

    A row that is kept at 0 (the padding of a table) may take one singular value with it.
    """
    singular = torch.linalg.svdvals(values)
    missing = int((values.abs().sum(1) == 0).sum()) if len(values) > values.shape[1] else 0
    kept = singular[: len(singular) - missing]
    gain = kept.median().item()
    return gain if gain > 0 and (kept / gain - 1).abs().max() <= ORTHOGONAL_TOLERANCE else None


def _where(matrix: Matrix) -> str:
    return f"product {matrix.product} matrix {matrix.place} part {matrix.label} [{len(matrix.rows)}, {matrix.fan_in}]"


def _judge_nonlinearities(
    architecture: Architecture, matrices: Sequence[Matrix], drawn_by: Drawn, verdict: Verdict
) -> None:
    """Compare the gain that each part of each weight is drawn with, with what follows it."""
    followings = Follower(architecture, matrices).gains()
    groups: dict[tuple[str, int], list[Matrix]] = {}
    for each in matrices:
        if not each.is_lookup and drawn_by.model.get_parameter(each.parameter).requires_grad:
            groups.setdefault((each.parameter, each.label), []).append(each)
    for (name, label), group in groups.items():
        known = [followings[each.product, label] for each in group if (each.product, label) in followings]
        expected = [gain for each in known for gain in each.gains]
        if not expected:
            continue
        found = "kept"
        if drawn_by.how(name) not in (KEPT, SILENT):
            gain = measured_gain(group[0].values(drawn_by.model, drawn_by.seen).double())
            gain = drawn_by.rows[name]["gain"] if gain is None else gain
            tolerance = max(each.tolerance for each in known)
            is_right = any(abs(gain / each - 1) <= tolerance for each in expected)
            is_told = any(name in text or "nonlinear" in text or "linear:" in text
                          for text in drawn_by.told)  # fmt: skip
            found = "right" if is_right else "warned" if is_told else "wrong"
            if not is_right:
                right = ", ".join(sorted({f"{each:.3f}" for each in expected}))
                verdict.why.append(f"{name} part {label} gain {gain:.3f}, true {right}: {found}")
        verdict.nonlinearities[found] = verdict.nonlinearities.get(found, 0) + 1


def summary(verdicts: Mapping[str, Verdict]) -> str:
    """A table with a line for each architecture and the means and sums of all."""
    lines = [
        f"{'':40s} {'weights':>8s} {'right':>6s} {'kept':>6s} {'wrong':>6s}   nonlinearities: right/kept/warned/wrong"
    ]
    for name, verdict in verdicts.items():
        shares = [verdict.share(RIGHT), verdict.share(KEPT) + verdict.share(REFUSED), verdict.share(WRONG)]
        counts = "/".join(str(verdict.nonlinearities.get(each, 0)) for each in NONLINEARITIES)
        total = sum(verdict.entries.values())
        lines.append(f"{name:40s} {total:8d} {shares[0]:6.3f} {shares[1]:6.3f} {shares[2]:6.3f}   {counts}")
    right, wrong = mean_share(verdicts, RIGHT), mean_share(verdicts, WRONG)
    places = {each: sum(v.nonlinearities.get(each, 0) for v in verdicts.values()) for each in NONLINEARITIES}
    return "\n".join([*lines, f"{len(verdicts)} models: weights right {right:.3f}, wrong {wrong:.3f}; {places}"])


def mean_share(verdicts: Mapping[str, Verdict], verdict: str) -> float:
    """The share of weights with a verdict, as the mean over models."""
    return sum(each.share(verdict) for each in verdicts.values()) / len(verdicts)
