"""The article's rule held against the evidence: does it choose what the seeds recommend?"""

from __future__ import annotations

from initsuite.protocol.guideline import DEEP_FROM, guideline_choice
from initsuite.report.evidence.context import Context
from initsuite.report.verdicts.comparison import Comparison
from initsuite.report.verdicts.rulings import TIED, Verdict

GUIDELINE = "guideline"
"""The arm that is the rule itself."""


def guideline_agreement(comparison: Comparison) -> tuple[str, str]:
    """Whether the recommendation is the rule's: `yes`, `no` or `cannot say`, and why."""
    choice = rule_choice(comparison.context)
    leader = comparison.leader
    if leader is None:
        return "cannot say", f"it chooses {choice} but nothing is recommended"
    standings = [standing for standing in comparison.standings if standing.arm.name in (choice, GUIDELINE)]
    if not any(standing.num_seeds for standing in standings):
        return "cannot say", f"its choice {choice} was not tried"
    if leader in standings:
        return "yes", choice
    verdicts = {standing.verdict for standing in standings}
    if verdicts & set(TIED):
        return "yes", f"{choice} is tied"
    if Verdict.TOO_FEW_SEEDS in verdicts:
        return "cannot say", f"it chooses {choice} but there are not enough seeds"
    return "no", f"it chooses {choice}"


def rule_choice(context: Context) -> str:
    """What the rule chooses for a context; "very deep" is what its own arm, where there is one, was configured with."""
    deep_from = next((arm.options.get("deep_from") for arm in context.arms if arm.name == GUIDELINE), None)
    return guideline_choice(context.network, activation_name(context), deep_from or DEEP_FROM)


def activation_name(context: Context) -> str:
    """The name of the activation, without the options that its label may hold."""
    return str((context.config.get("activation") or {}).get("name") or context.axes["activation"])
