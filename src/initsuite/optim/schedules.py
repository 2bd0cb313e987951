"""Learning-rate schedules: the share of its lr that a trial uses at a step.

The factor depends only on the step and the budget: all trials of a stack share it, and a checkpoint need not hold it.
The lr that a protocol tunes is the largest one, before the factor.

References:
    Loshchilov and Hutter 2017, SGDR: stochastic gradient descent with warm restarts, equation 5 (cosine).
    Goyal et al. 2017, Accurate, large minibatch SGD, section 2.2 (gradual warm-up).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Protocol

from torch import Tensor

from initsuite.errors import bad_value, check_number, unknown_choice
from initsuite.spec import Optimizer, Params


class Schedule(Protocol):
    """A frozen dataclass whose fields are its options."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    name: ClassVar[str]

    def factor(self, step: int, max_steps: int) -> float:
        """What multiplies the lr of an update.

        Args:
            step: number of the update, 1 to `max_steps`.
            max_steps: the budget.
        """
        ...


@dataclass(frozen=True)
class Constant:
    """The same lr at every step."""

    name: ClassVar[str] = "constant"

    def factor(self, step: int, max_steps: int) -> float:
        return 1.0


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from 1 at the first step down towards `final`, as `torch.optim.lr_scheduler.CosineAnnealingLR`.

    factor = final + (1 - final) (1 + cos(pi (step - 1) / max_steps)) / 2.

    Args:
        final: factor that a step after the last one would have, 0 to 1.

    Raises:
        ConfigError: a number out of its range.

    Example:
        >>> [round(Cosine().factor(step, max_steps=4), 3) for step in (1, 2, 3, 4)]
        [1.0, 0.854, 0.5, 0.146]
    """

    name: ClassVar[str] = "cosine"

    final: float = 0.0

    def __post_init__(self) -> None:
        _check_final("Cosine", self.final)

    def factor(self, step: int, max_steps: int) -> float:
        return _cosine(step, max_steps, self.final)


@dataclass(frozen=True)
class Warmup:
    """A straight line from near 0 up to 1, then 1.

    factor = min(1, step / W), W = max(1, round(warmup max_steps)): the first step has 1 / W, and step W has 1.

    Args:
        warmup: share of the budget, above 0, at most 1.

    Raises:
        ConfigError: a number out of its range.

    Example:
        >>> [Warmup(0.5).factor(step, max_steps=8) for step in (1, 2, 4, 8)]
        [0.25, 0.5, 1.0, 1.0]
    """

    name: ClassVar[str] = "warmup"

    warmup: float = 0.1

    def __post_init__(self) -> None:
        _check_warmup("Warmup", self.warmup)

    def factor(self, step: int, max_steps: int) -> float:
        return min(1.0, step / _warmup_steps(self.warmup, max_steps))


@dataclass(frozen=True)
class WarmupCosine:
    """`Warmup`, then `Cosine` over the remaining steps.

    Args:
        warmup, final: as in Warmup and Cosine.

    Raises:
        ConfigError: a number out of its range.
    """

    name: ClassVar[str] = "warmup_cosine"

    warmup: float = 0.1
    final: float = 0.0

    def __post_init__(self) -> None:
        _check_warmup("WarmupCosine", self.warmup)
        _check_final("WarmupCosine", self.final)

    def factor(self, step: int, max_steps: int) -> float:
        steps = _warmup_steps(self.warmup, max_steps)
        return step / steps if step <= steps else _cosine(step - steps, max_steps - steps, self.final)


SCHEDULES: dict[str, type[Any]] = {kind.name: kind for kind in (Constant, Cosine, Warmup, WarmupCosine)}


def schedule(name: str, **options: float) -> Schedule:
    """The schedule of this name.

    Raises:
        ConfigError: an unknown name or option, or a number out of its range.
    """
    if name not in SCHEDULES:
        raise unknown_choice("schedule", "name", name, SCHEDULES)
    kind = SCHEDULES[name]
    known = [field.name for field in fields(kind)]
    for key in options:
        if key not in known:
            raise unknown_choice(f"schedule={name}", "option", key, known or ["(it has none)"])
    return kind(**options)


@dataclass(frozen=True)
class Scheduled:
    """An optimizer with a schedule, which the engine applies: it multiplies `lr` before each update.

    The schedule is part of the kind, so that trials of different schedules share no stack.
    """

    optimizer: Optimizer
    schedule: Schedule

    @property
    def kind(self) -> str:
        return f"{self.optimizer.kind}+{self.schedule!r}"

    @property
    def scalars(self) -> Mapping[str, float]:
        return self.optimizer.scalars

    def init(self, params: Params, /) -> Any:
        return self.optimizer.init(params)

    def update(self, grads: Params, state: Any, params: Params, scalars: Mapping[str, Tensor], /) -> tuple[Params, Any]:
        """The optimizer's own update, at the given `lr`."""
        return self.optimizer.update(grads, state, params, scalars)


def with_schedule(optimizer: Optimizer, schedule: Schedule) -> Optimizer:
    """The optimizer under a schedule; itself under a constant one."""
    return optimizer if isinstance(schedule, Constant) else Scheduled(optimizer, schedule)


def _cosine(step: int, max_steps: int, final: float) -> float:
    return final + (1 - final) * (1 + math.cos(math.pi * (step - 1) / max_steps)) / 2


def _warmup_steps(warmup: float, max_steps: int) -> int:
    return max(1, round(warmup * max_steps))


def _check_final(where: str, final: float) -> None:
    check_number(where, "final", final, minimum=0, fix="It is a share of lr, at most 1.")
    if final > 1:
        raise bad_value(where, "final", final, "a share of lr, 0 to 1")


def _check_warmup(where: str, warmup: float) -> None:
    check_number(where, "warmup", warmup, above=0, fix="Without a warm-up use schedule=constant or schedule=cosine.")
    if warmup > 1:
        raise bad_value(where, "warmup", warmup, "a share of max_steps, at most 1", "Example: schedule.warmup=0.1")
