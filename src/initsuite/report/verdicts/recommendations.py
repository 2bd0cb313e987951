"""The two tables of the report: one row per context, and one per arm. Numbers in columns, for people and programs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from initsuite.protocol.tuning import trains
from initsuite.report.evidence.context import Arm, Context
from initsuite.report.evidence.evidence import gather_evidence
from initsuite.report.verdicts.comparison import Comparison, Standing, compare
from initsuite.report.verdicts.guideline import guideline_agreement
from initsuite.report.verdicts.rulings import TIED, Verdict
from initsuite.report.verdicts.words import confidence, in_words
from initsuite.results.store import Results
from initsuite.spec import CONTEXT_AXES
from initsuite.stats.intervals import MISSING, Interval
from initsuite.stats.tuning_budget import training_runs
from initsuite.wording import format_range

NOTHING = "none"
"""The recommendation where no initializer trains."""
_IMPROVEMENT = "improvement_over_torch_default"
OF_INTERVAL = ("", "_low", "_high", "_coverage")
"""Endings of the columns that an interval fills."""
_PLACE = [*CONTEXT_AXES, "context", "context_id", "lr_rule", "level", "target", "metric", "loss_unit"]
_MEASURES = [
    *[f"success_rate{end}" for end in OF_INTERVAL], "num_reached", "num_seeds",
    *[f"{name}{end}" for name in ("median_steps", "test_score", _IMPROVEMENT) for end in OF_INTERVAL],
    "best_lr", "lr_window_low", "lr_window_high", "lr_window_decades",
]  # fmt: skip
RECOMMENDATION_COLUMNS = [
    *_PLACE, "recommended", "tied_with", "undecided", *_MEASURES, "most_accurate",
    *[f"score_gain{end}" for end in OF_INTERVAL], "score_p_value", "score_verdict", "seeds", "seeds_to_decide",
    "confidence", "confidence_reason", "article_agrees", "article_reason", "in_words",
]  # fmt: skip
ARM_COLUMNS = [
    *_PLACE, "init", "verdict", "p_value", *_MEASURES, *[f"loss_auc{end}" for end in OF_INTERVAL],
    "val_score", *[f"score_lead{end}" for end in OF_INTERVAL], "score_p_value", "score_verdict",
    "num_diverged", "num_failed", "near_chance", "cell_id",
]  # fmt: skip


@dataclass(frozen=True)
class Report:
    """All that the terminal, the files and the figures show.

    Attributes:
        comparisons: [context and lr rule].
        notes: sentences on what was left out or deserves suspicion.
        recommendations: one row per comparison, columns of `recommend_table`.
        arms: one row per arm of a comparison, columns of `arms_table`.
        trials: all of the newest protocol version, whether they count or not; columns of the store, steps read off the
            curves.
        results: what the report was made from.
    """

    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...]
    recommendations: pd.DataFrame
    arms: pd.DataFrame
    trials: pd.DataFrame
    results: Results

    @property
    def curves(self) -> pd.DataFrame:
        """Those of the store, columns trial_id, step, train_loss, val_loss, val_score."""
        return self.results.curves

    @property
    def counted(self) -> set[str]:
        """The scoring trials that a row counts, by trial_id; a trial may count under two lr rules."""
        arms = [arm for comparison in self.comparisons for arm in comparison.context.arms]
        return {trial_id for arm in arms for trial_id in arm.trials.trial_id}

    @property
    def links(self) -> Mapping[str, str]:
        """The address of a trial's W&B run, where it is known, by trial_id."""
        return self.results.links


def build_report(results: Results) -> Report:
    """Compare the arms of every context of a store.

    Raises:
        StoreError: the store holds no trials.
    """
    evidence = gather_evidence(results)
    comparisons = tuple(compare(context) for context in evidence.contexts)
    rows = [_recommendation(comparison) for comparison in comparisons]
    arms = [_arm_row(comparison, standing) for comparison in comparisons for standing in comparison.standings]
    tables = pd.DataFrame(rows, columns=RECOMMENDATION_COLUMNS), pd.DataFrame(arms, columns=ARM_COLUMNS)
    return Report(comparisons, evidence.notes, *tables, evidence.trials, results)


def recommend_table(results: Results) -> pd.DataFrame:
    """Which initializer to use: one row per context and lr rule.

    Scores are in the `metric` of the data set, loss areas in `loss_unit`; accuracies, rates and probabilities are
    shares, 0 to 1; steps are optimizer updates, infinite where the median seed misses the level; `_low` and `_high`
    bound the 95 % interval, missing where the seeds are too few for one. `confidence` is high, moderate, low or none;
    `recommended` is the fastest arm and `most_accurate` the one with the best mean final validation score; `score_gain`
    is the mean difference of their test scores, positive where the latter is better, with its adjusted p-value and
    verdict. `tied_with` names the arms with the verdicts *no difference* and *undecided*, `undecided` those with too
    few seeds for any verdict. `article_agrees`, whether the article's rule chooses the same, is yes, no or cannot say.
    Grade and agreement have a `_reason`.

    Example:
        recommend_table(initsuite.load_results("results"))[["dataset", "recommended", "in_words"]]

    Raises:
        StoreError: the store holds no trials.
    """
    return build_report(results).recommendations


def arms_table(results: Results) -> pd.DataFrame:
    """How each initializer did: one row per context, lr rule and initializer, best first.

    Units as in `recommend_table`. `val_score` is the mean final validation score, which chooses the most accurate arm;
    `score_lead` is the mean difference of that one's test score and this arm's, positive where the former is better.

    Raises:
        StoreError: the store holds no trials.
    """
    return build_report(results).arms


def lr_window(context: Context, arm: Arm) -> tuple[float, float] | None:
    """The ends of the unbroken run of tuned lrs that train, around the arm's best one; None where that one does not."""
    is_training = [trains(score, context.yardstick) for score in arm.lr_scores.values()]
    around = [run for run in training_runs(list(arm.lr_scores), is_training) if arm.lr in run]
    return (float(around[0][0]), float(around[0][-1])) if around else None


def _recommendation(comparison: Comparison) -> dict[str, Any]:
    leader = comparison.leader
    (grade, why), (agrees, why_so) = confidence(comparison), guideline_agreement(comparison)
    return {
        **_place(comparison),
        "recommended": leader.arm.name if leader else NOTHING,
        "tied_with": ", ".join(standing.arm.name for standing in comparison.of(*TIED)),
        "undecided": ", ".join(standing.arm.name for standing in comparison.of(Verdict.TOO_FEW_SEEDS)),
        **_measures(comparison, leader),
        **_most_accurate(comparison),
        "seeds": format_range(standing.num_seeds for standing in comparison.standings),
        "seeds_to_decide": comparison.seeds_to_decide,
        "confidence": str(grade),
        "confidence_reason": why,
        "article_agrees": agrees,
        "article_reason": why_so,
        "in_words": in_words(comparison),
    }


def _arm_row(comparison: Comparison, standing: Standing) -> dict[str, Any]:
    return {
        **_place(comparison),
        "init": standing.arm.name,
        "verdict": str(standing.verdict),
        "p_value": standing.p_value,
        **_measures(comparison, standing),
        **interval_columns("loss_auc", standing.loss_auc),
        **_by_score(comparison, standing),
        "num_diverged": standing.num_diverged,
        "num_failed": standing.arm.num_failed,
        "near_chance": standing.near_chance,
        "cell_id": standing.arm.cell_id,
    }


def _most_accurate(comparison: Comparison) -> dict[str, Any]:
    """The leader of the final score beside the fastest arm, the one that is recommended."""
    leader, accurate = comparison.leader, comparison.scores.leader
    beaten = comparison.scores.of_arm(leader.arm.name) if leader else None
    return {
        "most_accurate": accurate.arm.name if accurate else NOTHING,
        **interval_columns("score_gain", beaten.difference if beaten else MISSING),
        "score_p_value": beaten.p_value if beaten else math.nan,
        "score_verdict": str(beaten.verdict) if beaten else "",
    }


def _by_score(comparison: Comparison, standing: Standing) -> dict[str, Any]:
    found = comparison.scores.of_arm(standing.arm.name)
    return {
        "val_score": found.validation if found else math.nan,
        **interval_columns("score_lead", found.difference if found else MISSING),
        "score_p_value": found.p_value if found else math.nan,
        "score_verdict": str(found.verdict if found else Verdict.NOT_SCORED),
    }


def _place(comparison: Comparison) -> dict[str, Any]:
    context = comparison.context
    return {
        **context.axes,
        "context": context.title,
        "context_id": context.context_id,
        "lr_rule": context.lr_rule,
        "level": comparison.level or "loss area",
        "target": math.nan if comparison.target is None else comparison.target,
        "metric": context.yardstick.metric,
        "loss_unit": context.loss_unit,
    }


def _measures(comparison: Comparison, standing: Standing | None) -> dict[str, Any]:
    """The shared columns of both tables; missing values without a standing."""
    if standing is None:
        return {**dict.fromkeys(_MEASURES, math.nan), "num_reached": 0, "num_seeds": 0}
    low, high = lr_window(comparison.context, standing.arm) or (math.nan, math.nan)
    return {
        **interval_columns("success_rate", standing.reached),
        "num_reached": standing.num_reached,
        "num_seeds": standing.num_seeds,
        **interval_columns("median_steps", standing.steps),
        **interval_columns("test_score", standing.score),
        **interval_columns(_IMPROVEMENT, standing.improvement or MISSING),
        "best_lr": standing.arm.lr,
        "lr_window_low": low,
        "lr_window_high": high,
        "lr_window_decades": round(math.log10(high / low), 2),
    }


def interval_columns(name: str, interval: Interval) -> dict[str, float]:
    """What the columns of a measure hold."""
    coverage = interval.coverage if interval.exists else math.nan
    values = (interval.estimate, interval.low, interval.high, coverage)
    return {f"{name}{end}": value for end, value in zip(OF_INTERVAL, values, strict=True)}
