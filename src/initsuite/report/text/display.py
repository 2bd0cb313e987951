"""The tables as people read them: strings with units and uncertainty under headings in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, cast

import pandas as pd

from initsuite.protocol.yardstick import METRICS
from initsuite.report.formatting import (
    BLANK,
    format_area,
    format_lr,
    format_p,
    format_score,
    format_share,
    format_steps,
)
from initsuite.report.verdicts.comparison import Verdict
from initsuite.report.verdicts.recommendations import Report
from initsuite.stats.intervals import CONFIDENCE, Interval

Row = Mapping[str, Any]
"""A row of one of the tables of `recommendations`, by column."""

CAPTION = (
    "Brackets hold 95 % intervals over the scoring seeds. Steps are optimizer updates; a seed that misses the target "
    "counts as never. Accuracies and probabilities are shares from 0 to 1; a diverged trial counts as chance. "
    "p-values: sign flips paired by seed, Holm over the arms of a context. The lr window is the range of tuned "
    "learning rates that train; the loss area is the mean validation loss over log step, lower is better."
)

SCORECARD_CAPTION = (
    "P(better) is the probability that a random seed of the recommended initializer does better than one of the other, "
    "ties 1/2, averaged over workloads; a share of contexts stands where a rule says how one initializer behaves. "
    "Brackets hold 95 % intervals, which speak of further workloads like these; p-values speak of these. A context "
    "is for or against at 5 %, unadjusted. p-values: pairs share a seed, "
    "signs are "
    "flipped for each workload and seed at once, Holm over the rules."
)
NOTHING_COUNTS = "Nothing can be recommended: no stored trial counts. The notes say why."


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table, by column."""
    return cast("list[dict[str, Any]]", table.to_dict("records"))


def recommendations_for_people(recommendations: pd.DataFrame) -> pd.DataFrame:
    """The recommendations table of the protocol, one row a context, as strings.

    Args:
        recommendations: as `recommend_table` makes it.
    """
    score = score_heading(recommendations)
    is_mixed = recommendations.metric.nunique() > 1
    rows = [
        {
            "dataset": row["dataset"],
            "model": row["model"],
            "activation": row["activation"],
            "optimizer": row["optimizer"],
            "learning rate": row["lr_rule"],
            "recommended": row["recommended"],
            "tied with": row["tied_with"],
            "not enough seeds to tell": row["undecided"],
            "success rate (seeds)": _success(row),
            "median steps to target [95 %]": _steps(row),
            **({"metric": METRICS[row["metric"]].label} if is_mixed else {}),
            "target": _target(row),
            score: _score(row),
            "P(better than torch_default) [95 %]": format_share(_interval(row, "improvement_over_torch_default")),
            "best lr": BLANK if math.isnan(row["best_lr"]) else format_lr(row["best_lr"]),
            "lr window": lr_window_text(row),
            "seeds": row["seeds"],
            "confidence": row["confidence"],
            "article's rule agrees": row["article_agrees"],
        }
        for row in records(recommendations)
    ]
    return pd.DataFrame(rows)


def arms_for_people(arms: pd.DataFrame) -> pd.DataFrame:
    """The arms of a context as strings.

    Args:
        arms: rows of `arms_table`.
    """
    rows = [
        {
            "initializer": row["init"],
            "success rate (seeds)": _success(row),
            "median steps to target [95 %]": _steps(row),
            area_heading(arms): format_area(_interval(row, "loss_auc")),
            score_heading(arms): _score(row),
            "best lr": format_lr(row["best_lr"]),
            "lr window": lr_window_text(row),
            "diverged": f"{row['num_diverged']} of {row['num_seeds']}",
            "failed": str(row["num_failed"]),
            "verdict": verdict_text(row),
        }
        for row in records(arms)
    ]
    return pd.DataFrame(rows)


def scorecard_for_people(scorecard: pd.DataFrame) -> pd.DataFrame:
    """The article's recommendations with their verdicts, one row a rule, as strings.

    Args:
        scorecard: as `scorecard_table` makes it.
    """
    rows = [
        {
            "recommendation": f"{row['rule']}. {row['recommendation']}",
            "compared": row["test"],
            "verdict": row["verdict"],
            "contexts": str(row["num_contexts"]),
            "for": str(row["num_for"]),
            "against": str(row["num_against"]),
            "undecided": str(row["num_undecided"]),
            "measure": row["measure"] if row["num_contexts"] else BLANK,
            "estimate [95 %]": format_share(estimate_of(row)),
            "p": BLANK if math.isnan(row["p_value"]) else format_p(row["p_value"]),
        }
        for row in records(scorecard)
    ]
    return pd.DataFrame(rows)


def estimate_of(row: Row) -> Interval:
    """The estimate of a row of the scorecard, in which an interval always has the full coverage."""
    return Interval(row["estimate"], row["low"], row["high"], CONFIDENCE, 0)


def ties_in_words(row: Row) -> str:
    """Which initializers the recommended one was not told apart from, and why.

    Args:
        row: of `recommend_table`.
    """
    reasons = {Verdict.NO_DIFFERENCE: row["tied_with"], Verdict.TOO_FEW_SEEDS: row["undecided"]}
    return "; ".join(f"{reason}: {names}" for reason, names in reasons.items() if names)


def score_heading(table: pd.DataFrame) -> str:
    """Of the test scores of one of the tables: it names the metric where all rows have one."""
    labels = {METRICS[metric].label for metric in table.metric}
    return f"test {labels.pop() if len(labels) == 1 else 'score'} [95 %]"


def area_heading(arms: pd.DataFrame) -> str:
    """Of the loss areas of the arms of a context, with their unit."""
    return f"loss area, {arms.loss_unit.iloc[0]} [95 %]"


def arms_by_context(report: Report) -> Iterator[tuple[str, pd.DataFrame]]:
    """The arms table for people, one a context and lr rule, with its title."""
    where = report.arms.context + " · " + report.arms.lr_rule
    for title, group in report.arms.groupby(where, sort=False):
        yield str(title), arms_for_people(group)


def summary_line(report: Report) -> str:
    """How much evidence the report stands on."""
    if not report.comparisons:
        return NOTHING_COUNTS
    num_arms = len(report.arms)
    # A trial may stand in the tuned row and in that of one lr for all.
    arms = [standing.arm for comparison in report.comparisons for standing in comparison.standings]
    num_trials = len({trial_id for arm in arms for trial_id in arm.trials.trial_id})
    return f"Contexts: {len(report.recommendations)}. Arms: {num_arms}. Scoring trials that count: {num_trials}."


def verdict_text(row: Row) -> str:
    """The verdict of an arm with its adjusted p-value where one was tested."""
    tested = row["verdict"] in (Verdict.WORSE, Verdict.NO_DIFFERENCE, Verdict.BETTER_WHERE_SHARED)
    text = f"{row['verdict']} ({format_p(row['p_value'])})" if tested else row["verdict"]
    return f"{text}; near chance" if row["near_chance"] and row["verdict"] != Verdict.NOT_TRAINED else text


def lr_window_text(row: Row) -> str:
    """The window with its width in decades; blank under one lr for all."""
    if math.isnan(row["lr_window_low"]):
        return BLANK
    if row["lr_window_low"] == row["lr_window_high"]:
        return f"{format_lr(row['lr_window_low'])} only"
    ends = f"{format_lr(row['lr_window_low'])} to {format_lr(row['lr_window_high'])}"
    return f"{ends} ({row['lr_window_decades']:.1f} decades)"


def _success(row: Row) -> str:
    """Seeds that reached the level, of those scored, with the interval of the rate."""
    if math.isnan(row["success_rate"]):
        return BLANK
    return f"{row['num_reached']} of {row['num_seeds']} [{row['success_rate_low']:.2f}, {row['success_rate_high']:.2f}]"


def _steps(row: Row) -> str:
    return format_steps(_interval(row, "median_steps"))


def _score(row: Row) -> str:
    return format_score(_interval(row, "test_score"), row["metric"])


def _target(row: Row) -> str:
    return f"none: {row['level']} ranks" if math.isnan(row["target"]) else f"{row['target']:g} ({row['level']})"


def _interval(row: Row, name: str) -> Interval:
    return Interval(row[name], row[f"{name}_low"], row[f"{name}_high"], row[f"{name}_coverage"], 0)
