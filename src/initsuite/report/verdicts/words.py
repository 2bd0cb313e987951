"""The comparison of a context as sentences: what a reader should take away, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from enum import StrEnum

import pandas as pd

from initsuite.report.formatting import format_area, format_difference, format_lr, format_p, format_score, format_steps
from initsuite.report.verdicts.comparison import Comparison, Standing
from initsuite.report.verdicts.final_score import ScoreStanding
from initsuite.report.verdicts.next_step import next_step
from initsuite.report.verdicts.reproduce import commands_of
from initsuite.report.verdicts.rulings import EQUAL, Verdict
from initsuite.wording import format_count, format_names


class Grade(StrEnum):
    """Grades of confidence, surest first."""

    HIGH = "high"
    MODERATE = "moderate"
    LOW = "low"
    NONE = "none"


def in_words(comparison: Comparison) -> str:
    """The context in a few sentences."""
    return " ".join(_sentences(comparison))


def confidence(comparison: Comparison) -> tuple[Grade, str]:
    """How sure the recommendation is, and why.

    What the interval of P(the leader is better) denies by spanning 1/2 counts for nothing here, even where the paired
    test claims it; and where nobody reaches the easy level, no order of the arms is worth more than `low`.
    """
    beside = [standing for standing in comparison.scored if standing is not comparison.leader]
    others = [standing.verdict for standing in beside]
    if not comparison.scored:
        return Grade.NONE, "no scoring trials"
    if comparison.leader is None:
        return Grade.NONE, "no initializer trains"
    if not others:
        return Grade.NONE, "nothing to compare with"
    if comparison.leader.num_seeds == 1:
        return Grade.LOW, f"one seed ({comparison.seeds_to_decide} could decide)"
    if Verdict.BETTER_WHERE_SHARED in others:
        return Grade.LOW, "the paired test contradicts the ranking"
    if all(verdict == Verdict.NOT_TRAINED for verdict in others):
        return Grade.LOW, f"no other arm trains, in {format_count(comparison.leader.num_seeds, 'seed')}"
    if Verdict.TOO_FEW_SEEDS in others:
        return Grade.LOW, f"not enough seeds ({comparison.seeds_to_decide} could decide)"
    by_area = "" if comparison.level else ", by loss area"
    num_worse = sum(standing.is_clearly_worse for standing in beside)
    if comparison.misses_every_level:
        return Grade.LOW, f"nobody reaches the easy level; better than {num_worse} of {len(others)} others by loss area"
    if num_worse == len(others):
        return Grade.HIGH, f"better than every other arm{by_area}"
    if num_worse:
        return Grade.MODERATE, f"better than {num_worse} of {len(others)} others{by_area}"
    if Verdict.WORSE in others:
        return Grade.LOW, f"the interval of P(better) spans 1/2{by_area}"
    is_equal = all(verdict == Verdict.NO_DIFFERENCE for verdict in others)
    return Grade.LOW, f"{'no difference' if is_equal else 'undecided'}{by_area}"


def _sentences(comparison: Comparison) -> Iterator[str]:
    if not comparison.scored:
        yield "No scoring trials yet: nothing can be recommended. The same command, run again, makes the missing ones."
        return
    if comparison.leader is None:
        yield f"No initializer trains: {_near_chance(comparison, comparison.scored)}."
        yield next_step(comparison)
        return
    yield from _about_what_is_single(comparison, comparison.leader)
    yield from _about_the_level(comparison)
    stuck = [found for found in comparison.scored if found.near_chance and found is not comparison.leader]
    others = f"; {_near_chance(comparison, stuck)}" if stuck else ""
    yield f"{_leader_sentence(comparison, comparison.leader)}{others}."
    yield from _about_the_others(comparison, comparison.leader)
    if accurate := comparison.scores.leader:
        yield _about_the_score(comparison, comparison.leader, accurate)
    if missing := comparison.of(Verdict.NOT_SCORED):
        yield f"No scoring trials of {_names(missing)} yet."


def _about_the_score(comparison: Comparison, fastest: Standing, accurate: ScoreStanding) -> str:
    """Both results in a sentence: who is fastest, who is most accurate, and by how much."""
    metric = comparison.context.yardstick.metric
    names = (fastest.arm.name, accurate.arm.name)
    others = comparison.scores.standings[1:]
    if names[0] == names[1]:
        if not others:
            return f"Fastest and most accurate: {names[0]}."
        second = f"{format_difference(others[0].difference, metric)} over {others[0].arm.name}"
        return f"Fastest and most accurate: {names[0]}, {second}, {format_p(others[0].p_value)}."
    beaten = comparison.scores.of_arm(names[0])
    if beaten is None:
        return f"Fastest: {names[0]}; most accurate: {names[1]}."
    difference = f"{format_difference(beaten.difference, metric)}, {format_p(beaten.p_value)}"
    verdict = "" if beaten.verdict == Verdict.WORSE else f" ({beaten.verdict})"
    return f"Fastest: {names[0]}; most accurate: {names[1]}, {difference}{verdict}."


def _about_what_is_single(comparison: Comparison, leader: Standing) -> Iterator[str]:
    """What nothing can be concluded from comes first."""
    if len(comparison.scored) == 1:
        yield "Only one initializer was scored here: there is nothing to compare it with."
    if leader.num_seeds == 1:
        yield "Only one seed: another one may reverse the order."


def _about_the_level(comparison: Comparison) -> Iterator[str]:
    primary = comparison.context.yardstick.levels.get("primary")
    if primary is None and (comparison.context.config.get("dataset") or {}).get("fingerprint"):
        yield "No targets were given: the area under the validation loss ranks the arms."
    elif primary is None:
        yield "This data set has no frozen target yet: the area under the validation loss ranks the arms."
    elif comparison.level == "easy":
        yield f"Nobody reaches the target {primary:g}: the easier level {comparison.target:g} ranks the arms."
    elif comparison.level is None:
        yield f"Nobody reaches the target {primary:g} or the easier level: the area under the validation loss ranks."


def _leader_sentence(comparison: Comparison, leader: Standing) -> str:
    if comparison.level is None:
        seeds = format_count(leader.num_seeds, "seed")
        return f"{leader.arm.name} has the smallest loss area, median {_area(comparison, leader)} ({seeds})"
    diverged = f", diverging in {leader.num_diverged}" if leader.num_diverged else ""
    goal = f"{'the target' if comparison.level == 'primary' else 'the easier level'} {comparison.target:g}"
    return f"{leader.arm.name} reaches {goal} {_success(leader)}{diverged}"


def _names(standings: Sequence[Standing]) -> str:
    return format_names([standing.arm.name for standing in standings])


def _success(standing: Standing) -> str:
    median = format_steps(standing.steps)
    steps = "" if math.isinf(standing.steps.estimate) else f" (median {median.text} steps {median.detail})"
    return f"in {standing.num_reached} of {format_count(standing.num_seeds, 'seed')}{steps}"


def _near_chance(comparison: Comparison, stuck: Sequence[Standing]) -> str:
    verb = "stays" if len(stuck) == 1 else "stay"
    where = "at every learning rate" if comparison.context.is_tuned else f"at lr {format_lr(stuck[0].arm.lr)}"
    return f"{_names(stuck)} {verb} near chance {where}"


def _about_the_others(comparison: Comparison, leader: Standing) -> Iterator[str]:
    if equal := comparison.of(Verdict.NO_DIFFERENCE):
        low, high = EQUAL
        yield f"No difference between {leader.arm.name} and {_names(equal)} (P(better) within {low:g} to {high:g})."
    if tied := comparison.of(Verdict.UNDECIDED):
        least = "" if len(tied) == 1 else "smallest "
        p_value = format_p(min(standing.p_value for standing in tied))
        yield f"Undecided between {leader.arm.name} and {_names(tied)} ({least}adjusted {p_value})."
    worse = [standing for standing in comparison.of(Verdict.WORSE) if not standing.near_chance]
    if worse:
        most = "" if len(worse) == 1 else "largest "
        p_value = format_p(max(standing.p_value for standing in worse))
        listed = "; ".join(_worse(comparison, standing) for standing in worse)
        yield f"Worse than {leader.arm.name} ({most}adjusted {p_value}): {listed}."
    for standing in comparison.of(Verdict.BETTER_WHERE_SHARED):
        p_value = format_p(standing.p_value)
        yield f"On the seeds they share, {standing.arm.name} is better on average (adjusted {p_value})."
    if never := comparison.of(Verdict.NOT_TRAINED):
        yield f"{leader.arm.name} trains in all of {format_count(leader.num_seeds, 'seed')}, {_names(never)} in none."
    if short := comparison.of(Verdict.TOO_FEW_SEEDS):
        needed, least = comparison.seeds_to_decide, min(standing.num_seeds for standing in (leader, *short))
        yield (
            f"Not enough seeds to tell {leader.arm.name} from {_names(short)} ({least} of at least {needed}): "
            f"run {_again(comparison, needed)}."
        )


def _again(comparison: Comparison, seeds: int) -> str:
    """The command that trains so many seeds; in words where none is stored."""
    trials = pd.concat([standing.arm.trials for standing in comparison.scored], ignore_index=True)
    found = commands_of(trials, seeds) if "overrides" in trials else []
    return found[0] if len(found) == 1 else f"the same command with seeds={seeds}"


def _worse(comparison: Comparison, standing: Standing) -> str:
    if comparison.level is None:
        return f"{standing.arm.name} {_area(comparison, standing)}"
    yardstick = comparison.context.yardstick
    score = f", test {yardstick.label} {format_score(standing.score, yardstick.metric)}"
    return f"{standing.arm.name} {_success(standing)}{'' if standing.num_reached else score}"


def _area(comparison: Comparison, standing: Standing) -> str:
    return f"{format_area(standing.loss_auc)} {comparison.context.loss_unit}"
