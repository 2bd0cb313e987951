"""The article's rule as plain data: read by the initializer that follows it and by the report that judges it."""

from __future__ import annotations

DEEP_FROM = 30
"""Hidden layers from which a network is very deep. The article gives no number; this is the suite's reading of it."""
_BEFORE = {"tanh": "xavier", "sigmoid": "xavier"}
_BEFORE_ANYTHING_ELSE = "he"


def guideline_choice(
    hidden_layers: int, activation: str | None, deep_from: int = DEEP_FROM, *, is_recurrent: bool = False
) -> str:
    """Orthogonal for recurrent and very deep networks; else xavier for tanh and sigmoid, he for everything else.

    Args:
        hidden_layers: layers with weights but the head.
        activation: name of the nonlinearity; None where nothing follows.
        deep_from: hidden layers from which a network is very deep.
        is_recurrent: the network is a recurrent one.

    Example:
        >>> guideline_choice(2, "tanh"), guideline_choice(2, "relu"), guideline_choice(30, "relu")
        ('xavier', 'he', 'orthogonal')

    References:
        The article: Understanding Model Initialization: Key to Success in Deep Learning, 2025.
    """
    if is_recurrent or hidden_layers >= deep_from:
        return "orthogonal"
    return _BEFORE.get(activation or "", _BEFORE_ANYTHING_ELSE)
