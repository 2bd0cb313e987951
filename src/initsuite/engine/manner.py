"""How the trials of a workload are computed. `engine/rehearsal.py` finds it by trying, before the first trial."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Manner:
    """How the trials of a workload are computed; the same for all of them, so that it changes no comparison.

    Attributes:
        why_unstacked: why `torch.vmap` cannot map the model, so that it is called once for each trial; "" if it can.
        draws: whether the model draws random numbers by operations of torch. They come from named streams.
        is_global: whether it takes them from the global streams of Python, numpy or torch. These are seeded for each
            step, and one stack at a time has them.

    Example:
        >>> Manner("it calls .item()").line()
        'each trial is trained by itself, since torch.vmap cannot map the model: it calls .item()'
    """

    why_unstacked: str = ""
    draws: bool = False
    is_global: bool = False

    @property
    def is_by_seed(self) -> bool:
        """Whether the trials of a seed are computed apart from those of another, since they share random numbers."""
        return self.draws or self.is_global

    def line(self) -> str:
        """What the plan says of it; empty for a model that is stacked."""
        if not self.why_unstacked:
            return ""
        return f"each trial is trained by itself, since torch.vmap cannot map the model: {self.why_unstacked}"


STACKED = Manner()
"""A model that `torch.vmap` maps and that draws no random numbers."""
