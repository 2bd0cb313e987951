"""Which initializer to use for one network, from stored trials."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from functools import cache, partial
from typing import Any

import pandas as pd

from initsuite.errors import bad_value, unknown_choice
from initsuite.report.derived import Derived, questions, read_derived, set_name
from initsuite.report.formatting import format_difference, format_p, format_share
from initsuite.report.reasons import limits_of, reasons_of, what_is_single
from initsuite.report.tried import Tried, at_depth, fitting, tried_in
from initsuite.report.verdicts.across import RESULTS, SCORE, SPEED, Block, complete_block, main_comparisons
from initsuite.report.verdicts.comparison import rows_of
from initsuite.report.verdicts.leaders import AGAINST_COLUMNS, Leader, leader_by, metrics_of, score_gain
from initsuite.report.verdicts.recommendations import Report, build_report
from initsuite.report.verdicts.rulings import Ruling
from initsuite.results.sources import SHIPPED, load_shipped
from initsuite.results.store import Results
from initsuite.stats.intervals import MISSING, Interval
from initsuite.wording import format_count, format_names

EVIDENCE_COLUMNS = [
    "context", "recommended", "tied_with", "undecided", "best_lr", "num_reached", "num_seeds",
    "median_steps", "median_steps_low", "median_steps_high", "test_score", "test_score_low", "test_score_high",
    "confidence", "confidence_reason", "in_words",
]  # fmt: skip

_PLAIN = (
    "recommended", "tied_with", "confidence", "sentences", "limits", "fastest", "most_accurate", "score_p_value"
)  # fmt: skip


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

    def _repr_html_(self) -> str:
        """In a notebook: the sentences, what they rest on, and the others beside the recommended one."""
        limits = "".join(f"<li>{html.escape(limit)}</li>" for limit in self.limits)
        name = html.escape(self.recommended or "none")
        others = self.against.to_html(index=False, float_format="{:z.3f}".format, border=0) if len(self.against) else ""
        return f"<p><b>{name}</b>: {html.escape(self.sentences)}</p><ul>{limits}</ul>{others}"


def recommend(
    *,
    model: str | None = None,
    norm: str | None = None,
    activation: str | None = None,
    optimizer: str | None = None,
    depth: int | None = None,
    dataset: str | None = None,
    by: str = SPEED,
    results: Results | None = None,
) -> Answer:
    """Which initializer to use for a network, from stored trials, without training.

    The contexts that fit are taken together: initializers are ranked by their mean place over them, and the best one is
    tested against each of the others by sign flips, each workload and seed at once (Holm).

    Args:
        model: kind of network: mlp, cnn, rnn, resnet, vit, transformer; None = all of them.
        norm: none, batch, layer, pre, post, as the option of the network is called; None = all of them.
        activation: None = all of them.
        optimizer: sgd, adamw; None = all of them.
        depth: hidden layers. One that was not tried is answered by the nearest tried ones on either side, with low
            confidence. None = all of them.
        dataset: None = all of them.
        by: what ranks: `speed`, the steps to the target, or `score`, the final score. The answer names both leaders.
        results: those of another store, from `load_results`; None = the reference that ships with the package, both of
            its parts, whose answers are worked out beforehand.

    Raises:
        ConfigError: nothing of the kind was tried, or there is no such result to rank by.
        StoreError: `results` holds no trials.

    Example:
        >>> answer = recommend(model="mlp", depth=30, activation="relu")
        >>> answer.recommended, answer.confidence
        ('lsuv', 'moderate')
    """
    if by not in RESULTS:
        raise unknown_choice("recommend", "by", by, RESULTS)
    if results is not None and not isinstance(results, Results):
        raise bad_value("recommend", "results", results, "what load_results returns", "Read a store with it first.")
    tried, answer_to = _source(results)
    question = {"model": model, "norm": norm, "activation": activation, "optimizer": optimizer, "dataset": dataset}
    answers = {layers: answer_to(found, by) for layers, found in at_depth(fitting(tried, question), depth).items()}
    if depth is not None and depth not in answers:
        answer = _between(depth, answers)
    else:
        (answer,) = answers.values()
    return replace(answer, limits=(*answer.limits, _of_the_reference(tried))) if results is None else answer


def derive(report: Report, every: int = 1) -> Derived:
    """The answers to all questions about these results, for `read_derived`; minutes for dozens of contexts.

    Args:
        every: 1 = all; 8 = those to each eighth question.
    """
    tried = [tried_in(comparison) for comparison in main_comparisons(report)]
    evidence = rows_of(report.recommendations, {one.key for one in tried})[EVIDENCE_COLUMNS]
    answers = {
        (set_name(found), by): json.dumps(_as_fields(_answer(report, found, by)))
        for found in questions(tried)[::every]
        for by in RESULTS
    }
    return Derived(tuple(tried), evidence, answers)


def _source(results: Results | None) -> tuple[Sequence[Tried], Callable[[Sequence[Tried], str], Answer]]:
    """What was tried, and what answers for some of it."""
    if results is None and (derived := _derived()):
        return derived.tried, partial(_stored, derived)
    report = _reference() if results is None else build_report(results)
    return [tried_in(comparison) for comparison in main_comparisons(report)], partial(_answer, report)


@cache
def _reference() -> Report:
    return build_report(load_shipped())


@cache
def _derived() -> Derived | None:
    return read_derived(tuple(SHIPPED.values()))


def _of_the_reference(tried: Sequence[Tried]) -> str:
    optimizers = format_names(sorted({one.kinds["optimizer"] for one in tried}))
    return (
        f"These are small networks and data sets, trained for a few hundred steps with {optimizers}. For yours, run: "
        "python -m initsuite.train -m init=zero,normal,xavier,he,orthogonal model=... activation=... dataset=..."
    )


def _stored(derived: Derived, found: Sequence[Tried], by: str) -> Answer:
    """An answer of the reference that was worked out beforehand; where there is none, it is worked out now."""
    fields = derived.answer(found, by)
    if fields is None:
        return _answer(_reference(), found, by)
    lists = {name: tuple(fields[name]) for name in ("tied_with", "limits")}
    against = pd.DataFrame(fields["against"], columns=AGAINST_COLUMNS)
    gain = Interval(*fields["score_gain"])
    return Answer(**{**fields, **lists, "against": against, "score_gain": gain, "evidence": derived.evidence_of(found)})


def _as_fields(answer: Answer) -> dict[str, Any]:
    """An answer at one depth as plain values, without its evidence: what `_stored` reads."""
    plain = {name: getattr(answer, name) for name in _PLAIN}
    return {**plain, "against": answer.against.values.tolist(), "score_gain": astuple(answer.score_gain)}


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


def _answer(report: Report, tried: Sequence[Tried], by: str) -> Answer:
    keys = {one.key for one in tried}
    evidence = rows_of(report.recommendations, keys)[EVIDENCE_COLUMNS]
    found = [comparison for comparison in report.comparisons if comparison.key in keys]
    block, limits = complete_block(found), list(limits_of(found))
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
    sentences = [*what_is_single(block), f"Use {chosen.best}.", _both(answer, block)]
    sentences += [*reasons_of(chosen, len(block.comparisons), by), f"Confidence: {confidence}{why}."]
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
