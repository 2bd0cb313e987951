"""Which initializer to use for one network, from stored trials."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import pandas as pd

from initsuite.errors import ConfigError, unknown_choice
from initsuite.report.formatting import format_p, format_share
from initsuite.report.verdicts.across import Block, complete_block, main_comparisons, rank_places
from initsuite.report.verdicts.comparison import Comparison, rows_of
from initsuite.report.verdicts.heat import workload_key
from initsuite.report.verdicts.pooling import Duel, Pooled, duel, outcomes, pooled
from initsuite.report.verdicts.recommendations import Report, build_report
from initsuite.report.verdicts.rulings import EQUAL, Ruling, ruling_of
from initsuite.results.sources import REFERENCE_STORE
from initsuite.results.store import Results, load_results
from initsuite.stats.intervals import CONFIDENCE, Interval
from initsuite.stats.pairwise import holm
from initsuite.wording import format_count, format_first, format_names, format_range

EVIDENCE_COLUMNS = [
    "context", "recommended", "tied_with", "undecided", "best_lr", "num_reached", "num_seeds",
    "median_steps", "median_steps_low", "median_steps_high", "test_score", "test_score_low", "test_score_high",
    "confidence", "confidence_reason", "in_words",
]  # fmt: skip

_OF_THE_REFERENCE = (
    "These are small networks and data sets, trained for a few hundred steps with one optimizer. For yours, run: "
    "python -m initsuite.train -m init=zero,normal,xavier,he,orthogonal model=... activation=... dataset=..."
)


@dataclass(frozen=True)
class Answer:
    """Which initializer to use, why, and how far that reaches. Printed, it reads as a few sentences.

    Attributes:
        recommended: the initializer with the best mean rank over the contexts; None where none trains.
        tied_with: initializers that the pooled test does not show to be worse.
        confidence: high (better than all others), moderate (than some), low (than none), none. What the interval of
            P(better) denies by spanning 1/2 does not count; a question outside what was tried is never above low.
        sentences: the answer in words.
        limits: what it is based on, and what it does not say.
        evidence: one row per context, columns `EVIDENCE_COLUMNS`; units as in `recommend_table`.
        against: one row per other initializer: init, improvement (P(recommended is better)), low, high, p_value, and
            the verdict on "the recommended one is better", one of `Ruling`.
        neighbours: where the question lies outside what was tried, the answers at the nearest depths on either side, by
            hidden layers; `recommended`, `tied_with` and `against` are those of the nearest one.
    """

    recommended: str | None
    tied_with: tuple[str, ...]
    confidence: str
    sentences: str
    limits: tuple[str, ...]
    evidence: pd.DataFrame
    against: pd.DataFrame
    neighbours: Mapping[int, Answer] = field(default_factory=dict)

    def __str__(self) -> str:
        return "\n".join([self.sentences, *(f"- {limit}" for limit in self.limits)])


def recommend(
    *,
    model: str | None = None,
    activation: str | None = None,
    depth: int | None = None,
    dataset: str | None = None,
    results: Results | None = None,
) -> Answer:
    """Which initializer to use for a network, from stored trials, without training.

    The contexts that fit are taken together: initializers are ranked by their mean place over them, and the best one is
    tested against each of the others by sign flips, each workload and seed at once (Holm).

    Args:
        model: kind of network: mlp, cnn, rnn; None = all of them.
        activation: None = all of them.
        depth: hidden layers. One that was not tried is answered by the nearest tried ones on either side, with low
            confidence. None = all of them.
        dataset: None = all of them.
        results: those of another store, from `load_results`; None = the reference, the results of `experiment=article`.

    Raises:
        ConfigError: nothing of the kind was tried.
        StoreError: `results` holds no trials.

    Example:
        >>> answer = recommend(model="mlp", depth=30, activation="relu")
        >>> answer.recommended, answer.confidence
        ('he_random_biases', 'moderate')
    """
    report = _reference() if results is None else build_report(results)
    found = list(main_comparisons(report))
    for name, wanted in {"model": model, "activation": activation, "dataset": dataset}.items():
        found = _with(name, wanted, found)
    by_depth = _at_depth(found, depth)
    answers = {layers: _answer(report, chosen) for layers, chosen in by_depth.items()}
    if depth is not None and depth not in answers:
        answer = _between(depth, answers)
    else:
        (answer,) = answers.values()
    return replace(answer, limits=(*answer.limits, _OF_THE_REFERENCE)) if results is None else answer


@cache
def _reference() -> Report:
    return build_report(load_results(REFERENCE_STORE))


def _kind(comparison: Comparison, name: str) -> str:
    """The name by which a question refers to the model, activation or data set of a context."""
    context = comparison.context
    config = {} if name == "activation" else context.config.get(name) or {}
    return str(config.get("name") or context.axes[name])


def _with(name: str, wanted: str | None, found: Sequence[Comparison]) -> list[Comparison]:
    fitting = [comparison for comparison in found if wanted in (None, _kind(comparison, name))]
    if not fitting:
        tried = sorted({_kind(comparison, name) for comparison in found})
        raise unknown_choice("recommend", name, wanted, tried)
    return fitting


def _at_depth(found: list[Comparison], depth: int | None) -> dict[int, list[Comparison]]:
    """The contexts with so many hidden layers or, where there are none, those nearest below and above, nearest first.

    All of them, under 0, without a depth.
    """
    if depth is None:
        return {0: found}
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
        raise ConfigError(f"recommend: bad `depth`={depth!r}. Expected a number of hidden layers, from 1.")
    tried = sorted({comparison.context.network.hidden_layers for comparison in found} - {0})
    if not tried:
        why = "the number of hidden layers of these networks is not known"
        raise ConfigError(f"recommend: bad `depth`={depth!r}. Expected none: {why}. Leave it out.")
    below, above = [layers for layers in tried if layers <= depth], [layers for layers in tried if layers >= depth]
    nearest = {*below[-1:], *above[:1]} if depth not in tried else {depth}
    ordered = sorted(nearest, key=lambda layers: abs(math.log(layers / depth)))
    return {layers: [one for one in found if one.context.network.hidden_layers == layers] for layers in ordered}


def _between(depth: int, answers: Mapping[int, Answer]) -> Answer:
    """The answer at a depth that was not tried: what holds at its neighbours, nearest first, and no more than that."""
    nearest, *_ = answers.values()
    tried = format_names([str(layers) for layers in sorted(answers)])
    nearby = "the nearest depths are" if len(answers) > 1 else "the nearest depth is"
    parts = [f"{depth} hidden layers were not tried; {nearby} {tried}."]
    parts += [f"At {layers}: {answers[layers].sentences}" for layers in sorted(answers)]
    chosen = {answer.recommended for answer in answers.values()}
    if len(answers) > 1:
        parts.append("They agree." if len(chosen) == 1 else "They disagree: what holds between them is not known.")
    confidence = "none" if nearest.recommended is None else "low"
    parts.append(f"Confidence at {depth}: {confidence}, as it lies outside what was tried.")
    return replace(
        nearest,
        confidence=confidence,
        sentences=" ".join(parts),
        limits=tuple(dict.fromkeys(limit for answer in answers.values() for limit in answer.limits)),
        evidence=pd.concat([answer.evidence for answer in answers.values()], ignore_index=True),
        neighbours=dict(sorted(answers.items())),
    )


def _answer(report: Report, found: Sequence[Comparison]) -> Answer:
    evidence = rows_of(report.recommendations, {comparison.key for comparison in found})[EVIDENCE_COLUMNS]
    block, limits = complete_block(found), list(_limits(found))
    if block.left_out:
        limits.append(f"Left out: {block.left_out}.")
    if all(comparison.leader is None for comparison in found):
        sentence = f"No initializer trains in the {format_count(len(found), 'context')} tried."
        is_scored = any(comparison.scored for comparison in found)
        return _nothing(sentence if is_scored else "No scoring trials yet.", limits, evidence)
    if not block.comparisons:
        return _nothing("No initializer has test scores here.", limits, evidence)
    order = rank_places(block).mean(axis=0).argsort(kind="stable")
    best, *others = [block.names[place] for place in order]
    return _judged(block, best, _matches(block, best, others), evidence, limits)


def _nothing(sentence: str, limits: list[str], evidence: pd.DataFrame) -> Answer:
    return Answer(None, (), "none", sentence, tuple(limits), evidence, _against({}))


@dataclass(frozen=True)
class _Match:
    """The recommended initializer against another one, over contexts; contexts that are significant alone by title."""

    pooled: Pooled
    won: tuple[str, ...]
    lost: tuple[str, ...]


def _matches(block: Block, best: str, others: Sequence[str]) -> dict[str, _Match]:
    found: dict[str, dict[str, Duel]] = {}
    for comparison in block.comparisons:
        standings = dict(zip(block.names, block.standings(comparison), strict=True))
        cluster = workload_key(comparison, "activation")
        for other in others:
            pair = duel(standings[best], standings[other], comparison.level, cluster)
            if pair is not None and pair.num_pairs:
                found.setdefault(other, {})[comparison.context.title] = pair
    return {other: _match(found[other]) for other in others if other in found}


def _match(duels: Mapping[str, Duel]) -> _Match:
    decided = dict(zip(duels, outcomes(list(duels.values())), strict=True))
    won, lost = (tuple(title for title, one in decided.items() if one.is_won is is_won) for is_won in (True, False))
    return _Match(pooled(list(duels.values())), won, lost)


def _against(matches: Mapping[str, _Match]) -> pd.DataFrame:
    adjusted = holm([found.pooled.p_value for found in matches.values()]) if matches else []
    rows = []
    for (name, found), p_value in zip(matches.items(), adjusted, strict=True):
        lead = found.pooled.improvement
        verdict = ruling_of(lead, float(p_value), len(found.won), len(found.lost))
        rows.append((name, lead.estimate, lead.low, lead.high, float(p_value), str(verdict)))
    return pd.DataFrame(rows, columns=["init", "improvement", "low", "high", "p_value", "verdict"])


def _judged(
    block: Block, best: str, matches: Mapping[str, _Match], evidence: pd.DataFrame, limits: list[str]
) -> Answer:
    against = _against(matches)
    confidence, why = _confidence(block, against)
    sentences = [*_singles(block), f"Use {best}.", *_reasons(against, matches, len(block.comparisons))]
    text = " ".join([*sentences, f"Confidence: {confidence}{why}."])
    tied = tuple(against.init[against.verdict != Ruling.SUPPORTED])
    return Answer(best, tied, confidence, text, tuple(limits), evidence, against)


def _confidence(block: Block, against: pd.DataFrame) -> tuple[str, str]:
    """The grade, and what keeps it down."""
    if against.empty:
        return "none", ""
    if all(comparison.misses_every_level for comparison in block.comparisons):
        return "low", ", as nobody reaches the easy level"
    is_claimed = against.verdict == Ruling.SUPPORTED
    is_clear = is_claimed & (against.low > 0.5)
    if is_clear.any():
        return ("high" if is_clear.all() else "moderate"), ""
    return "low", ", as the interval of P(better) spans 1/2" if is_claimed.any() else ""


def _singles(block: Block) -> Iterator[str]:
    """What little can be concluded from comes first: one initializer, one seed, one context."""
    seeds = [standing.num_seeds for found in block.comparisons for standing in block.standings(found)]
    singles = {"initializer": len(block.names), "seed": max(seeds), "context": len(block.comparisons)}
    if names := [f"one {what}" for what, number in singles.items() if number == 1]:
        yield f"This rests on {format_names(names)}."


def _reasons(against: pd.DataFrame, matches: Mapping[str, _Match], num_contexts: int) -> Iterator[str]:
    if against.empty:
        yield "There is nothing to compare it with."
        return
    yield f"Over {format_count(num_contexts, 'context')} it has the best mean rank."
    rows = {ruling: against[against.verdict == ruling] for ruling in Ruling}
    if not rows[Ruling.SUPPORTED].empty:
        yield f"It is better than {_listed(rows[Ruling.SUPPORTED])}."
    for name in rows[Ruling.DEPENDS].init:
        better, worse = (format_first(titles, 3) for titles in (matches[name].won, matches[name].lost))
        yield f"Against {name} it depends: it is better at {better}; worse at {worse}."
    if not rows[Ruling.NO_DIFFERENCE].empty:
        low, high = EQUAL
        yield f"No difference from {_names(rows[Ruling.NO_DIFFERENCE])}: P(better) lies within {low:g} to {high:g}."
    undecided = rows[Ruling.UNDECIDED]
    can_decide = undecided.init.map(lambda name: matches[name].pooled.can_decide(len(matches))).astype(bool)
    if can_decide.any():
        yield f"Undecided against {_listed(undecided[can_decide])}."
    if not can_decide.all():
        yield f"Not enough seeds to tell it from {_names(undecided[~can_decide])}."
    if not rows[Ruling.CONTRADICTED].empty:
        yield f"Seed by seed it is worse than {_listed(rows[Ruling.CONTRADICTED])}: test and mean rank disagree."


def _names(rows: pd.DataFrame) -> str:
    return format_names(list(rows.init))


def _listed(against: pd.DataFrame) -> str:
    listed = []
    for init, estimate, low, high, p_value, _ in against.itertuples(index=False):
        share = format_share(Interval(estimate, low, high, CONFIDENCE, 0))
        listed.append(f"{init} (P(better) {share}, {format_p(p_value)})")
    return format_names(listed)


def _limits(found: Sequence[Comparison]) -> Iterator[str]:
    titles = [comparison.context.title for comparison in found]
    listed = "; ".join(titles[:4]) + (" ..." if len(titles) > 4 else "")
    yield f"It is based on {format_count(len(found), 'context')}: {listed}."
    seeds = format_range(standing.num_seeds for comparison in found for standing in comparison.standings)
    yield f"Scoring seeds per initializer and context: {seeds}."
