"""Which initializer to use for one network, from stored trials."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import pandas as pd

from initsuite.errors import ConfigError, unknown_choice
from initsuite.report.formatting import format_difference, format_p, format_share
from initsuite.report.verdicts.across import RESULTS, SCORE, SPEED, Block, complete_block, main_comparisons
from initsuite.report.verdicts.comparison import Comparison, rows_of
from initsuite.report.verdicts.leaders import AGAINST_COLUMNS, Leader, leader_by, metrics_of, score_gain
from initsuite.report.verdicts.recommendations import Report, build_report
from initsuite.report.verdicts.rulings import EQUAL, Ruling
from initsuite.results.sources import REFERENCE_STORE
from initsuite.results.store import Results, load_results
from initsuite.stats.intervals import CONFIDENCE, MISSING, Interval
from initsuite.wording import format_count, format_first, format_names, format_range

EVIDENCE_COLUMNS = [
    "context", "recommended", "tied_with", "undecided", "best_lr", "num_reached", "num_seeds",
    "median_steps", "median_steps_low", "median_steps_high", "test_score", "test_score_low", "test_score_high",
    "confidence", "confidence_reason", "in_words",
]  # fmt: skip

_RESULT_IN_WORDS = {SPEED: "speed", SCORE: "final score"}
_OF_THE_REFERENCE = (
    "These are small networks and data sets, trained for a few hundred steps with one optimizer. For yours, run: "
    "python -m initsuite.train -m init=zero,normal,xavier,he,orthogonal model=... activation=... dataset=..."
)


@dataclass(frozen=True)
class Answer:
    """Which initializer to use, why, and how far that reaches. Printed, it reads as a few sentences.

    Attributes:
        recommended: the initializer with the best mean rank over the contexts, by the result that was asked for; None
            where none trains.
        tied_with: initializers that the pooled test does not show to be worse.
        confidence: high (better than all others), moderate (than some), low (than none), none. What the interval of
            P(better) denies by spanning 1/2 does not count; a question outside what was tried is never above low.
        sentences: the answer in words.
        limits: what it is based on, and what it does not say.
        evidence: one row per context, columns `EVIDENCE_COLUMNS`; units as in `recommend_table`.
        against: one row per other initializer: init, improvement (P(recommended is better)), low, high, p_value, and
            the verdict on "the recommended one is better", one of `Ruling`.
        fastest, most_accurate: the initializers with the best mean rank by speed and by final score.
        score_gain: mean difference of the test scores of these two, positive where the most accurate one is better; in
            the unit of the metric or, where contexts differ in that, of the way from chance to the hard level.
        score_p_value: that of the most accurate against the fastest one, adjusted; NaN where both are the same.
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
    fastest: str | None = None
    most_accurate: str | None = None
    score_gain: Interval = MISSING
    score_p_value: float = math.nan
    neighbours: Mapping[int, Answer] = field(default_factory=dict)

    def __str__(self) -> str:
        return "\n".join([self.sentences, *(f"- {limit}" for limit in self.limits)])


def recommend(
    *,
    model: str | None = None,
    activation: str | None = None,
    depth: int | None = None,
    dataset: str | None = None,
    by: str = SPEED,
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
        by: what ranks: `speed`, the steps to the target, or `score`, the final score. The answer names both leaders.
        results: those of another store, from `load_results`; None = the reference, the results of `experiment=article`.

    Raises:
        ConfigError: nothing of the kind was tried, or there is no such result to rank by.
        StoreError: `results` holds no trials.

    Example:
        >>> answer = recommend(model="mlp", depth=30, activation="relu")
        >>> answer.recommended, answer.confidence
        ('he_random_biases', 'moderate')
    """
    if by not in RESULTS:
        raise unknown_choice("recommend", "by", by, RESULTS)
    report = _reference() if results is None else build_report(results)
    found = list(main_comparisons(report))
    for name, wanted in {"model": model, "activation": activation, "dataset": dataset}.items():
        found = _with(name, wanted, found)
    by_depth = _at_depth(found, depth)
    answers = {layers: _answer(report, chosen, by) for layers, chosen in by_depth.items()}
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


def _answer(report: Report, found: Sequence[Comparison], by: str) -> Answer:
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
    ranked = {result: leader_by(block, result) for result in RESULTS}
    return _judged(block, ranked, by, evidence, limits)


def _nothing(sentence: str, limits: list[str], evidence: pd.DataFrame) -> Answer:
    return Answer(None, (), "none", sentence, tuple(limits), evidence, pd.DataFrame(columns=AGAINST_COLUMNS))


def _judged(block: Block, ranked: Mapping[str, Leader], by: str, evidence: pd.DataFrame, limits: list[str]) -> Answer:
    chosen, against = ranked[by], ranked[by].against
    confidence, why = _confidence(block, against)
    fastest, accurate = ranked[SPEED].best, ranked[SCORE].best
    p_values = dict(zip(ranked[SCORE].against.init, ranked[SCORE].against.p_value, strict=True))
    answer = Answer(
        chosen.best,
        tuple(against.init[against.verdict != Ruling.SUPPORTED]),
        confidence,
        "",
        tuple(limits),
        evidence,
        against,
        fastest=fastest,
        most_accurate=accurate,
        score_gain=score_gain(block, accurate, fastest) if accurate != fastest else MISSING,
        score_p_value=p_values.get(fastest, math.nan),
    )
    sentences = [*_singles(block), f"Use {chosen.best}.", _both(answer, block)]
    sentences += [*_reasons(chosen, len(block.comparisons), by), f"Confidence: {confidence}{why}."]
    return replace(answer, sentences=" ".join(sentences))


def _both(answer: Answer, block: Block) -> str:
    """Both leaders, in one sentence."""
    if answer.fastest == answer.most_accurate:
        return f"Fastest and most accurate: {answer.fastest}."
    metrics = metrics_of(block)
    is_mixed = len(metrics) > 1
    gain = f"{format_share(answer.score_gain)} of the way from chance to the hard level" if is_mixed else ""
    gain = gain or format_difference(answer.score_gain, *metrics)
    p_value = "" if math.isnan(answer.score_p_value) else f", {format_p(answer.score_p_value)}"
    return f"Fastest: {answer.fastest}; most accurate: {answer.most_accurate}, {gain}{p_value}."


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


def _reasons(chosen: Leader, num_contexts: int, by: str) -> Iterator[str]:
    against, matches = chosen.against, chosen.matches
    if against.empty:
        yield "There is nothing to compare it with."
        return
    yield f"Over {format_count(num_contexts, 'context')} it has the best mean rank by {_RESULT_IN_WORDS[by]}."
    rows = {ruling: against[against.verdict == ruling] for ruling in Ruling}
    if not rows[Ruling.SUPPORTED].empty:
        yield f"It is better than {_listed(rows[Ruling.SUPPORTED])}."
    for name in map(str, rows[Ruling.DEPENDS].init):
        better, worse = (format_first(titles, 3) for titles in (matches[name].won, matches[name].lost))
        yield f"Against {name} it depends: it is better at {better}; worse at {worse}."
    if not rows[Ruling.NO_DIFFERENCE].empty:
        low, high = EQUAL
        yield f"No difference from {_names(rows[Ruling.NO_DIFFERENCE])}: P(better) lies within {low:g} to {high:g}."
    undecided = rows[Ruling.UNDECIDED]
    can_decide = undecided.init.map(lambda name: matches[str(name)].pooled.can_decide(len(matches))).astype(bool)
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
