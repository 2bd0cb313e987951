"""Whether the choice of an initializer matters in a network, in plain sentences for each optimizer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from initsuite.protocol.tuning import TRAINS_ABOVE
from initsuite.report.evidence.context import NO_NORM, Context, counted_scores
from initsuite.report.formatting import format_difference
from initsuite.report.verdicts.comparison import BASELINE
from initsuite.report.verdicts.worth import Worth
from initsuite.wording import format_names

_NORMS = {NO_NORM: "without a norm", "batch": "with batch norm", "layer": "with layer norm"}
_OVER_DEFAULT = "score_over_default"


@dataclass(frozen=True)
class WorthAnswer:
    """What holds for one network.

    Attributes:
        network: as in `Worth`.
        context: one of its contexts, that without a norm if there is one.
        lines: each optimizer with its sentences.
    """

    network: str
    context: Context
    lines: tuple[tuple[str, str], ...]


def worth_answers(found: Sequence[Worth]) -> list[WorthAnswer]:
    """One answer for each network: for each optimizer, with which norms the best and the worst initializer differ."""
    answers = []
    for network in dict.fromkeys(worth.network for worth in found):
        chosen = [worth for worth in found if worth.network == network]
        by_optimizer = {
            name: [worth for worth in chosen if worth.optimizer == name]
            for name in dict.fromkeys(worth.optimizer for worth in chosen)
        }
        lines = tuple((name, " ".join(_sentences(worths))) for name, worths in by_optimizer.items())
        answers.append(WorthAnswer(network, chosen[0].comparison.context, lines))
    return answers


def how_sure(found: Sequence[Worth]) -> str:
    """What the numbers of the answers are, and when a difference counts."""
    fewest, most = (pick(len(worth.table) for worth in found) for pick in (min, max))
    seeds = str(most) if fewest == most else f"{fewest} to {most}"
    is_accuracy = any(worth.comparison.context.yardstick.metric == "accuracy" for worth in found)
    points = " A point is one percentage point of test accuracy." if is_accuracy else ""
    return (
        f"How much better the best initializer scores in the end than the worst one, each at its own best learning "
        f"rate.{points} In brackets: the range that holds the difference with 95 % confidence, over {seeds} "
        f"seeds, wide enough for all pairs of initializers at once; the choice is said to matter where it lies above 0."
    )


def _sentences(worths: Sequence[Worth]) -> Iterator[str]:
    """Those of a network under one optimizer."""
    lows = [worth.interval("score").low for worth in worths]
    shown = [_case(worth) for worth, low in zip(worths, lows, strict=True) if low > 0]
    hidden = [_case(worth) for worth, low in zip(worths, lows, strict=True) if low <= 0]
    unknown = [_norm(worth) for worth, low in zip(worths, lows, strict=True) if math.isnan(low)]
    if shown:
        yield f"The choice matters {format_names(shown)}."
    if hidden:
        yield f"It is not shown to matter {format_names(hidden)}."
    if unknown:
        yield f"There are too few seeds to tell {format_names(unknown)}."
    known = [worth for worth in worths if not math.isnan(worth.interval(_OVER_DEFAULT).low)]
    beaten = [worth for worth in known if worth.interval(_OVER_DEFAULT).low > 0]
    if beaten:
        yield f"{BASELINE} is beaten {format_names([_over_default(worth, 'by ') for worth in beaten])}."
    if rest := [_over_default(worth, "best other: ") for worth in known if worth not in beaten]:
        yield f"No initializer is shown to beat {BASELINE} {format_names(rest, 'or')}."


def _case(worth: Worth) -> str:
    """A norm with the initializers that differ most there, and by how much."""
    fails = "" if _trains(worth) else f"; {worth.worst} stays near chance"
    return f"{_norm(worth)} ({worth.best} over {worth.worst}: {_difference(worth, 'score')}{fails})"


def _over_default(worth: Worth, role: str) -> str:
    """A norm with the best other initializer there, and by how much it is better than the default."""
    return f"{_norm(worth)} ({role}{worth.best_other}, {_difference(worth, _OVER_DEFAULT)})"


def _difference(worth: Worth, name: str) -> str:
    return format_difference(worth.interval(name), worth.comparison.context.yardstick.metric)


def _trains(worth: Worth) -> bool:
    """Whether the worst initializer does."""
    yardstick = worth.comparison.context.yardstick
    (worst,) = (arm for arm in worth.arms if arm.name == worth.worst)
    return float(yardstick.normalised(counted_scores(worst, yardstick).mean())) > TRAINS_ABOVE


def _norm(worth: Worth) -> str:
    return _NORMS.get(worth.norm, f"with {worth.norm}-norm")
