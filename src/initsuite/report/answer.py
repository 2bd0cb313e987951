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
from initsuite.report.verdicts.comparison import ALPHA, Comparison, rows_of
from initsuite.report.verdicts.heat import workload_key
from initsuite.report.verdicts.pooling import Duel, Pooled, duel, pooled
from initsuite.report.verdicts.recommendations import Report, build_report
from initsuite.results.sources import REFERENCE_STORE
from initsuite.results.store import Results, load_results
from initsuite.stats.intervals import CONFIDENCE, Interval
from initsuite.stats.pairwise import holm
from initsuite.wording import format_count, format_names, format_range

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
        against: one row per other initializer: init, improvement (P(recommended is better)), low, high, p_value.
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
    return _judged(block, best, _duels(block, best, others), evidence, limits)


def _nothing(sentence: str, limits: list[str], evidence: pd.DataFrame) -> Answer:
    return Answer(None, (), "none", sentence, tuple(limits), evidence, _against({}))


def _duels(block: Block, best: str, others: Sequence[str]) -> dict[str, Pooled]:
    found: dict[str, list[Duel]] = {}
    for comparison in block.comparisons:
        standings = dict(zip(block.names, block.standings(comparison), strict=True))
        cluster = workload_key(comparison, "activation")
        for other in others:
            pair = duel(standings[best], standings[other], comparison.level, cluster)
            if pair is not None and pair.num_pairs:
                found.setdefault(other, []).append(pair)
    return {other: pooled(found[other]) for other in others if other in found}


def _against(duels: Mapping[str, Pooled]) -> pd.DataFrame:
    adjusted = holm([found.p_value for found in duels.values()]) if duels else []
    rows = [
        (name, found.improvement.estimate, found.improvement.low, found.improvement.high, float(p_value))
        for (name, found), p_value in zip(duels.items(), adjusted, strict=True)
    ]
    return pd.DataFrame(rows, columns=["init", "improvement", "low", "high", "p_value"])


def _judged(block: Block, best: str, duels: Mapping[str, Pooled], evidence: pd.DataFrame, limits: list[str]) -> Answer:
    against = _against(duels)
    is_worse = (against.p_value <= ALPHA) & (against.improvement > 0.5)
    is_better = (against.p_value <= ALPHA) & (against.improvement < 0.5)
    can_decide = against.init.map(lambda name: duels[str(name)].can_decide(len(duels))).astype(bool)
    groups = {
        "worse": against[is_worse],
        "tied": against[~is_worse & ~is_better & can_decide],
        "short": against[~is_worse & ~can_decide],
        "better": against[is_better],
    }
    confidence, why = _confidence(block, against, is_worse & (against.low > 0.5))
    sentences = [*_singles(block), f"Use {best}.", *_reasons(best, groups, len(block.comparisons))]
    text = " ".join([*sentences, f"Confidence: {confidence}{why}."])
    return Answer(best, tuple(against[~is_worse].init), confidence, text, tuple(limits), evidence, against)


def _confidence(block: Block, against: pd.DataFrame, is_clear: pd.Series) -> tuple[str, str]:
    """The grade, and what keeps it down; `is_clear`: worse by the test, and by the interval of P(better), too."""
    if against.empty:
        return "none", ""
    if all(comparison.misses_every_level for comparison in block.comparisons):
        return "low", ", as nobody reaches the easy level"
    if is_clear.any():
        return ("high" if is_clear.all() else "moderate"), ""
    is_claimed = (against.p_value <= ALPHA) & (against.improvement > 0.5)
    return "low", ", as the interval of P(better) spans 1/2" if is_claimed.any() else ""


def _singles(block: Block) -> Iterator[str]:
    """What little can be concluded from comes first: one initializer, one seed, one context."""
    seeds = [standing.num_seeds for found in block.comparisons for standing in block.standings(found)]
    singles = {"initializer": len(block.names), "seed": max(seeds), "context": len(block.comparisons)}
    if names := [f"one {what}" for what, number in singles.items() if number == 1]:
        yield f"This rests on {format_names(names)}."


def _reasons(best: str, groups: Mapping[str, pd.DataFrame], num_contexts: int) -> Iterator[str]:
    if all(group.empty for group in groups.values()):
        yield "There is nothing to compare it with."
        return
    yield f"Over {format_count(num_contexts, 'context')} it has the best mean rank."
    if not groups["worse"].empty:
        yield f"It is better than {_listed(groups['worse'])}."
    if not groups["tied"].empty:
        yield f"No difference found from {format_names(list(groups['tied'].init))}."
    if not groups["short"].empty:
        yield f"Not enough seeds to tell it from {format_names(list(groups['short'].init))}."
    if not groups["better"].empty:
        yield f"Seed by seed it is worse than {_listed(groups['better'])}: test and mean rank disagree."


def _listed(against: pd.DataFrame) -> str:
    listed = []
    for init, estimate, low, high, p_value in against.itertuples(index=False):
        share = format_share(Interval(estimate, low, high, CONFIDENCE, 0))
        listed.append(f"{init} (P(better) {share}, {format_p(p_value)})")
    return format_names(listed)


def _limits(found: Sequence[Comparison]) -> Iterator[str]:
    titles = [comparison.context.title for comparison in found]
    listed = "; ".join(titles[:4]) + (" ..." if len(titles) > 4 else "")
    yield f"It is based on {format_count(len(found), 'context')}: {listed}."
    seeds = format_range(standing.num_seeds for comparison in found for standing in comparison.standings)
    yield f"Scoring seeds per initializer and context: {seeds}."
