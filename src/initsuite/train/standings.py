"""How the arms stand: a table for each workload, best arm first."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from initsuite.config.build import AnyJob
from initsuite.protocol.yardstick import Yardstick, yardstick_of
from initsuite.spec import CONTEXT_AXES, Stage, Status
from initsuite.train.trials import Tuned, scoring_pairs
from initsuite.wording import format_count


@dataclass(frozen=True)
class Standing:
    """An arm at one learning rate.

    Attributes:
        context: the labels of `CONTEXT_AXES`.
        scores: the last validation score of each of its trials, chance where one has diverged.
    """

    context: tuple[str, ...]
    init: str
    stage: str
    lr: float
    scores: Sequence[float]
    yardstick: Yardstick

    @property
    def mean(self) -> float:
        return fmean(self.scores)

    def row(self) -> tuple[str, ...]:
        how = self.yardstick.written
        spread = f"{self.mean:{how}} ({min(self.scores):{how}} to {max(self.scores):{how}})"
        return self.init, self.stage, f"{self.lr:g}", str(len(self.scores)), spread


def counted_score(score: float, yardstick: Yardstick) -> float:
    """A score, or chance in place of one that is not finite."""
    return float(score) if math.isfinite(score) else yardstick.chance


def stored_standings(trials: pd.DataFrame, jobs: Iterable[AnyJob]) -> list[Standing]:
    """What the store says of the scoring trials of some jobs, in their order.

    Args:
        trials: a table with the columns of the store.
    """
    tuned = Tuned(trials)
    is_scored = (trials.stage == Stage.SCORE) & (trials.status != Status.FAILED)
    rows = {row["trial_id"]: row for row in trials[is_scored].to_dict("records")}
    return [standing for job in jobs if (standing := _stored(job, tuned, rows))]


def _stored(job: AnyJob, tuned: Tuned, rows: dict[str, dict]) -> Standing | None:
    found = [rows[trial.trial_id] for _, trial in scoring_pairs(job, tuned) if trial.trial_id in rows]
    if not found:
        return None
    first, yardstick = found[0], yardstick_of(json.loads(found[0]["config"])["dataset"])
    scores = [counted_score(row["final_val_score"], yardstick) for row in found]
    context = tuple(str(first[axis]) for axis in CONTEXT_AXES)
    return Standing(context, str(first["init"]), str(Stage.SCORE), float(first["lr"]), scores, yardstick)


def standings_table(standings: Sequence[Standing], most: int) -> RenderableType:
    """A table for each context, in their order.

    Args:
        most: lines that it may take; further contexts are counted in the last one.
    """
    contexts: dict[tuple[str, ...], list[Standing]] = {}
    for standing in standings:
        contexts.setdefault(standing.context, []).append(standing)
    width = max((len(standing.init) for standing in standings), default=0)
    parts: list[RenderableType] = []
    shown = lines = 0
    for context, arms in contexts.items():
        lines += len(arms) + 3
        if shown and lines > most:
            break
        parts += [Text(" / ".join(context), style="bold"), _table(arms, width, max(1, most - 3)), Text()]
        shown += 1
    if left := len(contexts) - shown:
        parts += [Text(f"... and {format_count(left, 'more workload')}")]
    return Group(*(parts if left else parts[:-1]))


def _table(arms: Sequence[Standing], width: int, most: int) -> Table:
    is_tuning = any(arm.stage != Stage.SCORE for arm in arms)
    labels = {arm.yardstick.label for arm in arms}
    metric = labels.pop() if len(labels) == 1 else "score"
    table = Table(box=None, pad_edge=False)
    for name in _shown(("initializer", "stage", "lr", "trials", f"validation {metric} (mean, range)"), is_tuning):
        is_text = name in ("initializer", "stage")
        least = min(width, 40) if name == "initializer" else None
        table.add_column(name, justify="left" if is_text else "right", overflow="fold", min_width=least)
    ranked = sorted(arms, key=lambda arm: -arm.yardstick.normalised(arm.mean))
    for arm in ranked[:most]:
        table.add_row(*map(Text, _shown(arm.row(), is_tuning)))
    if len(ranked) > most:
        table.add_row(f"... and {len(ranked) - most} more")
    return table


def _shown(entries: Sequence[str], is_tuning: bool) -> Iterator[str]:
    """A row without its stage, where all are scored."""
    return (entry for place, entry in enumerate(entries) if is_tuning or place != 1)
