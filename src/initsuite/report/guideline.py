"""The article's rule, to be held against the evidence: which initializer it would choose for a context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from initsuite.report.comparison import Comparison, Verdict

GUIDELINE = "guideline"
"""The arm that is the rule itself."""
VERY_DEEP = 30
"""Hidden layers from which the rule says orthogonal."""
RECURRENT = ("rnn", "irnn", "lstm", "gru", "recurrent")


def guideline_choice(activation: str, model: Mapping[str, Any]) -> str:
    """Recurrent nets and 30 hidden layers or more: orthogonal; else tanh and sigmoid: xavier; everything else: he.

    Args:
        activation: its name, options may follow.
        model: the resolved configuration of the model.

    Example:
        >>> guideline_choice("tanh", {"name": "mlp", "depth": 2})
        'xavier'
        >>> guideline_choice("relu", {"name": "mlp", "depth": 30})
        'orthogonal'

    References:
        "Understanding Model Initialization: Key to Success in Deep Learning" (2025).
    """
    if str(model.get("name", "")).lower() in RECURRENT or _num_hidden_layers(model) >= VERY_DEEP:
        return "orthogonal"
    return "xavier" if activation.startswith(("tanh", "sigmoid")) else "he"


def guideline_agreement(comparison: Comparison) -> str:
    """Whether the recommendation is the rule's, in words that answer "the article's rule agrees?"."""
    context = comparison.context
    choice = guideline_choice(context.axes["activation"], context.config.get("model") or {})
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


def _num_hidden_layers(model: Mapping[str, Any]) -> int:
    widths = model.get("widths")
    if widths:
        return len(widths)
    depth = model.get("depth")
    return depth if isinstance(depth, int) else 0
