"""How a number changes along a network: trends and steps of its logarithm, over the layers that are compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

LIMIT = 6.0
"""Depth scales within which a network is trainable."""
LIMIT_WITH_NORMS = 21.0
"""The same for gradients where most layers have a norm right behind them; see `signal.verdicts`."""
NOTHING = 1e-14
"""The variance that rounding to float32 leaves between equal inputs, as a share of their mean square."""
AT_ONCE = 0.6
"""A change of which more than so much happens in one of several layers is a step."""


@dataclass(frozen=True)
class Drift:
    """How the logarithm of a mean square changes along a network.

    Attributes:
        rate: per layer.
        total: from one end to the other, or at a step.
        begin: the number of the first change.
        is_step: whether it happens at once.
        is_steady: whether it happens at this rate all the way, so that more layers would go on like that.
    """

    rate: float
    total: float
    begin: int
    is_step: bool
    is_steady: bool = False

    @property
    def factor(self) -> float:
        """What the mean square is multiplied by per layer; NaN where it does not change steadily."""
        return math.exp(self.rate) if self.is_steady else math.nan

    def in_words(self) -> str:
        """What becomes of a number, in words that follow it."""
        whole = f"{math.exp(min(max(self.total, -700.0), 700.0)):.3g}"
        if self.is_step:
            return f"is multiplied by {whole} at once"
        if self.is_steady:
            return f"is multiplied by {self.factor:.3g} per layer, by {whole} in all"
        return f"is multiplied by {whole} in all, by some layers much more than by others"


def drift(logs: Sequence[float] | np.ndarray) -> Drift:
    """The trend of a series, or its largest step, whichever is larger.

    Example:
        >>> drift([0, -1, -2, -3, -4])
        Drift(rate=-1.0, total=-4.0, begin=0, is_step=False, is_steady=True)
        >>> drift([0, 0, 0, 9, 9, 9]).begin
        2
    """
    values = np.asarray(logs, dtype=float)
    count = len(values)
    if count < 2:
        return Drift(0.0, 0.0, 0, False)
    first, second = np.triu_indices(count, 1)
    rate = float(np.median((values[second] - values[first]) / (second - first)))
    trend = rate * (count - 1)
    edge = 1 if count < 5 else 2 if count < 8 else 3
    cuts = range(edge, count - edge + 1)
    shifts = [float(np.median(values[cut:]) - np.median(values[:cut])) for cut in cuts]
    step = max(shifts, key=abs, default=0.0)
    total = max(step, trend, key=abs)
    changes = np.sign(total) * np.diff(values)
    is_step = count > 3 and changes.max() > AT_ONCE * abs(total)
    begin = int(changes.argmax()) if is_step else int((changes >= min(LIMIT / count, changes.max())).argmax())
    is_steady = not is_step and abs(trend) > AT_ONCE * abs(total)
    return Drift(rate, step if is_step and step else total, begin, bool(is_step), is_steady)


def series(points: pd.DataFrame, column: str, names: Sequence[str]) -> np.ndarray:
    """The logarithm of a column, [draw, layer]; NaN where it is 0 or not finite."""
    place = {name: number for number, name in enumerate(names)}
    columns = np.array([place.get(name, -1) for name in points["layer"]], dtype=int)
    draws, rows = np.unique(points["draw"].to_numpy(), return_inverse=True)
    values = np.full((len(draws), len(names)), np.nan)  # a pivot of pandas takes ten times as long
    values[rows[columns >= 0], columns[columns >= 0]] = points[column].to_numpy(float)[columns >= 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(values)
    logs[~np.isfinite(logs)] = np.nan
    return logs


def drift_of(logs: np.ndarray) -> tuple[Drift, list[int], float]:
    """The drift of the mean over draws, which columns it is of, and twice its standard error over draws."""
    known = [number for number in range(logs.shape[1]) if np.isfinite(logs[:, number]).any()]
    if not known:
        return Drift(0.0, 0.0, 0, False), [0], 0.0
    rows = logs[:, known]
    totals = [drift(row[np.isfinite(row)]).total for row in rows if np.isfinite(row).sum() > 1]
    error = 2 * float(np.std(totals, ddof=1)) / math.sqrt(len(totals)) if len(totals) > 1 else 0.0
    return drift(np.nanmean(rows, axis=0)), known, error


def hidden(layers: pd.DataFrame) -> pd.DataFrame:
    """Layers that multiply a signal by a weight."""
    return layers[~layers["is_look_up"]]


def signal_chain(layers: pd.DataFrame) -> list[str]:
    """The layers whose inputs are compared, in order: without the first, if a norm behind it undoes its size."""
    names, links = list(hidden(layers)["layer"]), list(hidden(layers)["link"])
    is_undone = len(names) > 1 and links[1] != names[0]
    return names[1:] if is_undone else names


def gradient_groups(layers: pd.DataFrame) -> list[pd.DataFrame]:
    """The layers whose gradients are compared: inside and outside of residual branches apart.

    What a small branch adds has small gradients by design. Layers that make queries or keys and nothing else are left
    out: their gradients come through a softmax, whose slope depends on the logits and not on the depth. Groups of two
    are left out beside another one.
    """
    found = hidden(layers)
    found = found[~found["is_idle"] & ~found["is_head"] & ~found["makes_logits"]]
    return [group for _, group in found.groupby("in_branch") if len(group) > 2 or len(group) == len(found) > 1]


def gradient_limit(group: pd.DataFrame) -> float:
    """Depth scales that the gradients of such a group may change by."""
    return LIMIT_WITH_NORMS if group["is_normalised"].mean() > 0.5 else LIMIT


def informed_layers(layers: pd.DataFrame) -> list[str]:
    """The layers whose outputs are asked how much of them depends on the input."""
    found = hidden(layers)
    return list(found.loc[~found["is_head"] & ~found["is_idle"], "layer"])


def input_shares(points: pd.DataFrame) -> pd.DataFrame:
    """The points with an `input_share` that is no smaller than what rounding leaves; NaN where there is no signal."""
    return points.assign(input_share=points["input_share"].clip(lower=NOTHING).where(points["q"] > 0))
