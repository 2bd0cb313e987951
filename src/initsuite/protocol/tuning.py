"""The learning-rate rule of the protocol: what an lr scores, which one an arm gets, when a grid is extended.

Pure functions of the stored tuning trials, so that training and report always make the same choice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from initsuite.errors import bad_value, check_number, check_whole_number
from initsuite.protocol.yardstick import Yardstick
from initsuite.spec import Status

FIRST_TUNING_SEED = 10_000
"""Tuning seeds count from here, scoring seeds from 0: they never meet."""

TRAINS_ABOVE = 0.1
"""A normalised score above this counts as training (chance 0, the hard level 1)."""
MAX_EXTENSIONS = 2
"""How many values a grid may grow by at each edge."""


@dataclass(frozen=True)
class Protocol:
    """How many seeds a comparison has, and where its learning rates come from.

    Attributes:
        name: smoke, quick, standard, strict (tuned) or fixed; part of no id.
        tuning_seeds: trials at each lr of the grid; 0 = nothing is tuned and `lr` is used.
        scoring_seeds: trials at the chosen lr.
        lr: lr of all arms if nothing is tuned.
    """

    name: str
    tuning_seeds: int
    scoring_seeds: int
    lr: float | None = None

    def __post_init__(self) -> None:
        check_whole_number("protocol", "seeds", self.scoring_seeds)
        check_whole_number("protocol", "tuning_seeds", self.tuning_seeds, minimum=0)
        if self.scoring_seeds > FIRST_TUNING_SEED:
            raise bad_value("protocol", "seeds", self.scoring_seeds, f"at most {FIRST_TUNING_SEED} scoring seeds")
        if self.tuning_seeds > FIRST_TUNING_SEED:
            raise bad_value("protocol", "tuning_seeds", self.tuning_seeds, f"at most {FIRST_TUNING_SEED} of them")
        if self.is_tuned == (self.name == "fixed"):
            expected, fix = "0 under protocol=fixed, from 1 under any other", "Use protocol=fixed to tune nothing."
            raise bad_value("protocol", "tuning_seeds", self.tuning_seeds, expected, fix)
        if self.is_tuned and self.lr is not None:
            fix = f"Train at one lr with: protocol=fixed optimizer.lr={self.lr}"
            expected = f"no lr under protocol={self.name}, which tunes it"
            raise bad_value("protocol", "optimizer.lr", self.lr, expected, fix)
        if not self.is_tuned and self.lr is None:
            raise bad_value("protocol", "optimizer.lr", None, "a learning rate", "Add, for example: optimizer.lr=0.1")
        if self.lr is not None:
            check_lr("protocol", "optimizer.lr", self.lr)

    @property
    def is_tuned(self) -> bool:
        return self.tuning_seeds > 0


def check_lr(where: str, name: str, value: object) -> None:
    """Refuse what is no learning rate, and one that is 0 or infinite in the float32 of training.

    Raises:
        ConfigError: so.
    """
    check_number(where, name, value, above=0)
    least, most = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
    if not least <= float(value) <= most:  # type: ignore[arg-type]
        raise bad_value(where, name, value, f"a number that float32 holds, {least:.0e} to {most:.0e}")


def trains(score: float, yardstick: Yardstick) -> bool:
    """Whether a final score counts as training; NaN does not."""
    return yardstick.normalised(score) > TRAINS_ABOVE


def lr_scores(tune: pd.DataFrame, yardstick: Yardstick) -> dict[float, float]:
    """Mean final validation score of each lr over its tuning seeds.

    A diverged trial counts as chance; so does, on an unbounded scale, a score worse than chance (`Yardstick.counted`).

    Args:
        tune: tuning trials of one cell, with columns lr, status, final_val_score; failed ones are left out.
        yardstick: scale of the data set.
    """
    if tune.empty:  # a shortcut for the thousands of cells at the start of a sweep
        return {}
    means = _means(tune, yardstick, ["lr"])
    return dict(zip(means.index.tolist(), means.tolist(), strict=True))


def lr_scores_by_cell(tune: pd.DataFrame, yardstick: Yardstick) -> dict[str, dict[float, float]]:
    """`lr_scores` of every cell that has tuning trials, in one pass over thousands of cells.

    Args:
        tune: as for `lr_scores`, and the column cell_id.
        yardstick: scale of the data set, for all of them.
    """
    means = _means(tune, yardstick, ["cell_id", "lr"])
    found: dict[str, dict[float, float]] = {}
    for (cell_id, lr), mean in zip(means.index.tolist(), means.tolist(), strict=True):
        found.setdefault(cell_id, {})[lr] = mean
    return found


def _means(tune: pd.DataFrame, yardstick: Yardstick, keys: list[str]) -> pd.Series:
    done = tune[tune.status != Status.FAILED]
    score = done.final_val_score.where(done.status == Status.DONE, yardstick.chance).map(yardstick.counted)
    return score.groupby([done[key] for key in keys]).mean()


def centre(grid: Sequence[float]) -> float:
    """The middle value of a grid, the lower one of two."""
    return sorted(grid)[(len(grid) - 1) // 2]


def best_lr(scores: Mapping[float, float], grid: Sequence[float], yardstick: Yardstick) -> float:
    """The lr an arm is scored at.

    Args:
        scores: by lr, from `lr_scores`.
        grid: the configured grid, not extended; its centre breaks ties and is the answer for an arm that never trains.
        yardstick: scale of the data set.
    """
    middle = centre(grid)
    trained = {lr: yardstick.oriented(score) for lr, score in scores.items() if trains(score, yardstick)}
    if not trained:
        return middle
    return min(trained, key=lambda lr: (-trained[lr], abs(math.log(lr / middle)), lr))


def extended_grid(grid: Sequence[float], arms: Sequence[Mapping[float, float]], yardstick: Yardstick) -> list[float]:
    """The grid all arms of a context must be tuned on, given the scores known so far.

    It holds the configured grid, every lr out of its range that an arm was already tuned at, and one more value at each
    edge that is the best lr of an arm that trains there, up to `MAX_EXTENSIONS` values per edge. Call again after
    training the new values until none is added.

    Args:
        grid: the configured grid, evenly spaced on a log scale.
        arms: `lr_scores` of each arm of the context.
        yardstick: scale of the data set.
    """
    base = sorted(grid)
    known = sorted({*base, *(lr for scores in arms for lr in scores if not base[0] <= lr <= base[-1])})
    if len(base) < 2:
        return known
    ratio = (base[-1] / base[0]) ** (1 / (len(base) - 1))
    below, above = (sum(lr < base[0] for lr in known), sum(lr > base[-1] for lr in known))
    for edge, used, beyond in (
        (known[0], below, base[0] / ratio ** (below + 1)),
        (known[-1], above, base[-1] * ratio ** (above + 1)),
    ):
        wanted = any(
            best_lr(scores, grid, yardstick) == edge and trains(scores.get(edge, yardstick.chance), yardstick)
            for scores in arms
        )
        if wanted and used < MAX_EXTENSIONS:
            known.append(float(f"{beyond:.3g}"))
    return sorted(known)
