"""The article's rule held against the evidence: does it choose what the seeds recommend?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from initsuite.guideline import DEEP_FROM, guideline_choice
from initsuite.report.comparison import Comparison, Verdict
from initsuite.report.context import Context

GUIDELINE = "guideline"
"""The arm that is the rule itself."""
RECURRENT = ("rnn", "irnn", "lstm", "gru", "recurrent")
"""Names of models that count as recurrent."""


def guideline_agreement(comparison: Comparison) -> str:
    """Whether the recommendation is the rule's, in words that answer "the article's rule agrees?"."""
    choice = rule_choice(comparison.context)
    leader = comparison.leader
    if leader is None:
        return f"cannot say, it chooses {choice} but nothing is recommended"
    standings = [standing for standing in comparison.standings if standing.arm.name in (choice, GUIDELINE)]
    if not any(standing.num_seeds for standing in standings):
        return f"cannot say, its choice {choice} was not tried"
    if leader in standings:
        return f"yes, {choice}"
    verdicts = {standing.verdict for standing in standings}
    if Verdict.NO_DIFFERENCE in verdicts:
        return f"yes, {choice} is tied"
    if Verdict.TOO_FEW_SEEDS in verdicts:
        return f"cannot say, it chooses {choice} but there are not enough seeds"
    return f"no, it chooses {choice}"


def rule_choice(context: Context) -> str:
    """What the rule chooses for a context; "very deep" is what its own arm, where there is one, was configured with."""
    model = context.config.get("model") or {}
    activation = (context.config.get("activation") or {}).get("name") or context.axes["activation"]
    deep_from = next((arm.options.get("deep_from") for arm in context.arms if arm.name == GUIDELINE), None)
    network = context.config.get("network") or {
        "hidden_layers": _hidden_layers(model),
        "is_recurrent": str(model.get("name", "")).lower() in RECURRENT,
    }
    return guideline_choice(activation=activation, deep_from=deep_from or DEEP_FROM, **network)


def _hidden_layers(model: Mapping[str, Any]) -> int:
    """Of a configuration that does not say it: layers listed one by one, else `depth`, else unknown and so not deep."""
    for option in ("widths", "channels"):
        if model.get(option):
            return len(model[option])
    depth = model.get("depth")
    return depth if isinstance(depth, int) else 0
