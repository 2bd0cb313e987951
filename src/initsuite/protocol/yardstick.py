"""The scale of a data set: what its score is, which way is better, what chance and the target levels are.

Plain numbers, without torch: training reads curves on it, and so does the report.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from initsuite.errors import bad_value, check_number, unknown_choice

LEVELS = ("easy", "primary", "hard")
LEVEL_TOLERANCE = 1e-12
"""A score this little below a level is at it: 0.95 of 300 examples may lie one ulp below 0.95."""

Scores = TypeVar("Scores", float, np.ndarray, pd.Series)


@dataclass(frozen=True)
class Metric:
    """What a data set is scored by.

    Attributes:
        label: its name in headings.
        direction: max if higher is better, min if lower is.
        unit: unit of a score.
        written: format of a score; a score that rounds to zero has no sign (z).
        best: score of a model without error.
        worst: bound on the other side.
    """

    label: str
    direction: str
    unit: str
    written: str
    best: float
    worst: float

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest possible score."""
        low, high = sorted((self.best, self.worst))
        return low, high


METRICS = {
    "accuracy": Metric("accuracy", "max", "share of right answers, 0 to 1", "z.3f", best=1.0, worst=0.0),
    "mse": Metric("mean squared error", "min", "squared units of the targets", "z.3g", best=0.0, worst=math.inf),
    "bits_per_char": Metric("bits per character", "min", "bits", "z.3g", best=0.0, worst=math.inf),
    "loss": Metric("loss", "min", "units of your loss", "z.4g", best=-math.inf, worst=math.inf),
    "score": Metric("score", "max", "units of your metric", "z.4g", best=math.inf, worst=-math.inf),
    "error": Metric("error", "min", "units of your metric", "z.4g", best=-math.inf, worst=math.inf),
}
"""The last three are a person's own, of which nothing is known but their direction."""

LOSS_UNITS = {"cross_entropy": "nats", "mse": "squared units", "own": "loss units"}
"""Units of the area under a curve, by loss."""


@dataclass(frozen=True)
class Yardstick:
    """The frozen scale of a data set, on which curves are read.

    Attributes:
        metric: a name of `METRICS`.
        chance: score of a constant guess.
        levels: scores of easy, primary and hard; None where not frozen yet.

    Raises:
        ConfigError: an unknown metric, chance outside its bounds, levels that do not lead to the best score.

    Example:
        >>> Yardstick("mse", 1.0, {"easy": 0.5, "primary": 0.2, "hard": 0.1}).normalised(0.1)
        1.0
    """

    metric: str
    chance: float
    levels: Mapping[str, float | None] = field(default_factory=lambda: dict.fromkeys(LEVELS))

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise unknown_choice("dataset", "metric", self.metric, METRICS)
        low, high = self.bounds
        check_number("dataset", "chance", self.chance)
        if not low <= self.chance <= high or self.chance == METRICS[self.metric].best:
            expected = f"{self.metric} from {low:g} to {high:g}, and not the best there is"
            raise bad_value("dataset", "chance", self.chance, expected)
        self._check_levels()

    @property
    def direction(self) -> str:
        return METRICS[self.metric].direction

    @property
    def label(self) -> str:
        return METRICS[self.metric].label

    @property
    def written(self) -> str:
        return METRICS[self.metric].written

    @property
    def bounds(self) -> tuple[float, float]:
        return METRICS[self.metric].bounds

    def oriented(self, score: Scores) -> Scores:
        """A score turned so that higher is better."""
        return score if self.direction == "max" else -score

    def is_at(self, score: Scores, level: float | None) -> Any:
        """Whether a score has reached a level; NaN never has, and nothing reaches None."""
        goal = math.nan if level is None else level
        return self.oriented(score) >= self.oriented(goal) - LEVEL_TOLERANCE

    def normalised(self, score: float) -> float:
        """A score on the scale chance 0, hard level 1.

        If no level is frozen, 1 is the best possible score; of a person's own measure, whose best is not known, as far
        from chance as 0 is: a loss that has gone down by a tenth trains, and so does a score from 0 that has reached
        a tenth.
        """
        hard = self.levels.get("hard")
        goal = METRICS[self.metric].best if hard is None else hard
        if math.isinf(goal):
            goal = self.chance + math.copysign(abs(self.chance) or 1.0, goal)
        return (score - self.chance) / (goal - self.chance)

    def counted(self, score: float) -> float:
        """A score as it enters a mean: on an unbounded scale nothing counts worse than chance, as a diverged trial does
        not, or one number would decide."""
        is_bounded = all(math.isfinite(bound) for bound in self.bounds)
        return score if is_bounded or self.oriented(score) > self.oriented(self.chance) else self.chance

    def _check_levels(self) -> None:
        best = METRICS[self.metric].best
        expected = f"easy, primary and hard, each null or on the way from chance ({self.chance:g}) to {best:g}"
        levels = self.levels
        if not isinstance(levels, Mapping) or levels.keys() != set(LEVELS):
            raise bad_value("dataset", "levels", levels, expected)
        frozen = [level for name in LEVELS if (level := levels[name]) is not None]
        for level in frozen:
            check_number("dataset", "levels", level)
        way = [self.oriented(float(level)) for level in (self.chance, *frozen, best)]
        if way != sorted(way) or way[0] in way[1:-1]:
            raise bad_value("dataset", "levels", levels, expected)


def yardstick_of(dataset: Mapping[str, Any]) -> Yardstick:
    """The scale that a configured data set names by its keys metric, direction, chance and levels.

    Raises:
        ConfigError: a value that does not fit.
    """
    yardstick = Yardstick(dataset["metric"], dataset["chance"], dataset["levels"])
    if dataset["direction"] != yardstick.direction:
        raise bad_value("dataset", "direction", dataset["direction"], f"{yardstick.direction}, of {yardstick.metric}")
    return yardstick
