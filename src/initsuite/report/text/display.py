"""The tables as people read them: cells with units and uncertainty under headings in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import pandas as pd

from initsuite.protocol.guideline import ARTICLE
from initsuite.protocol.yardstick import METRICS
from initsuite.report.formatting import (
    BLANK,
    Cell,
    format_area,
    format_difference,
    format_lr,
    format_p,
    format_score,
    format_share,
    format_steps,
)
from initsuite.report.verdicts.recommendations import Report
from initsuite.report.verdicts.rulings import TIED, Verdict
from initsuite.spec import CONTEXT_AXES
from initsuite.stats.intervals import CONFIDENCE, Interval

Row = Mapping[str, Any]
"""A row of one of the tables of `recommendations`, by column."""

ARTICLE_NOTE = f"The article: {ARTICLE}."
PRINTED_CAPTION = (
    "Brackets hold 95 % intervals over the scoring seeds. Steps are optimizer updates; a seed that misses the target "
    "counts as never. Accuracies and probabilities are shares from 0 to 1; a diverged trial counts as chance. "
    "Recommended is the fastest to the target; most accurate, the best final validation score, with the gain in test "
    "score. p-values: sign flips paired by seed, Holm over the arms of a context."
)
CAPTION = (
    f"{PRINTED_CAPTION} The lr window is the range of tuned "
    "learning rates that train; the loss area is the mean validation loss over log step, lower is better. "
    f"{ARTICLE_NOTE}"
)

SCORECARD_CAPTION = (
    f"{ARTICLE_NOTE} "
    "P(better) is the probability that a random seed of the recommended initializer does better than one of the other, "
    "ties 1/2, averaged over workloads; a share of contexts stands where a rule says how one initializer behaves. "
    "Brackets hold 95 % intervals, which speak of further workloads like these; p-values speak of these. A context "
    "is for or against at 5 %, Hochberg over the contexts of its rule. Depends: some are for and others against. No "
    "difference: the interval of P(better) lies within 0.4 to 0.6. p-values: pairs share a seed, signs are flipped for "
    "each workload and seed at once, Holm over the rules."
)
RATE, STEPS = "success rate (seeds)", "median steps to target [95 %]"
IMPROVEMENT, ESTIMATE = "P(better than torch_default) [95 %]", "estimate [95 %]"


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table, by column."""
    return cast("list[dict[str, Any]]", table.to_dict("records"))


def people_table(rows: Iterable[Row]) -> pd.DataFrame:
    """A table of cells; an entry that is not yet a cell is shown as it is."""
    return pd.DataFrame(
        [
            {name: entry if isinstance(entry, Cell) else Cell(entry, str(entry)) for name, entry in row.items()}
            for row in rows
        ]
    )


def recommendations_for_people(recommendations: pd.DataFrame) -> pd.DataFrame:
    """The recommendations table of the protocol, one row per context, in cells.

    Args:
        recommendations: as `recommend_table` makes it.
    """
    is_mixed = recommendations.metric.nunique() > 1
    return people_table(
        {
            **{axis: row[axis] for axis in CONTEXT_AXES},
            "learning rate": row["lr_rule"],
            "recommended": row["recommended"],
            "most accurate": _most_accurate(row),
            "tied with": row["tied_with"],
            "not enough seeds to tell": row["undecided"],
            RATE: _success(row),
            STEPS: _steps(row),
            **({"metric": METRICS[row["metric"]].label} if is_mixed else {}),
            "target": _target(row),
            score_heading(recommendations): _score(row),
            IMPROVEMENT: format_share(interval_of(row, "improvement_over_torch_default")),
            "best lr": _best_lr(row),
            "lr window": _lr_window(row),
            "seeds": row["seeds"],
            "confidence": row["confidence"],
            "reason": row["confidence_reason"],
            "article's rule agrees": article_text(row),
        }
        for row in records(recommendations)
    )


def arms_for_people(arms: pd.DataFrame) -> pd.DataFrame:
    """The arms of a context in cells.

    Args:
        arms: rows of `arms_table`.
    """
    return people_table(
        {
            "initializer": row["init"],
            RATE: _success(row),
            STEPS: _steps(row),
            area_heading(arms): format_area(interval_of(row, "loss_auc")),
            score_heading(arms): _score(row),
            "best lr": _best_lr(row),
            "lr window": _lr_window(row),
            "diverged": Cell(row["num_diverged"], f"{row['num_diverged']} of {row['num_seeds']}"),
            "failed": row["num_failed"],
            "verdict": _verdict(row),
            "verdict by final score": _score_verdict(row),
        }
        for row in records(arms)
    )


def scorecard_for_people(scorecard: pd.DataFrame) -> pd.DataFrame:
    """The article's recommendations with their verdicts, one row per rule, in cells.

    Args:
        scorecard: as `scorecard_table` makes it.
    """
    return people_table(
        {
            "recommendation": f"{row['rule']}. {row['recommendation']}",
            "compared": row["test"],
            "verdict": row["verdict"],
            "contexts": row["num_contexts"],
            "for": row["num_for"],
            "against": row["num_against"],
            "undecided": row["num_undecided"],
            "measure": row["measure"] if row["num_contexts"] else BLANK,
            # The intervals of the scorecard always have full coverage.
            ESTIMATE: format_share(Interval(row["estimate"], row["low"], row["high"], CONFIDENCE, 0)),
            "p": BLANK if math.isnan(row["p_value"]) else Cell(row["p_value"], format_p(row["p_value"])),
        }
        for row in records(scorecard)
    )


def confidence_text(row: Row) -> str:
    """How sure a recommendation is, and why."""
    return f"{row['confidence']}: {row['confidence_reason']}"


def article_text(row: Row) -> str:
    """Whether the article's rule agrees with a recommendation, and why."""
    return f"{row['article_agrees']}, {row['article_reason']}"


def ties_in_words(row: Row) -> str:
    """From which initializers the recommended one could not be distinguished, and why.

    Args:
        row: of `recommend_table`.
    """
    short = f"{Verdict.TOO_FEW_SEEDS}: {row['undecided']}" if row["undecided"] else ""
    return "; ".join(part for part in (row["tied_with"], short) if part)


def score_heading(table: pd.DataFrame, gap: str = " ") -> str:
    """The heading of the test scores of one of the tables; it names the metric where all rows share one.

    Args:
        gap: what stands before `[95 %]`.
    """
    labels = {METRICS[metric].label for metric in table.metric}
    return f"test {labels.pop() if len(labels) == 1 else 'score'}{gap}[95 %]"


def area_heading(arms: pd.DataFrame, gap: str = " ") -> str:
    """The heading of the loss areas of the arms of a context, with their unit; `gap` as in `score_heading`."""
    return f"loss area, {arms.loss_unit.iloc[0]}{gap}[95 %]"


def arms_by_context(report: Report) -> Iterator[tuple[str, pd.DataFrame]]:
    """The arms table for people, one per context and lr rule, with its title."""
    where = report.arms.context + " · " + report.arms.lr_rule
    for title, group in report.arms.groupby(where, sort=False):
        yield str(title), arms_for_people(group)


def summary_line(report: Report) -> str:
    """How much evidence the report is based on."""
    if not report.comparisons:
        return "Nothing can be recommended: no stored trial counts. The notes say why."
    counts = f"Contexts: {len(report.recommendations)}. Arms: {len(report.arms)}."
    return f"{counts} Scoring trials that count: {len(report.counted)}."


def interval_of(row: Row, name: str) -> Interval:
    """The interval of a measure, from the columns of a row; its coverage is full where no column says otherwise."""
    return Interval(row[name], row[f"{name}_low"], row[f"{name}_high"], row.get(f"{name}_coverage", CONFIDENCE), 0)


def _verdict(row: Row) -> Cell:
    verdict = row["verdict"]
    end = "; near chance" if row["near_chance"] and verdict != Verdict.NOT_TRAINED else ""
    if verdict in (Verdict.WORSE, *TIED, Verdict.BETTER_WHERE_SHARED):
        return Cell(verdict, verdict, f"({format_p(row['p_value'])}){end}")
    return Cell(verdict, f"{verdict}{end}")


def _score_verdict(row: Row) -> Cell:
    """How much the most accurate arm is better, and whether the seeds can tell."""
    verdict = row["score_verdict"]
    if math.isnan(row["score_lead"]):
        return Cell(verdict, "most accurate" if verdict == Verdict.LEADS else verdict)
    lead = format_difference(interval_of(row, "score_lead"), row["metric"])
    return Cell(verdict, f"{verdict}", f"(by {lead}, {format_p(row['score_p_value'])})")


def _most_accurate(row: Row) -> Cell:
    """The arm with the best final score, with what it gains over the fastest one where that is another."""
    name = row["most_accurate"]
    if math.isnan(row["score_gain"]):
        return Cell(name, name)
    gain = format_difference(interval_of(row, "score_gain"), row["metric"])
    return Cell(name, name, f"({gain}, {format_p(row['score_p_value'])})")


def _best_lr(row: Row) -> Cell:
    return BLANK if math.isnan(row["best_lr"]) else Cell(row["best_lr"], format_lr(row["best_lr"]))


def _lr_window(row: Row) -> Cell:
    """The window with its width in decades; blank under one lr for all."""
    low, high = row["lr_window_low"], row["lr_window_high"]
    if math.isnan(low):
        return BLANK
    if low == high:
        return Cell(low, f"{format_lr(low)} only")
    return Cell(low, f"{format_lr(low)} to {format_lr(high)}", f"({row['lr_window_decades']:z.1f} decades)")


def _success(row: Row) -> Cell:
    """Seeds that reached the level, of those scored, with the interval of the rate."""
    if math.isnan(row["success_rate"]):
        return BLANK
    bounds = f"[{row['success_rate_low']:z.2f}, {row['success_rate_high']:z.2f}]"
    return Cell(row["success_rate"], f"{row['num_reached']} of {row['num_seeds']}", bounds)


def _steps(row: Row) -> Cell:
    return format_steps(interval_of(row, "median_steps"))


def _score(row: Row) -> Cell:
    return format_score(interval_of(row, "test_score"), row["metric"])


def _target(row: Row) -> Cell:
    if math.isnan(row["target"]):
        return Cell(None, f"none: {row['level']} ranks")
    return Cell(row["target"], f"{row['target']:g}", f"({row['level']})")
