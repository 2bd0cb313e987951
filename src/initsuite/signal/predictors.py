"""Measures of step 0 as numbers of which less is better, by which initializers of one model can be ranked.

The sign of each was fixed before it was compared with training: what mean-field theory or practice calls worse is
larger. How well they predict training is measured by scripts/predict_training.py; see `signal.prediction`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd

from initsuite.signal.diagnosis import Diagnosis
from initsuite.signal.drifts import (
    LIMIT,
    drift,
    gradient_groups,
    gradient_limit,
    informed_layers,
    input_shares,
    series,
    signal_chain,
)
from initsuite.signal.verdicts import HEALTHY
from initsuite.spec import Role

UPDATE = 1e-3
"""The ratio of update and weight in one step that practice calls healthy."""


@dataclass(frozen=True)
class Draw:
    """One draw of a diagnosis.

    Attributes:
        layers: the facts about the layers, and means over draws.
        points: the numbers of each layer in this draw.
        whole: numbers about the whole network in this draw; those that are not known are missing.
    """

    layers: pd.DataFrame
    points: pd.DataFrame
    whole: Mapping[str, float]

    def of(self, column: str, names: Sequence[str]) -> np.ndarray:
        """A column, [layer], in this order."""
        return self.points.set_index("layer")[column].reindex(list(names)).to_numpy(dtype=float)

    def logs(self, column: str, names: Sequence[str], points: pd.DataFrame | None = None) -> np.ndarray:
        return series(self.points if points is None else points, column, names)[0]


class Unit(StrEnum):
    """What a measure is in."""

    FACTOR = "factor"  # the measure is its natural logarithm
    SHARE = "share"
    NUMBER = "number"


@dataclass(frozen=True)
class Predictor:
    """A measure of one draw.

    Attributes:
        name: in tables.
        what: in words, with {value} for the value, and {which} where several things may be meant.
        unit: what the value is shown in.
        of_draw: the number: 0 (of severity, 1/2) = ideal, larger = worse, infinite where nothing gets through, NaN
            where it is not known.
    """

    name: str
    what: str
    unit: Unit
    of_draw: Callable[[Draw], float]

    def in_words(self, value: float, noise: float = math.nan, which: str = "") -> str:
        """A value with its noise, as a sentence without a period.

        Example:
            >>> next(each for each in PREDICTORS if each.name == "dead_share").in_words(0.25, 0.01)
            '25 % +- 1 % of the units are off for the whole batch, on average over layers'
        """
        return self.what.format(value=self._shown(value, 0.0 if math.isnan(noise) else noise), which=which)

    def _shown(self, value: float, noise: float) -> str:
        if not math.isfinite(value) and self.unit == Unit.NUMBER:
            return "not known" if math.isnan(value) else "infinity"
        if not math.isfinite(value):
            amount = "unknown" if math.isnan(value) else "infinite"
            return f"an {amount} {self.unit.value}" + (", as nothing gets through," if amount == "infinite" else "")
        if self.unit == Unit.SHARE:
            return f"{_rounded(100 * value, 2)} %" + (f" +- {_rounded(100 * noise, 1)} %" if noise else "")
        if self.unit == Unit.NUMBER:
            return _rounded(value, 2) + (f" +- {_rounded(noise, 1)}" if noise else "")
        known = f" +- {_rounded(100 * math.expm1(min(noise, 700.0)), 1)} %" if noise else ""
        return f"a factor of {math.exp(min(value, 700.0)):.3g}{known}"


def _rounded(value: float, digits: int) -> str:
    """A number to so many significant digits, without an exponent where it is of a usual size.

    Example:
        >>> _rounded(10.2, 1), _rounded(0.0347, 2), _rounded(4e7, 1)
        ('10', '0.035', '4e+07')
    """
    text = f"{value:z.{digits}g}"
    return f"{float(text):g}" if abs(value) < 1e5 else text


def _total(logs: np.ndarray) -> float:
    """The size of the drift; infinite where some number is 0, unknown or not finite, NaN where there is none."""
    if not len(logs):
        return math.nan
    return abs(drift(logs.tolist()).total) if np.isfinite(logs).all() else math.inf


def _signal_drift(draw: Draw) -> float:
    return _total(draw.logs("q_in", signal_chain(draw.layers)))


def _gradient_drifts(draw: Draw) -> list[tuple[float, float]]:
    """Of each group of layers, with its limit; a branch that adds nothing yet gets no gradients, by design."""
    found = []
    for group in gradient_groups(draw.layers):
        logs = 2 * draw.logs("gradient_norm", list(group["layer"])[::-1])
        is_branch = bool(group["in_branch"].iloc[0])
        found.append((_total(logs[np.isfinite(logs)] if is_branch else logs), gradient_limit(group)))
    return [(total, limit) for total, limit in found if not math.isnan(total)]


def _gradient_drift(draw: Draw) -> float:
    return max((total for total, _ in _gradient_drifts(draw)), default=math.nan)


def _input_loss(draw: Draw) -> float:
    logs = draw.logs("input_share", informed_layers(draw.layers), input_shares(draw.points))
    return max(-drift(logs.tolist()).total, 0.0) if len(logs) and np.isfinite(logs).all() else math.inf


def _last(column: str) -> Callable[[Draw], float]:
    def of_draw(draw: Draw) -> float:
        values = draw.of(column, informed_layers(draw.layers))
        return float(values[-1]) if len(values) else math.nan

    return of_draw


def _mean(column: str) -> Callable[[Draw], float]:
    def of_draw(draw: Draw) -> float:
        values = draw.of(column, list(draw.layers.loc[~draw.layers["is_idle"], "layer"]))
        known = values[~np.isnan(values)]
        return float(known.mean()) if len(known) else 0.0

    return of_draw


def _rank_lack(draw: Draw) -> float:
    names = informed_layers(draw.layers)
    limits = draw.layers.set_index("layer")["rank_limit"]
    return 1 - _last("effective_rank")(draw) / float(limits[names[-1]]) if names else math.nan


def _loss_ratio(draw: Draw) -> float:
    return draw.whole.get("loss", math.nan) / draw.whole.get("uniform_loss", math.nan)


def _first_loss(draw: Draw) -> float:
    return abs(_loss_ratio(draw) - 1)


def _class_share(draw: Draw) -> float:
    return draw.whole.get("commonest_class", math.nan) - math.exp(-draw.whole.get("uniform_loss", math.nan))


def _entropy_lack(draw: Draw) -> float:
    return 1 - draw.whole.get("prediction_entropy", math.nan)


def _ratio_spread(draw: Draw) -> float:
    layers = draw.layers[~draw.layers["is_idle"]]
    logs = draw.logs("gradient_to_weight", list(layers["layer"]))
    known = logs[np.isfinite(logs) | ~layers["in_branch"].to_numpy(dtype=bool)]
    return float(known.std()) if len(known) and np.isfinite(known).all() else math.inf


def _update_size(draw: Draw) -> float:
    ratio = draw.whole.get("update_to_weight", math.nan)
    return abs(math.log(ratio / UPDATE)) if 0 < ratio < math.inf else math.inf


def _severities(draw: Draw) -> dict[str, float]:
    """What the verdicts go by, in units of the limit of each; of the first guess 1/2 where it is uniform."""
    ratio, entropy = _loss_ratio(draw), draw.whole.get("prediction_entropy", math.nan)
    found = {
        "units that are off": 2 * _mean("dead")(draw),
        "entries where the nonlinearity is flat": 2 * _mean("saturated")(draw),
        "units that equal another one": 2 * _mean("duplicates")(draw),
        "the change of the signal": _signal_drift(draw) / LIMIT,
        "the loss of what depends on the input": _input_loss(draw) / LIMIT,
        "the change of the gradient": max((total / limit for total, limit in _gradient_drifts(draw)), default=math.nan),
        "the first loss": ratio / 2,
        "how evenly the first guesses fall on the classes": 0.5 / entropy if entropy else math.inf,
    }
    return {name: value for name, value in found.items() if not math.isnan(value)}


def _severity(draw: Draw) -> float:
    return max(_severities(draw).values(), default=math.nan)


def _of_jacobian(column: str, is_log: bool) -> Callable[[Draw], float]:
    def of_draw(draw: Draw) -> float:
        value = draw.whole.get(column, math.nan)
        if not is_log:
            return value
        return abs(math.log(value)) if value > 0 else math.inf if value == 0 else math.nan

    return of_draw


PREDICTORS = (
    Predictor("signal_drift", "the mean square of the signal changes by {value} from one end to the other",
              Unit.FACTOR, _signal_drift),
    Predictor("gradient_drift", "the squared length of the gradient changes by {value} from one end to the other",
              Unit.FACTOR, _gradient_drift),
    Predictor("input_loss", "the share of the signal that depends on the input shrinks by {value}", Unit.FACTOR,
              _input_loss),
    Predictor("correlation", "the mean cosine of two examples in the last hidden layer is {value}", Unit.NUMBER,
              _last("c")),
    Predictor("dead_share", "{value} of the units are off for the whole batch, on average over layers", Unit.SHARE,
              _mean("dead")),
    Predictor("saturated_share", "{value} of the entries are where the nonlinearity is flat, on average over layers",
              Unit.SHARE, _mean("saturated")),
    Predictor("duplicate_share", "{value} of the units equal another one, on average over layers", Unit.SHARE,
              _mean("duplicates")),
    Predictor("rank_lack", "the effective rank of the last hidden layer is {value} below what the batch allows",
              Unit.SHARE, _rank_lack),
    Predictor("first_loss", "the first loss is {value} away from that of the uniform guess", Unit.SHARE, _first_loss),
    Predictor("class_share", "the commonest class gets {value} of the examples beyond its share", Unit.SHARE,
              _class_share),
    Predictor("entropy_lack", "the entropy of the mean guess is {value} below that of the uniform one", Unit.SHARE,
              _entropy_lack),
    Predictor("ratio_spread", "the ratio of gradient to weight varies by {value} between layers (one standard "
              "deviation)", Unit.FACTOR, _ratio_spread),
    Predictor("update_size", "one step of Adam at lr 0.001 moves the weights by a share of them {value} away from "
              "0.001", Unit.FACTOR, _update_size),
    Predictor("severity", "the worst of what the verdicts go by{which} is {value} times its limit",
              Unit.NUMBER, _severity),
)  # fmt: skip
"""What one forward and one backward pass shows."""
COSTLY = (
    Predictor("jacobian_size", "the mean squared singular value of the Jacobian is {value} away from 1", Unit.FACTOR,
              _of_jacobian("jacobian_square", True)),
    Predictor("jacobian_spread", "the squared singular values of the Jacobian have a relative variance of {value}",
              Unit.NUMBER, _of_jacobian("jacobian_spread", False)),
)  # fmt: skip
"""What takes a backward pass for each output."""


def worst_of(found: Diagnosis) -> str:
    """What `severity` comes from, in words: the part that is worst on average over draws."""
    parts = [_severities(draw) for draw in draws_of(found)]
    means = {name: np.mean([each.get(name, math.nan) for each in parts]) for name in parts[0]}
    return max(means, key=lambda name: np.nan_to_num(means[name]))


def draws_of(found: Diagnosis) -> list[Draw]:
    """Each draw of a diagnosis."""
    whole_of = found.draws.set_index("draw").to_dict("index")
    return [
        Draw(found.layers, points, {str(name): value for name, value in whole_of[number].items()})
        for number, points in found.points.groupby("draw")
    ]


def predictors_of(found: Diagnosis, names: Collection[str] | None = None) -> pd.DataFrame:
    """The predictors of each draw of a diagnosis; [draw, predictor].

    What is not a number because nothing gets through counts as infinitely bad, but where it is not known for a whole
    model, as the first loss without targets, for any initializer.

    Args:
        names: of those that are wanted, in any order; None = all.
    """
    chosen = [each for each in (*PREDICTORS, *COSTLY) if names is None or each.name in names]
    rows = []
    for draw in draws_of(found):
        values = {each.name: each.of_draw(draw) for each in chosen}
        rows.append({name: math.inf if math.isnan(value) else value for name, value in values.items()})
    return pd.DataFrame(rows)


def illnesses(found: Diagnosis) -> float:
    """How many verdicts there are that are not `healthy`."""
    return float((found.verdicts["verdict"] != HEALTHY).sum())


def distance_from_he(found: Diagnosis) -> float:
    """The mean over the weights of |ln(std / sqrt(2 / fan_in))|; infinite where one is 0."""
    table = found.audit[found.audit["role"].isin([Role.WEIGHT, Role.RECURRENT])]
    with np.errstate(divide="ignore"):
        return float(np.log(table["realised_std"] / np.sqrt(2 / table["fan_in"])).abs().mean())
