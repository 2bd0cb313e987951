"""What was measured at step 0 of the scoring trials: a row for each arm, where `diagnostics=true` had it stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from initsuite.report.evidence.context import Arm
from initsuite.report.verdicts.comparison import Comparison, Standing

if TYPE_CHECKING:
    from initsuite.report.verdicts.recommendations import Report

PLACE = ["context", "context_id", "lr_rule", "init"]
"""The first columns of tables with a row for each arm: which arm of which comparison."""
RATIOS = ("q_ratio", "gradient_ratio")
SHARES = ("input_share", "dead", "saturated", "loss_ratio", "commonest_class")
HEALTHY = "healthy"
START_COLUMNS = [*PLACE, "num_seeds", "verdict", "num_agreeing", "layer", *RATIOS, *SHARES]


def starts_table(report: Report) -> pd.DataFrame:
    """The measures at step 0, see `signal.brief`; empty where the store has none.

    Returns:
        Columns `START_COLUMNS`, one row per arm with measured trials, best arm first. `verdict` is the commonest one
        of the seeds (healthy, if another one is as common), `num_agreeing` of which have it, and `layer` the commonest
        place where it begins. Ratios are geometric means over the seeds, all others arithmetic ones.
    """
    rows = [
        {**place_of(comparison, standing), **found}
        for comparison in report.comparisons
        for standing in comparison.standings
        if (found := start_of(standing.arm))
    ]
    return pd.DataFrame(rows, columns=START_COLUMNS)


def place_of(comparison: Comparison, standing: Standing) -> dict[str, Any]:
    """The values of the columns `PLACE`."""
    context = comparison.context
    return dict(zip(PLACE, (context.title, context.context_id, context.lr_rule, standing.arm.name), strict=True))


def start_of(arm: Arm) -> dict[str, Any]:
    """What was measured of the trials of an arm; empty where nothing was."""
    if "signal_verdict" not in arm.trials:
        return {}
    known = arm.trials[arm.trials.signal_verdict.notna() & (arm.trials.signal_verdict != "")]
    if known.empty:
        return {}
    counts = known.signal_verdict.value_counts()
    verdict = str(max(counts.index, key=lambda name: (counts[name], name == HEALTHY)))
    agreeing = known[known.signal_verdict == verdict]
    layers = agreeing.signal_layer.fillna("").mode()
    means = {name: float(known[f"signal_{name}"].astype(float).mean()) for name in SHARES}
    with np.errstate(divide="ignore"):
        logs = {name: float(np.log(known[f"signal_{name}"].astype(float)).mean()) for name in RATIOS}
    return {
        "num_seeds": len(known), "verdict": verdict, "num_agreeing": len(agreeing), "layer": str(layers.iloc[0]),
        **{name: float(np.exp(value)) for name, value in logs.items()}, **means,
    }  # fmt: skip
