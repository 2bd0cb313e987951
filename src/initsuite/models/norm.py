"""Where the built-in models may put a norm layer."""

from __future__ import annotations

from initsuite.errors import unknown_choice

NORMS = ("none", "batch")


def check_norm(where: str, norm: str) -> None:
    """Refuse an unknown norm.

    Example:
        >>> check_norm("Mlp", "layer")
        Traceback (most recent call last):
        initsuite.errors.ConfigError: Mlp: unknown `norm`='layer'. Expected one of: none, batch.
    """
    if norm not in NORMS:
        raise unknown_choice(where, "norm", norm, NORMS)
