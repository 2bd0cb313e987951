"""Measures of step 0 as numbers of which less is better, by which initializers of one model can be ranked.

The sign of each was fixed before it was compared with training: what mean-field theory or practice calls worse is
larger. How well they predict training is measured by scripts/predict_training.py; see `signal.prediction`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Predictor:
    """A measure of one draw.

    Attributes:
        name: in tables.
        what: in words, with {} for the value.
        is_log: whether it is a natural logarithm, shown as a factor.
        of_draw: the number: 0 (of severity, 1/2) = ideal, larger = worse, infinite where nothing gets through, NaN
            where it is not known.
    """

    name: str
    what: str
    is_log: bool
    of_draw: Callable[[Draw], float]

    def in_words(self, value: float, noise: float = math.nan) -> str:
        """A value with its noise, as a sentence without a period.

        Example:
            >>> next(each for each in PREDICTORS if each.name == "dead_share").in_words(0.25, 0.01)
            'the share of units that are off for the whole batch is 0.25 +- 0.01'
        """
        if not math.isfinite(value):
            return self.what.format("without limit" if value > 0 else "by an unknown amount")
        noise = 0.0 if math.isnan(noise) else noise
        if not self.is_log:
            return self.what.format(f"{value:z.2g}" + (f" +- {noise:.1g}" if noise else ""))
        known = f" (+- {math.expm1(min(noise, 700.0)):.0%})".replace("%", " %") if noise else ""
        return self.what.format(f"{math.exp(min(value, 700.0)):.3g}-fold{known}")


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


def _severity(draw: Draw) -> float:
    """The worst of what the verdicts go by, in units of their limits: 1/2 where the first guess is uniform."""
    shares = [2 * _mean(column)(draw) for column in ("dead", "saturated", "duplicates")]
    drifts = [each(draw) / LIMIT for each in (_signal_drift, _input_loss)]
    drifts += [total / limit for total, limit in _gradient_drifts(draw)]
    ratio, entropy = _loss_ratio(draw), draw.whole.get("prediction_entropy", math.nan)
    outputs = [ratio / 2, 0.5 / entropy if entropy else math.inf]
    return max((each for each in (*shares, *drifts, *outputs) if not math.isnan(each)), default=math.nan)


def _of_jacobian(column: str, is_log: bool) -> Callable[[Draw], float]:
    def of_draw(draw: Draw) -> float:
        value = draw.whole.get(column, math.nan)
        if not is_log:
            return value
        return abs(math.log(value)) if value > 0 else math.inf if value == 0 else math.nan

    return of_draw


PREDICTORS = (
    Predictor("signal_drift", "the signal changes {} from one end to the other", True, _signal_drift),
    Predictor("gradient_drift", "the gradient changes {} from one end to the other", True, _gradient_drift),
    Predictor("input_loss", "the share of the signal that depends on the input shrinks {}", True, _input_loss),
    Predictor("correlation", "the cosine of two examples in the last hidden layer is {}", False, _last("c")),
    Predictor("dead_share", "the share of units that are off for the whole batch is {}", False, _mean("dead")),
    Predictor("saturated_share", "the share of entries where the slope is flat is {}", False, _mean("saturated")),
    Predictor("duplicate_share", "the share of units equal to another one is {}", False, _mean("duplicates")),
    Predictor("rank_lack", "the effective rank of the last hidden layer falls short by a share of {}", False,
              _rank_lack),
    Predictor("first_loss", "the first loss is off that of the uniform guess by a share of {}", False, _first_loss),
    Predictor("class_share", "the commonest class is guessed too often by a share of {}", False, _class_share),
    Predictor("entropy_lack", "the entropy of the mean guess falls short by a share of {}", False, _entropy_lack),
    Predictor("ratio_spread", "the ratio of gradient and weight differs {} between layers", True, _ratio_spread),
    Predictor("update_size", "one step of Adam moves the weights {} off a thousandth", True, _update_size),
    Predictor("severity", "the worst of what verdicts go by is {} of its limit", False, _severity),
)  # fmt: skip
"""What one forward and one backward pass shows."""
COSTLY = (
    Predictor("jacobian_size", "the Jacobian stretches lengths {}", True, _of_jacobian("jacobian_square", True)),
    Predictor("jacobian_spread", "its squared singular values have a relative variance of {}", False,
              _of_jacobian("jacobian_spread", False)),
)  # fmt: skip
"""What takes a backward pass for each output."""


def predictors_of(found: Diagnosis, names: Collection[str] | None = None) -> pd.DataFrame:
    """The predictors of each draw of a diagnosis; [draw, predictor].

    What is not a number because nothing gets through counts as infinitely bad, but where it is not known for a whole
    model, as the first loss without targets, for any initializer.

    Args:
        names: of those that are wanted, in any order; None = all.
    """
    chosen = [each for each in (*PREDICTORS, *COSTLY) if names is None or each.name in names]
    whole_of = found.draws.set_index("draw").to_dict("index")
    rows = []
    for number, points in found.points.groupby("draw"):
        whole = {str(name): value for name, value in whole_of[number].items()}
        draw = Draw(found.layers, points, whole)
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
